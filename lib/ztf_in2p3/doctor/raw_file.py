"""A raw file as it is, without an opinion about how it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.cards import integer, text
from ztf_in2p3.rice import RiceImage

_MAX_AXES = 999
"""Most axes of an image, by the FITS standard."""


@dataclass(frozen=True, slots=True, eq=False)
class Hdu:
    """One HDU, as stored."""

    place: int
    """Number of HDUs before it in the file."""
    header: fits.Header
    """Cards as stored: those of a compressed image begin with Z."""
    shape: tuple[int, ...]
    """(rows, columns) of the image; () without one."""
    bitpix: int
    """BITPIX of the image itself, also where it is compressed."""
    compression: str
    """``RICE_1`` or the like; empty where it is not compressed."""
    tile: tuple[int, ...]
    """(rows, columns) of a compressed image's tiles."""
    datasum: bool | None
    """Whether the DATASUM is right; None without one."""
    rice: RiceImage | None

    @property
    def name(self) -> str:
        """Name of the extension; empty if it has none."""
        return text(self.header, "EXTNAME") or ""


@dataclass(frozen=True, slots=True, eq=False)
class RawFile:
    """HDUs of a raw file; pixels are read when asked for and never kept."""

    path: Path
    hdus: tuple[Hdu, ...]
    """HDUs in the order of the file, or as `arranged`."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read all headers, and the data once for their sums.  What astropy raises on other files is passed on."""
        with fits.open(path, memmap=False, disable_image_compression=True) as stored:
            return cls(path, tuple(_hdu(place, hdu) for place, hdu in enumerate(stored)))

    def arranged(self, places: Sequence[int]) -> Self:
        """The file with its HDUs in another order."""
        return replace(self, hdus=tuple(self.hdus[place] for place in places))

    @property
    def primary(self) -> fits.Header:
        """Header of the primary HDU."""
        return self.hdus[0].header

    def pixels(self, index: int) -> NDArray[np.float32]:
        """Image of the HDU at `hdus[index]` as stored, (row, column)."""
        rice = self.hdus[index].rice
        if rice is not None:
            with self.path.open("rb") as file:
                return rice.rows(file.fileno())
        with fits.open(self.path, memmap=False) as hdus:
            return np.array(hdus[self.hdus[index].place].data, dtype=np.float32)


def _hdu(place: int, stored: Any) -> Hdu:
    header = stored.header
    compressed = bool(header.get("ZIMAGE", False))
    z = "Z" if compressed else ""
    n_axis = integer(header, f"{z}NAXIS") or 0
    axes = [integer(header, f"{z}NAXIS{axis}") or 0 for axis in range(min(n_axis, _MAX_AXES), 0, -1)]
    image = compressed or stored.is_image
    tile = tuple(integer(header, f"ZTILE{axis}") or 0 for axis in range(len(axes), 0, -1)) if compressed else ()
    return Hdu(
        place,
        header.copy(),
        tuple(axes) if image else (),
        integer(header, f"{z}BITPIX") or 0,
        (text(header, "ZCMPTYPE") or "") if compressed else "",
        tile,
        {0: False, 1: True}.get(stored.verify_datasum()),
        RiceImage.of(stored) if compressed else None,
    )
