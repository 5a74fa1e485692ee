"""RICE-compressed images of floating point numbers, a row a tile, decoded from the open file.

astropy reads such images too, and is the judge of this code: bit for bit the same pixels, at a
fraction of the time, any range of rows without a word of memory for the others.  What is
compressed in another way is left to astropy.

The coding: differences of neighbours in Rice codes, 32 to a block (R. White & P. Greenfield 1999, ASPC 172,
125; FITS standard 4.0, section 10.4.1), of values that stand for ZZERO + ZSCALE x value, with a
dither that a fixed sequence of random numbers gives (ibid. 10.2; White et al. 2012, arXiv:1201.1336).
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.cards import integer, number, text
from ztf_in2p3.hdu import Hdu, hdu_of
from ztf_in2p3.rice_kernels import AHEAD, decode_tiles

_DITHERS = {"NO_DITHER": 0, "SUBTRACTIVE_DITHER_1": 1, "SUBTRACTIVE_DITHER_2": 2}
_N_RANDOM = 10_000
_GZIP = 31
"""zlib's word for a gzip header around the stream."""


@dataclass(frozen=True, slots=True, eq=False)
class RiceImage:
    """Places where the tiles of an image lie in its file, and what their numbers mean."""

    shape: tuple[int, int]
    _fields: np.dtype
    """Type of a row of the table of tiles."""
    _table: int
    _heap: int
    _heap_size: int
    """Bytes; the first two from the start of the file."""
    _dither: int
    _seed: int
    _blank: int | None

    @property
    def _names(self) -> tuple[str, ...]:
        return self._fields.names or ()

    @classmethod
    def of(cls, stored: Any) -> Self | None:
        """The image of an HDU of `ztf_in2p3.hdus`, or of astropy's if opened with `disable_image_compression`.

        None if its pixels are coded or scaled in another way.
        """
        hdu = stored if isinstance(stored, Hdu) else _sized(stored)
        header = hdu.header
        if not hdu.compressed or len(hdu.shape) != 2 or hdu.bitpix != -32:
            return None
        settings = {text(header, f"ZNAME{i}"): integer(header, f"ZVAL{i}") for i in range(1, 10)}
        fields = _table_fields(header)
        blank_key = "ZBLANK" if "ZBLANK" in header else "BLANK"
        ours = (
            text(header, "ZCMPTYPE") == "RICE_1"
            and (integer(header, "ZTILE1") or hdu.shape[1], integer(header, "ZTILE2") or 1) == (hdu.shape[1], 1)
            and (settings.get("BLOCKSIZE"), settings.get("BYTEPIX")) == (32, 4)
            and (text(header, "ZQUANTIZ") or "NO_DITHER") in _DITHERS
            and "ZMASKCMP" not in header
            and all(number(header, key) in (None, unit) for key, unit in (("BSCALE", 1), ("BZERO", 0)))
        )
        if not ours or fields is None or fields.itemsize != integer(header, "NAXIS1"):
            return None
        if blank_key in header and integer(header, blank_key) is None:
            return None
        heap = integer(header, "THEAP") or fields.itemsize * hdu.shape[0]
        return cls(
            (hdu.shape[0], hdu.shape[1]),
            fields,
            hdu.start,
            hdu.start + heap,
            hdu.size - heap,
            _DITHERS[text(header, "ZQUANTIZ") or "NO_DITHER"],
            integer(header, "ZDITHER0") or 0,
            integer(header, blank_key),
        )

    def rows(self, descriptor: int, rows: slice = slice(None), out: NDArray[np.float32] | None = None) -> NDArray:
        """Pixels of neighbouring rows: (row, column), float32.

        Parameters
        ----------
        descriptor
            Descriptor of the open file; its position does not matter and is not moved.
        rows
            In steps of 1.
        out : (row, column)
            Where to put them, if not in a new array.

        Raises
        ------
        ValueError
            The tiles are not what they should be.
        """
        first, last, step = rows.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"rows in steps of {step}; they are read one after the other")
        n = max(last - first, 0)
        pixels = np.empty((n, self.shape[1]), np.float32) if out is None else out
        if pixels.shape != (n, self.shape[1]) or not pixels.flags.c_contiguous:
            raise ValueError(f"room for {pixels.shape} pixels where {(n, self.shape[1])} are to be put")
        if n == 0:
            return pixels
        size = self._fields.itemsize
        table = np.frombuffer(_read(descriptor, n * size, self._table + first * size), self._fields)
        length, offset = (np.ascontiguousarray(column, np.int64) for column in table["COMPRESSED_DATA"].T)
        coded = length > 0
        if coded.any():
            begin, end = int(offset[coded].min()), int((offset + length)[coded].max())
            if begin < 0 or end > self._heap_size or length.min() < 0:
                raise ValueError(f"tiles of rows {first} to {last - 1} lie outside their heap")
            heap = np.frombuffer(_read(descriptor, end - begin, self._heap + begin, AHEAD), np.uint8)
            blank = self._blank is not None or "ZBLANK" in self._names
            blanks = table["ZBLANK"] if "ZBLANK" in self._names else np.full(n, self._blank or 0)
            broken = decode_tiles(
                heap,
                offset - begin,
                length,
                table["ZSCALE"].astype(np.float64),
                table["ZZERO"].astype(np.float64),
                self._dither,
                first + self._seed - 1,
                randoms(),
                blank,
                blanks.astype(np.int32),
                pixels,
            )
            if broken >= 0:
                raise ValueError(f"the tile of row {first + broken} ends before its last pixel")
        for row in np.flatnonzero(~coded):
            pixels[row] = self._uncoded(descriptor, table[row])
        return pixels

    def _uncoded(self, descriptor: int, tile: Any) -> NDArray[np.float32]:
        """A row that was not worth quantising, kept exactly."""
        for column in ("GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA"):
            if column in self._names and tile[column][0] > 0:
                length, offset = (int(number) for number in tile[column])
                if column == "UNCOMPRESSED_DATA":
                    length *= 4
                if offset < 0 or offset + length > self._heap_size:
                    raise ValueError("an uncoded tile lies outside the heap")
                content = _read(descriptor, length, self._heap + offset)
                exact = zlib.decompress(content, _GZIP) if column == "GZIP_COMPRESSED_DATA" else content
                return np.frombuffer(exact, ">f4", count=self.shape[1]).astype(np.float32)
        raise ValueError("a tile holds nothing")


