"""One raw file: the four quadrants of one CCD in one exposure, and their overscans.

Nine HDUs (ZTF Science Data System explanatory supplement; public reader ztfimg): a primary one
of keywords, quadrants 1 to 4, their overscans in the same order.  Pixels are float32, RICE
compressed in tiles of one row, so any range of rows decodes alone, and costs no more than its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from zlib import error as ZlibError

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException  # what a broken RICE tile raises
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, CcdExposure
from ztf_in2p3.rice import RiceImage

N_HDU = 1 + 2 * N_QUADRANT
_MJD_ZERO = date(1858, 11, 17)
_FETCH = "fetch it again, or reject the exposure"
_UNDECODABLE = (OSError, ValueError, TypeError, IndexError, KeyError, RuntimeError, ZlibError, CfitsioException)


@dataclass(frozen=True, slots=True, eq=False)
class RawCcd:
    """An open raw file.  Pixels are read when asked for and never kept, so many can be open at once."""

    path: Path
    camera: Camera
    ccdid: int
    header: fits.Header
    """Of the primary HDU: the exposure's keywords."""
    _file: BinaryIO
    _images: tuple[RiceImage | None, ...]
    """By HDU - 1; None where astropy must read it."""
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
            another CCD than asked for, or of none.
        """
        file = path.open("rb")
        try:
            _check_start(path, file.read(80))
            file.seek(0)
            # Without a memory map: mapped pages of hundreds of open frames would count as our memory.
            with _bad_data(path, "cannot be read as FITS"):
                hdus = fits.open(file, memmap=False, disable_image_compression=True)
                n_hdu = len(hdus)
                _check_layout(path, hdus, n_hdu, camera)
                images = tuple(RiceImage.of(hdu) for hdu in hdus[1:])
                amplifiers = tuple(
                    (_positive(hdu, hdus[0], "GAIN"), _positive(hdu, hdus[0], "READNOI"))
                    for hdu in hdus[1 : 1 + N_QUADRANT]
                )
                return cls(path, camera, _ccdid(path, hdus, ccdid), hdus[0].header, file, images, amplifiers)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def mjd(self) -> float:
        """UTC of the exposure's start, modified Julian date."""
        for keyword, zero in (("OBSMJD", 0.0), ("OBSJD", 2_400_000.5)):
            value = _number(self.header.get(keyword))
            if value is not None:
                return value - zero
        raise BadData(f"{self.path}: neither OBSMJD nor OBSJD in the primary header; {_FETCH}")

    @property
    def night(self) -> date:
        """UT date."""
        return _MJD_ZERO + timedelta(days=math.floor(self.mjd))

    @property
    def led(self) -> int:
        """Flat-field LED that shone (`ILUM_LED`); 0 if none did."""
        return int(_number(self.header.get("ILUM_LED")) or 0)

    def gain(self, qid: int) -> float:
        """Electrons per ADU of a quadrant; the camera's nominal one if the file has none above 0."""
        return self._amplifiers[_index(qid) - 1][0] or self.camera.gain

    def read_noise(self, qid: int) -> float:
        """Electrons, of a quadrant; the camera's nominal one if the file has none above 0."""
        return self._amplifiers[_index(qid) - 1][1] or self.camera.read_noise

    def pixels(
        self, qid: int, rows: slice = slice(None), out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Rows of a quadrant as stored: (row, column), ADU, electronic offset included; in `out` if that is given."""
        return self._section(_index(qid), rows, out)

    def overscan(self, qid: int) -> NDArray[np.float32]:
        """Overscan of a quadrant as stored: (row, 30 columns), ADU."""
        return self._section(N_QUADRANT + _index(qid), slice(None))

    def _section(self, index: int, rows: slice, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        image = self._images[index - 1]
        with _bad_data(self.path, f"HDU {index} cannot be decoded"):
            if image is not None and rows.step in (None, 1):
                return image.rows(self._file.fileno(), rows, out)
            with fits.open(self.path, memmap=False) as hdus:
                pixels = np.asarray(hdus[index].section[rows], dtype=np.float32)
        if out is None:
            return pixels
        out[...] = pixels
        return out


def _index(qid: int) -> int:
    if not 1 <= qid <= N_QUADRANT:
        raise ValueError(f"no quadrant {qid}: they are numbered 1 to {N_QUADRANT}")
    return qid


def _number(value: Any) -> float | None:
    """A card's value if it is a finite number, also one written as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


@contextmanager
def _bad_data(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except _UNDECODABLE as error:
        raise BadData(f"{path}: {what} ({type(error).__name__}: {error}); {_FETCH}") from error


def _compressed(hdu: Any) -> bool:
    return isinstance(hdu, fits.BinTableHDU) and bool(hdu.header.get("ZIMAGE", False))


def _shape(hdu: Any) -> tuple[int, ...]:
    """Of the image; () if it is none."""
    if _compressed(hdu):
        return tuple(hdu.header[f"ZNAXIS{axis}"] for axis in range(hdu.header["ZNAXIS"], 0, -1))
    return tuple(hdu.shape) if hdu.is_image else ()


def _positive(hdu: Any, primary: Any, keyword: str) -> float | None:
    value = _number(hdu.header.get(keyword, primary.header.get(keyword)))
    return value if value is not None and value > 0 else None


def _check_start(path: Path, start: bytes) -> None:
    if start.startswith(b"SIMPLE  ="):
        return
    found = "nothing" if not start else "a web page" if start.lstrip()[:1] == b"<" else f"{start[:12]!r}"
    raise BadData(f"{path}: not a FITS file: it starts with {found} instead of SIMPLE; {_FETCH}")


def _check_layout(path: Path, hdus: fits.HDUList, n_hdu: int, camera: Camera) -> None:
    if n_hdu != N_HDU:
        raise BadData(
            f"{path}: {n_hdu} HDUs found, {N_HDU} expected (keywords, {N_QUADRANT} quadrants, "
            f"{N_QUADRANT} overscans); {_FETCH}"
        )
    size = path.stat().st_size
    needed = max(info["datLoc"] + info["datSpan"] for info in (hdus.fileinfo(i) for i in range(n_hdu)))
    if size < needed:
        raise BadData(f"{path}: truncated, {size} bytes found of {needed}; {_FETCH}")
    rows, columns = camera.shape
    for index in range(1, n_hdu):
        expected = (rows, columns) if index <= N_QUADRANT else (rows, camera.overscan_columns)
        found = _shape(hdus[index])
        if found != expected:
            raise BadData(
                f"{path}: HDU {index} has shape {found}, expected {expected} (rows, columns) for camera "
                f"{camera.name!r}; is this its raw file?"
            )


def _ccdid(path: Path, hdus: fits.HDUList, asked: int | None) -> int:
    """CCD of the file: the quadrants' CCD_ID, else the primary header's, else the file's name."""
    said = {_number(hdu.header.get("CCD_ID", hdus[0].header.get("CCD_ID"))) for hdu in hdus[1 : 1 + N_QUADRANT]}
    numbers = sorted(ccd for ccd in said if ccd is not None) or _named(path, asked)
    found = " and ".join(f"{ccd:g}" for ccd in numbers) or "none"
    ccdid = numbers[0] if len(numbers) == 1 else 0
    if ccdid not in range(1, N_CCD + 1):
        raise BadData(f"{path}: of CCD {found}, expected one of 1 to {N_CCD} in CCD_ID of its four quadrants; {_FETCH}")
    if asked is not None and ccdid != asked:
        raise BadData(f"{path}: of CCD {found}, but CCD {asked} is asked for; see how the file was chosen")
    return int(ccdid)


def _named(path: Path, asked: int | None) -> list[float]:
    try:
        return [CcdExposure.parse(path.name.split(".")[0]).ccdid]
    except ValueError:
        return [] if asked is None else [asked]
