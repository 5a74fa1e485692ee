"""FITS files whose bytes depend on nothing but what is in them.

Two writers of one product, on two machines in two years, then write one file, and what is
made from it need not be made again.  Three things would stand in the way, and are taken
out: the time in the comments of CHECKSUM and DATASUM, the time in the header of every GZIP
tile, and a dither that starts at random.  Reading needs no more than astropy.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.hdu import BLOCK
from ztf_in2p3.products import Value
from ztf_in2p3.rice_encoder import EncodedImage, encode_image
from ztf_in2p3.rice_quantise import LEAST_COLUMNS

DITHER_SEED = 1
"""Seed of the first tile of every plane (1 to 10000); later tiles count on (White et al. 2012, arXiv:1201.1336)."""

_TILE_ROWS = 64
"""Rows of a tile of integer planes: a tile costs astropy as much as its pixels if it is only a row."""

Cards = Mapping[str, Value | tuple[Value, str]]
"""Keyword to value, or to value and comment."""

_OF_THE_FILE = ("CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM", "DATE", "BLANK", "EXTNAME", "EXTVER", "INHERIT")
"""Cards that speak of the file a header was read from, not of what was observed."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One image extension.

    Parameters
    ----------
    name
        EXTNAME.
    pixels : array of any number of axes
        Floating point is stored as float32, quantised and dithered, NaN kept; integers are
        stored exactly, booleans as uint8.
    unit
        BUNIT, if any, as astropy writes units.
    cards
        Go over those of `header`.
    header
        Cards to carry along, such as a WCS; those that describe the file they come from are left behind.
    quantize
        Steps of the quantisation per standard deviation of a row's noise.  16 puts 1/55 of
        the noise on every pixel (1 / (16 sqrt(12)); Pence et al. 2010, PASP 122, 1065).
    """

    name: str
    pixels: NDArray
    unit: str = ""
    cards: Cards = field(default_factory=dict)
    header: fits.Header | None = None
    quantize: float = 16.0


def write_fits(path: Path, planes: Iterable[Plane], cards: Cards | None = None) -> None:
    """Write planes as compressed extensions behind a primary HDU of keywords only.

    Planes are taken one by one, so they may be computed as they are asked for.  Floats: RICE,
    subtractive dither of a fixed seed, one tile a row (rows without noise are kept exactly).
    Integers: GZIP_2, tiles of many rows.  Each HDU has CHECKSUM and DATASUM.

    Raises
    ------
    ValueError
        A plane is empty, not numeric, holds an infinity, or shares its name with another.
    """
    names: list[str] = []
    primary = fits.PrimaryHDU()
    primary.header.update(cards or {})
    with path.open("wb") as out:
        _append(out, _as_bytes(primary), index=0)
        for plane in planes:
            names.append(plane.name)
            if len(set(names)) < len(names):
                raise ValueError(f"{path.name}: extension names must differ, got {names}")
            _append(out, _plane_as_bytes(plane, path.name), index=1)


def _plane_as_bytes(plane: Plane, file_name: str) -> io.BytesIO:
    """A FITS file of this plane behind an empty primary HDU."""
    pixels = np.asarray(plane.pixels)
    if pixels.dtype.kind != "f" or pixels.ndim != 2 or pixels.shape[1] < LEAST_COLUMNS or not len(pixels):
        return _as_bytes(_compressed(plane, file_name))
    image = encode_image(_finite(plane, file_name), plane.quantize, DITHER_SEED)
    few = np.tile(
        np.arange(pixels.shape[1], dtype=np.float32) // 2 % 2, (2, 1)
    )  # astropy writes the header, of two rows
    if image.has_blanks:
        few[0, 0] = np.nan
    return _with_tiles(_as_bytes(_compressed(replace(plane, pixels=few), file_name)), image)


def _with_tiles(file: io.BytesIO, image: EncodedImage) -> io.BytesIO:
    """The file with other pixels than it has, and as many rows as they fill."""
    with fits.open(file, disable_image_compression=True) as hdus:
        header, start = hdus[1].header, hdus[1].fileinfo()["hdrLoc"]
        coded, exact = image.longest
        header["NAXIS2"] = header["ZNAXIS2"] = len(image.tiles)
        header["PCOUNT"] = len(image.heap)
        header["TFORM1"], header["TFORM2"] = f"1PB({coded})", f"1PB({exact})"
        content = file.getvalue()[:start] + header.tostring().encode("ascii") + image.tiles.tobytes() + image.heap
    return io.BytesIO(content + bytes(-len(content) % BLOCK))


def _finite(plane: Plane, file_name: str) -> NDArray[np.float32]:
    """Pixels as float32; ValueError if there is an infinite one, or the quantisation has no steps."""
    where = f"plane {plane.name} of {file_name}"
    if plane.quantize <= 0:
        raise ValueError(f"{where}: quantisation must have a positive number of steps, got {plane.quantize}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told below
        pixels = np.asarray(plane.pixels).astype(np.float32)
    if n_infinite := np.count_nonzero(np.isinf(pixels)):
        raise ValueError(f"{where}: {n_infinite} pixels are infinite; mark undefined pixels as NaN")
    return pixels


def _compressed(plane: Plane, file_name: str) -> fits.CompImageHDU:
    pixels = np.asarray(plane.pixels)
    where = f"plane {plane.name} of {file_name}"
    if pixels.size == 0 or pixels.dtype.kind not in "fiub":
        raise ValueError(f"{where}: expected an image of numbers, got shape {pixels.shape} of {pixels.dtype}")
    header = _carried(plane.header)
    if pixels.dtype.kind == "f":
        pixels = _finite(plane, file_name)
        hdu = fits.CompImageHDU(
            pixels,
            header,
            compression_type="RICE_1",
            quantize_level=plane.quantize,
            quantize_method=1,
            dither_seed=DITHER_SEED,
        )
    else:
        pixels = pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels
        tile = tuple(
            min(size, _TILE_ROWS if axis == pixels.ndim - 2 else size) for axis, size in enumerate(pixels.shape)
        )
        hdu = fits.CompImageHDU(pixels, header, compression_type="GZIP_2", tile_shape=tuple(tile))
    hdu.header["EXTNAME"] = plane.name
    if plane.unit:
        hdu.header["BUNIT"] = plane.unit
    hdu.header.update(plane.cards)
    return hdu


def _carried(header: fits.Header | None) -> fits.Header | None:
    """What a new image takes over from an old header."""
    if header is None:
        return None
    carried = header.copy(strip=True)
    for keyword in _OF_THE_FILE:
        carried.remove(keyword, ignore_missing=True, remove_all=True)
    return carried


def _as_bytes(hdu: fits.PrimaryHDU | fits.CompImageHDU) -> io.BytesIO:
    """A FITS file of this HDU alone."""
    alone = hdu if isinstance(hdu, fits.PrimaryHDU) else fits.HDUList([fits.PrimaryHDU(), hdu])
    file = io.BytesIO()
    alone.writeto(file, output_verify="exception")
    file.seek(0)
    return file


def _append(out: BinaryIO, file: io.BytesIO, index: int) -> None:
    """Write one HDU of a file in memory, without the times in it and with its checksums."""
    with fits.open(file, disable_image_compression=True) as hdus:
        hdu = hdus[index]
        where = hdu.fileinfo()
        if index:
            _forget_gzip_times(file.getbuffer(), hdu)  # before its data are read, for the checksums
        hdu.add_checksum(when="")
        out.write(hdu.header.tostring().encode("ascii"))
        out.write(file.getbuffer()[where["datLoc"] : where["datLoc"] + where["datSpan"]])


def _forget_gzip_times(file: memoryview, hdu: fits.BinTableHDU) -> None:
    """Set the time in each GZIP tile's header to 0 (none) and its operating system to 255 (unknown), RFC 1952."""
    start = hdu.fileinfo()["datLoc"]
    header = hdu.header
    heap = start + header.get("THEAP", header["NAXIS1"] * header["NAXIS2"])
    tiles = np.frombuffer(bytes(file[start:heap]), hdu.columns.dtype.newbyteorder(">"), count=header["NAXIS2"])
    gzipped = "COMPRESSED_DATA" if header["ZCMPTYPE"] == "GZIP_2" else "GZIP_COMPRESSED_DATA"
    for length, offset in tiles[gzipped].tolist():
        if length:
            at = heap + offset
            file[at + 4 : at + 8] = bytes(4)
            file[at + 9] = 255
