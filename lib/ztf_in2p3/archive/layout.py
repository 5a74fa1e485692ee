"""Places of the archive's files.

    raw/YYYY/MMDD/FFFFFF/ztf_<filefracday>_<field>_<filter>_cCC_T.fits.fz
    sci/YYYY/MMDD/FFFFFF/ztf_<filefracday>_<field>_<filter>_cCC_o_qQ_<suffix>

with YYYYMMDDFFFFFF the filefracday and T the image type (IRSA, "ZTF API Queries": Building
data product URLs; the ZTF Science Data System explanatory supplement).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Self

from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, ImageType
from ztf_in2p3.products import Kind, ProductRef, header_ref, mask_ref, raw_ref, science_ref

RAW_SUFFIX = ".fits.fz"

_SUFFIX = {Kind.HEADER: "scihdr.fits", Kind.SCIENCE: "sciimg.fits", Kind.MASK: "mskimg.fits"}
_KIND = {suffix: kind for kind, suffix in _SUFFIX.items()}
_QUADRANT_NAME = re.compile(r"(ztf_.*_o)_q(\d)_(\w+\.fits)")


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """One file of the archive.

    A science header has no file of its own in the archive: its `path` is the science image's.
    Its `str` ends in ``scihdr.fits``, the name it bears in a local tree that keeps headers only.
    """

    kind: Kind
    ccd: CcdExposure
    qid: int | None = None
    """Number of the quadrant; None for a raw file, which holds all four quadrants."""

    def __post_init__(self) -> None:
        if self.kind is Kind.RAW:
            if self.qid is not None:
                raise ValueError(f"raw file {self.ccd} holds all quadrants, but qid {self.qid} was asked for")
            return
        if self.kind not in _SUFFIX:
            raise ValueError(f"the archive keeps no {self.kind}; it keeps raw, {', '.join(_SUFFIX)}")
        if self.qid not in range(1, N_QUADRANT + 1):
            raise ValueError(f"{self.kind} of {self.ccd} needs a qid of 1 to {N_QUADRANT}, not {self.qid}")
        if self.ccd.exposure.image_type is not ImageType.OBJECT:
            raise ValueError(f"{self.ccd} looked at no sky: the archive keeps no {self.kind} of it")

    @property
    def path(self) -> str:
        """Path below the archive's root."""
        return self._path("sciimg.fits" if self.kind is Kind.HEADER else _SUFFIX.get(self.kind, ""))

    @property
    def ref(self) -> ProductRef:
        """Address of the file in the store."""
        if self.qid is None:
            return raw_ref(self.ccd)
        return {Kind.HEADER: header_ref, Kind.SCIENCE: science_ref, Kind.MASK: mask_ref}[self.kind](self.ccd, self.qid)

    def __str__(self) -> str:
        return self._path(_SUFFIX.get(self.kind, ""))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`.  ValueError for any other path."""
        name = PurePosixPath(text).name
        if text.startswith("raw/") and name.endswith(RAW_SUFFIX):
            file = cls(Kind.RAW, CcdExposure.parse(name.removesuffix(RAW_SUFFIX)))
        else:
            match = _QUADRANT_NAME.fullmatch(name)
            if not match or match[3] not in _KIND:
                raise ValueError(f"{text!r} names no file of the archive; expected e.g. {_EXAMPLE}")
            file = cls(_KIND[match[3]], CcdExposure.parse(match[1]), int(match[2]))
        if str(file) != text:
            raise ValueError(f"{text!r} does not lie where the archive keeps {file.ccd}: expected {file}")
        return file

    def _path(self, suffix: str) -> str:
        if self.qid is None:
            return f"raw/{folder(self.ccd)}/{self.ccd}{RAW_SUFFIX}"
        return f"sci/{folder(self.ccd)}/{self.ccd}_q{self.qid}_{suffix}"


_EXAMPLE = "raw/2019/0405/123456/ztf_20190405123456_000655_zr_c03_o.fits.fz"


def folder(ccd: CcdExposure) -> str:
    """``YYYY/MMDD/FFFFFF``."""
    digits = ccd.exposure.filefracday
    return f"{night_folder(ccd.exposure.night)}/{digits[8:]}"


def night_folder(night: date) -> str:
    """``YYYY/MMDD``."""
    return f"{night:%Y}/{night:%m%d}"