_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA", "ZSCALE", "ZZERO", "ZBLANK")


_TYPES = {"P": "(2,)>i4", "Q": "(2,)>i8", "D": ">f8", "E": ">f4", "J": ">i4"}


def _sized(hdu: Any) -> Hdu:
    return hdu_of(hdu.header, hdu.fileinfo()["datLoc"], "image")


def _table_fields(header: fits.Header) -> np.dtype | None:
    """Type of a row of the table of tiles; None if it has columns that we do not know."""
    fields: list[tuple[str, str]] = []
    for k in range(1, (integer(header, "TFIELDS") or 0) + 1):
        name, form = text(header, f"TTYPE{k}") or "", (text(header, f"TFORM{k}") or "").lstrip("1")
        if name not in _COLUMNS or form[:1] not in _TYPES or name in (field[0] for field in fields):
            return None
        if (form[:1] in "PQ") != name.endswith("_DATA"):
            return None
        fields.append((name, _TYPES[form[:1]]))
    if not {"COMPRESSED_DATA", "ZSCALE", "ZZERO"} <= {field[0] for field in fields}:
        return None
    return np.dtype(fields)


def _read(descriptor: int, size: int, at: int, zeros: int = 0) -> bytearray:
    """Bytes of the file, and some zeros behind."""
    content = bytearray(size + zeros)
    view = memoryview(content)[:size]
    done = 0
    while done < size:
        n = os.preadv(descriptor, [view[done:]], at + done)
        if n == 0:
            raise ValueError(f"the file ends {size - done} bytes early")
        done += n
    return content


@cache
def randoms() -> NDArray[np.float32]:
    """The standard's sequence (FITS 4.0, appendix I; Park & Miller 1988)."""
    values, seed = np.empty(_N_RANDOM, np.float32), 1
    for i in range(_N_RANDOM):
        seed = 16807 * seed % 2147483647
        values[i] = seed / 2147483647
    return values
