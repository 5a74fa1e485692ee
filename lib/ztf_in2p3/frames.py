"""One raw file: the four quadrants of one CCD in one exposure, and their overscans.

Nine HDUs (ZTF Science Data System explanatory supplement; public reader ztfimg): a primary one
of keywords, quadrants 1 to 4, their overscans; AMP_ID decides where they stand in another order.
Pixels are float32, RICE compressed in tiles of one row, so any range of rows decodes alone, and costs no more than its
share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.camera import CAMERAS, Camera
from ztf_in2p3.cards import describe, integer, number
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdu import Hdu, require_decodable
from ztf_in2p3.hdus import decoding, read_hdus, read_pixels
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, CcdExposure
from ztf_in2p3.raw_layout import RawLayout
from ztf_in2p3.rice import RiceImage

FIRST_MJD, LAST_MJD = 50_000, 90_000
"""Years 1995 to 2105: a date beyond is none."""
_MJD_ZERO = date(1858, 11, 17)
_FETCH = "fetch it again, or reject the exposure"


@dataclass(frozen=True, slots=True, eq=False)
class RawCcd:
    """An open raw file.  Pixels are read when asked for and never kept, so many can be open at once."""

    path: Path
    camera: Camera
    ccdid: int
    header: fits.Header
    """Header of the primary HDU: the exposure's keywords."""
    _file: BinaryIO
    _hdus: tuple[Hdu, ...]
    _places: tuple[int, ...]
    """HDUs of quadrants 1 to 4, then of their overscans."""
    _images: tuple[RiceImage | None, ...]
    """The same as `_places`; None where astropy must read it."""
    _amplifiers: tuple[tuple[float | None, float | None], ...]
    """GAIN and READNOI of the quadrants, if above 0."""

    @classmethod
    def open(cls, path: Path, camera: Camera, ccdid: int | None = None) -> Self:
        """Open and check a raw file; a context manager closes it.

        Parameters
        ----------
        ccdid
            CCD that it must be of; None takes what the file says.

        Raises
        ------
        BadData
            No FITS file, or truncated; not nine HDUs; of another shape than the camera's; of
            another CCD than asked for, or of none; or nothing says which quadrant is which.
        """
        hdus = read_hdus(path)
        layout = RawLayout.of(hdus, str(path))
        _check_shapes(path, hdus, layout, camera)
        primary = hdus[0].header
        places = (*layout.quadrants, *layout.overscans)
        amplifiers = tuple(
            (_positive(hdus[index].header, primary, "GAIN"), _positive(hdus[index].header, primary, "READNOI"))
            for index in layout.quadrants
        )
        images = tuple(RiceImage.of(hdus[index]) for index in places)
        ccd = _ccdid(path, hdus, ccdid)
        return cls(path, camera, ccd, primary, path.open("rb"), hdus, places, images, amplifiers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def mjd(self) -> float:
        """UTC of the exposure's start, modified Julian date."""
        for keyword, zero in (("OBSMJD", 0.0), ("OBSJD", 2_400_000.5)):
            value = number(self.header, keyword)
            if value is not None and FIRST_MJD <= value - zero <= LAST_MJD:
                return value - zero
        raise BadData(
            f"{self.path}: {describe(self.header, 'OBSMJD')} and {describe(self.header, 'OBSJD')}; expected the date "
            f"of the exposure, MJD {FIRST_MJD} to {LAST_MJD}; {_FETCH}"
        )

    @property
    def night(self) -> date:
        """UT date."""
        return _MJD_ZERO + timedelta(days=math.floor(self.mjd))

    @property
    def led(self) -> int:
        """Flat-field LED that shone (`ILUM_LED`); 0 if none did."""
        return integer(self.header, "ILUM_LED") or 0

    def gain(self, qid: int) -> float:
        """Electrons per ADU of a quadrant; the camera's nominal one if the file has none above 0."""
        return self._amplifiers[_index(qid) - 1][0] or self.camera.gain

    def read_noise(self, qid: int) -> float:
        """Electrons, of a quadrant; the camera's nominal one if the file has none above 0."""
        return self._amplifiers[_index(qid) - 1][1] or self.camera.read_noise

    def is_noise_free(self, qid: int) -> bool:
        """Whether the file says of a quadrant that it has no read noise (READNOI = 0), as simulated frames can."""
        header = self._hdus[self._places[_index(qid) - 1]].header
        return number(header if "READNOI" in header else self.header, "READNOI") == 0

    def pixels(
        self, qid: int, rows: slice = slice(None), out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Rows of a quadrant as stored: (row, column), ADU, electronic offset included; in `out` if that is given."""
        return self._section(_index(qid), rows, out)

    def overscan(self, qid: int) -> NDArray[np.float32]:
        """Overscan of a quadrant as stored: (row, 30 columns), ADU."""
        return self._section(N_QUADRANT + _index(qid), slice(None))

    def _section(self, place: int, rows: slice, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        index, image = self._places[place - 1], self._images[place - 1]
        hdu = self._hdus[index]
        require_decodable(hdu, f"{self.path}, HDU {index}")
        if image is None or rows.step not in (None, 1):
            pixels = np.asarray(read_pixels(self.path, index, hdu)[rows], dtype=np.float32)
        else:
            with decoding(str(self.path), f"HDU {index} cannot be decoded"):
                return image.rows(self._file.fileno(), rows, out)
        if out is None:
            return pixels
        out[...] = pixels
        return out


def _index(qid: int) -> int:
    if not 1 <= qid <= N_QUADRANT:
        raise ValueError(f"no quadrant {qid}: they are numbered 1 to {N_QUADRANT}")
    return qid


def _positive(header: fits.Header, primary: fits.Header, keyword: str) -> float | None:
    value = number(header if keyword in header else primary, keyword)
    return value if value is not None and value > 0 else None


def _check_shapes(path: Path, hdus: Sequence[Hdu], layout: RawLayout, camera: Camera) -> None:
    rows, columns = camera.shape
    for places, width in ((layout.quadrants, columns), (layout.overscans, camera.overscan_columns)):
        for index in places:
            if hdus[index].shape != (rows, width):
                shape = hdus[layout.quadrants[0]].shape
                of_shape = [repr(known.name) for known in CAMERAS.values() if known.shape == shape != camera.shape]
                raise BadData(
                    f"{path}: HDU {index} has shape {hdus[index].shape}, expected {(rows, width)} (rows, columns) for "
                    f"camera {camera.name!r}; "
                    + (f"it is of camera {of_shape[0]}: name that one" if of_shape else "is this its raw file?")
                )


def _ccdid(path: Path, hdus: Sequence[Hdu], expected: int | None) -> int:
    """CCD of the file: the CCD_ID of quadrants and overscans, else the primary header's, else the file's name."""
    headers = [hdu.header if "CCD_ID" in hdu.header else hdus[0].header for hdu in hdus[1:]]
    ids = {integer(header, "CCD_ID") for header in headers}
    numbers = sorted(ccd for ccd in ids if ccd is not None) or _named(path, expected)
    names = " and ".join(f"{ccd:g}" for ccd in numbers) or "none"
    ccdid = numbers[0] if len(numbers) == 1 else 0
    if ccdid not in range(1, N_CCD + 1):
        raise BadData(f"{path}: of CCD {names}, expected one of 1 to {N_CCD} in CCD_ID of its four quadrants; {_FETCH}")
    if expected is not None and ccdid != expected:
        raise BadData(f"{path}: of CCD {names}, but CCD {expected} is asked for; see how the file was chosen")
    return int(ccdid)


def _named(path: Path, expected: int | None) -> list[int]:
    try:
        return [CcdExposure.parse(path.name.split(".")[0]).ccdid]
    except ValueError:
        return [] if expected is None else [expected]
