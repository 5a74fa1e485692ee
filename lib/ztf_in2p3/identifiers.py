"""Names of the observatory: filters, quadrants, exposures.

`str` and `parse` of each type are inverses, and the only place where a format is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self

N_CCD = 16
N_QUADRANT = 4


class Filter(StrEnum):
    """Filter codes of the archive; bias frames carry one of their own."""

    BIAS = "bi"
    ZG = "zg"
    ZR = "zr"
    ZI = "zi"

    @property
    def fid(self) -> int:
        """Filter number of the archive's tables (1 g, 2 r, 3 i)."""
        return {Filter.ZG: 1, Filter.ZR: 2, Filter.ZI: 3}[self]

    @property
    def leds(self) -> tuple[int, ...]:
        """Flat-field LEDs (`ILUM_LED`) that shine in this filter."""
        return {Filter.ZG: (2, 3, 4, 5), Filter.ZR: (7, 8, 9, 10), Filter.ZI: (11, 12, 13)}.get(self, ())


SKY_FILTERS = (Filter.ZG, Filter.ZR, Filter.ZI)


class ImageType(StrEnum):
    """The archive's one-letter codes of what was exposed."""

    OBJECT = "o"
    BIAS = "b"
    FLAT = "f"
    DARK = "d"


@dataclass(frozen=True, slots=True, order=True)
class Quadrant:
    """One amplifier's quarter of a CCD."""

    ccdid: int
    qid: int

    def __post_init__(self) -> None:
        if not (1 <= self.ccdid <= N_CCD and 1 <= self.qid <= N_QUADRANT):
            raise ValueError(
                f"no quadrant qid {self.qid} of CCD {self.ccdid}: CCDs are numbered 1 to {N_CCD}, "
                f"their quadrants 1 to {N_QUADRANT}"
            )

    @property
    def rcid(self) -> int:
        """Readout channel, 0 to 63."""
        return N_QUADRANT * (self.ccdid - 1) + self.qid - 1

    @classmethod
    def of_rcid(cls, rcid: int) -> Self:
        """The quadrant of a readout channel, 0 to 63."""
        return cls(rcid // N_QUADRANT + 1, rcid % N_QUADRANT + 1)

    def __str__(self) -> str:
        return f"c{self.ccdid:02d}_q{self.qid}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`; ValueError for any other text."""
        match = re.fullmatch(r"c(\d\d)_q(\d)", text)
        if not match:
            raise ValueError(f"{text!r} names no quadrant; expected a form like c03_q2")
        return cls(int(match[1]), int(match[2]))


_EXPOSURE = re.compile(r"(\d{14})_(\d{6})_([a-z]{2})_([obfd])")
_CCD_EXPOSURE = re.compile(r"ztf_(\d{14}_\d{6}_[a-z]{2})_c(\d\d)_([obfd])")


@dataclass(frozen=True, slots=True, order=True)
class Exposure:
    """One opening of the shutter (or none, for a bias), over the whole camera."""

    filefracday: str
    """UT date and fraction of the day as the archive writes them: YYYYMMDDFFFFFF."""
    field: int
    filter: Filter
    image_type: ImageType

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d{14}", self.filefracday):
            raise ValueError(f"{self.filefracday!r} is no filefracday; expected the 14 digits YYYYMMDDFFFFFF")
        date.fromisoformat(self.filefracday[:8])  # ValueError names what is wrong with the date

    @property
    def night(self) -> date:
        """UT date: a night at Palomar never crosses midnight UT."""
        return date.fromisoformat(self.filefracday[:8])

    def __str__(self) -> str:
        return f"{self.filefracday}_{self.field:06d}_{self.filter}_{self.image_type}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`; ValueError for any other text."""
        match = _EXPOSURE.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} names no exposure; expected a form like 20190405123456_000655_zr_o")
        return cls(match[1], int(match[2]), Filter(match[3]), ImageType(match[4]))


@dataclass(frozen=True, slots=True, order=True)
class CcdExposure:
    """What one CCD recorded in one exposure: one raw file."""

    exposure: Exposure
    ccdid: int

    def __post_init__(self) -> None:
        if not 1 <= self.ccdid <= N_CCD:
            raise ValueError(f"no CCD {self.ccdid}: they are numbered 1 to {N_CCD}")

    def __str__(self) -> str:
        """Stem of the archive's file names."""
        e = self.exposure
        return f"ztf_{e.filefracday}_{e.field:06d}_{e.filter}_c{self.ccdid:02d}_{e.image_type}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`; ValueError for any other text."""
        match = _CCD_EXPOSURE.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} names no CCD exposure; expected a form like ztf_20190405123456_000655_zr_c03_o")
        return cls(Exposure.parse(f"{match[1]}_{match[3]}"), int(match[2]))
