"""What a FITS file holds, judged by its headers and its length before anything of it is decoded.

A header can announce anything: two thousand million columns, fewer than none, more bytes than the file has.  Who
believes it runs out of memory.  So the headers are read here, each number that sizes are made of is checked against
the file, and only then does anybody allocate or decode.  (FITS standard 4.0, sections 4.4.1 and 10.1.)
"""

from __future__ import annotations

import errno
import math
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import error as ZlibError

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException  # what a broken tile raises
from numpy.typing import NDArray

from ztf_in2p3.cards import CARD, describe, integer, number, parse_cards, text, values
from ztf_in2p3.errors import BadData, TransientError

BLOCK = 2880
"""Bytes; headers and data fill whole ones."""
LONGEST_HEADER = 200 * BLOCK
"""Bytes; a header still without an END card here is none.  IPAC's science headers are 8 blocks long."""
MAX_PIXELS = 2**27
"""Most pixels of one image: 14 times a quadrant of ZTF, and 0.5 GB of float32."""
MAX_HDUS = 200
MAX_AXES = 9

UNDECODABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
    ZlibError,
    CfitsioException,
    fits.VerifyError,
)
"""What astropy and its decoders have been seen to raise on damaged bytes, besides OSError."""
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.EHOSTDOWN}
"""Moods of a network file system."""
_DITHERS = ("NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2", "NONE")
_N_DITHER = 10_000
_BITPIX = (8, 16, 32, 64, -32, -64)
_DO = "fetch it again, or leave it out"


@dataclass(frozen=True, slots=True, eq=False)
class Hdu:
    """A header and where its data lie."""

    header: fits.Header
    """As stored (of a compressed image: that of its table of tiles); every card can be read."""
    start: int
    size: int
    """Bytes of the data, from the start of the file; without padding."""
    shape: tuple[int, ...]
    """Shape of the image once decoded, slowest axis first; () if the HDU holds no image."""
    compressed: bool

    @property
    def end(self) -> int:
        """Byte after the data and their padding, from the start of the file."""
        return self.start + -(-self.size // BLOCK) * BLOCK

    @property
    def bitpix(self) -> int:
        """Type of the pixels, once decoded."""
        return integer(self.header, "ZBITPIX" if self.compressed else "BITPIX") or 0

    @property
    def name(self) -> str:
        """Name of the extension in capitals; empty if it has none."""
        return (text(self.header, "EXTNAME") or "").upper()


@contextmanager
def decoding(name: str, what: str = "cannot be read as FITS") -> Iterator[None]:
    """Whatever the reader of a file's content raises within is the file's fault, and said so.

    Raises
    ------
    BadData
        The content cannot be decoded.
    TransientError
        The file system did not answer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cards that nobody asks for
            yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _PASSING:
            raise TransientError(f"{name}: {error.strerror}; the file system may recover, try again") from error
        raise BadData(f"{name}: {what} ({type(error).__name__}: {error}); {_DO}") from error
    except UNDECODABLE as error:
        raise BadData(f"{name}: {what} ({type(error).__name__}: {error}); {_DO}") from error


def read_hdus(path: Path, name: str = "") -> tuple[Hdu, ...]:
    """All HDUs of a file, each of a size that the file has.

    Parameters
    ----------
    name
        Name of the file, for the messages; its path if not given.

    Raises
    ------
    BadData
        Not a FITS file, or cut short, or a header announces what cannot be.
    """
    name = name or str(path)
    with decoding(name), path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        hdus: list[Hdu] = []
        while not hdus or hdus[-1].end < length:
            where = f"{name}, HDU {len(hdus)}"
            if len(hdus) >= MAX_HDUS:
                raise BadData(f"{name}: more than {MAX_HDUS} HDUs; expected an image with few extensions; {_DO}")
            start = hdus[-1].end if hdus else 0
            file.seek(start)
            if hdus and not _starts_extension(file):
                break  # what follows the last HDU is no business of an image's reader
            hdu = hdu_of(read_header_at(file, where), file.tell(), where)
            if hdu.end > length:
                raise BadData(f"{name}: truncated, {length} bytes found of {hdu.end}; {_DO}")
            hdus.append(hdu)
    return tuple(hdus)


def read_header(path: Path) -> fits.Header:
    """Header of the first image of two axes, or the first one of a file that holds a header only; never its pixels.

    Raises
    ------
    BadData
        Not a FITS file, or its header is cut short.
    """
    name = str(path)
    with decoding(name), path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        first = read_header_at(file, name)
        if integer(first, "NAXIS") == 2:
            return first
        start, header = hdu_of(first, file.tell(), name).end, None
        for index in range(1, MAX_HDUS):
            file.seek(start)
            if start >= length or not _starts_extension(file):
                break
            header = read_header_at(file, f"{name}, HDU {index}")
            hdu = hdu_of(header, file.tell(), f"{name}, HDU {index}")
            if len(hdu.shape) == 2:
                return image_header(hdu)
            start = hdu.end
    return first


def read_primary(path: Path) -> fits.Header:
    """Header of the first HDU."""
    with decoding(str(path)), path.open("rb") as file:
        return read_header_at(file, str(path))


def read_header_at(file: BinaryIO, name: str) -> fits.Header:
    """Header that begins where the file stands; it is left at the first byte of the data."""
    blocks = bytearray()
    first = file.tell() == 0
    while len(blocks) < LONGEST_HEADER:
        block = file.read(BLOCK)
        if not blocks:
            _require_start(block, name, first)
        if len(block) < BLOCK:
            raise BadData(f"{name}: ends after {len(blocks) + len(block)} bytes, within its header; {_DO}")
        blocks += block
        if any(block[at : at + CARD].rstrip() == b"END" for at in range(0, BLOCK, CARD)):
            return parse_cards(bytes(blocks))
    raise BadData(f"{name}: no END card within the first {len(blocks)} bytes; this is not a FITS header; {_DO}")


def hdu_of(header: fits.Header, start: int, name: str) -> Hdu:
    """The HDU that a header announces.  BadData if there can be no such HDU."""
    axes = _axes(header, "", name)
    bitpix = _size(header, "BITPIX", name, _BITPIX)
    extension = text(header, "XTENSION")
    parameters, groups = 0, 1
    if extension is not None:
        parameters = _size(header, "PCOUNT", name, range(2**40))
        groups = _size(header, "GCOUNT", name, range(1, 2))
    elif axes and axes[-1] == 0 and (len(axes) > 1 or "GROUPS" in header):
        raise BadData(f"{name}: random groups, or an axis without pixels; expected an image; {_DO}")
    size = abs(bitpix) // 8 * groups * (parameters + (math.prod(axes) if axes else 0))
    if extension == "BINTABLE" and values(header, "ZIMAGE") == [True]:
        return Hdu(header, start, size, _tiled_shape(header, axes, parameters, name), True)
    shape = axes if extension in (None, "IMAGE") and axes and 0 not in axes else ()
    if shape:
        if parameters:
            raise BadData(f"{name}: {describe(header, 'PCOUNT')}; an image has none; {_DO}")
        _require_few(shape, name)
    return Hdu(header, start, size, shape, False)


def image_header(hdu: Hdu) -> fits.Header:
    """Header of an image, as it was before compression; sizes as in `ztf_in2p3.archive.header.without_pixels`.

    The cards of the table of tiles go; ZNAXIS, ZNAXIS1, ZNAXIS2, ZHECKSUM and ZDATASUM stay, and NAXIS is 0.
    """
    if not hdu.compressed:
        return hdu.header
    header = fits.Header([card for card in hdu.header.cards if not _of_table(card.keyword)])
    header.insert(0, ("SIMPLE", True, "conforms to FITS standard"))
    header.insert(1, ("BITPIX", hdu.bitpix, "type of the pixels"))
    header.insert(2, ("NAXIS", 0, "no pixels; the image had ZNAXIS1 x ZNAXIS2"))
    return header


_TABLE_CARDS = {
    "XTENSION",
    "SIMPLE",
    "BITPIX",
    "NAXIS",
    "NAXIS1",
    "NAXIS2",
    "PCOUNT",
    "GCOUNT",
    "TFIELDS",
    "THEAP",
    "EXTEND",
    "ZIMAGE",
    "ZSIMPLE",
    "ZTENSION",
    "ZEXTEND",
    "ZBITPIX",
    "ZPCOUNT",
    "ZGCOUNT",
    "ZCMPTYPE",
    "ZQUANTIZ",
    "ZDITHER0",
    "ZBLANK",
    "ZMASKCMP",
    "CHECKSUM",
    "DATASUM",
}


def _of_table(keyword: str) -> bool:
    stem = keyword.rstrip("0123456789")
    return keyword in _TABLE_CARDS or (stem != keyword and stem in {"TTYPE", "TFORM", "ZTILE", "ZNAME", "ZVAL"})


def read_pixels(path: Path, index: int, hdu: Hdu, name: str = "") -> NDArray:
    """Pixels of an image, scaled as its header says.  BadData if they cannot be decoded."""
    require_decodable(hdu, name or str(path))
    with decoding(name or str(path), f"the pixels of HDU {index} cannot be decoded"):
        with fits.open(path, memmap=False) as opened:
            pixels = np.asarray(opened[index].data)
        if pixels.shape != hdu.shape:
            raise ValueError(f"pixels of {pixels.shape}, announced are {hdu.shape}")
        return pixels


def require_decodable(hdu: Hdu, name: str) -> None:
    """Refuse a scale of the pixels on which readers disagree, or that cannot be read.

    Compressed floating-point pixels have a scale for each tile (ZSCALE, ZZERO); whether BSCALE and BZERO come on top,
    or were left over from the integers that the image once was, differs from reader to reader.
    """
    header = hdu.header
    for key, neutral in (("BSCALE", 1.0), ("BZERO", 0.0)):
        if not values(header, key) or number(header, key) == neutral:
            continue
        if number(header, key) is None or (key == "BSCALE" and number(header, key) == 0):
            raise BadData(f"{name}: {describe(header, key)}; expected the scale of the pixels; {_DO}")
        if hdu.compressed and hdu.bitpix < 0:
            raise BadData(
                f"{name}: {describe(header, key)} on compressed floating-point pixels, which readers take or "
                f"ignore; expected {neutral:g} or none: decompress the file with what wrote it, or leave it out"
            )
    for key in ("BLANK", "ZBLANK"):
        if key in header and integer(header, key) is None:
            raise BadData(f"{name}: {describe(header, key)}; expected the number of pixels without data; {_DO}")
    if not hdu.compressed or "ZQUANTIZ" not in header:
        return
    dither = text(header, "ZQUANTIZ") or ""
    if dither not in _DITHERS:
        raise BadData(f"{name}: {describe(header, 'ZQUANTIZ')}; expected {', '.join(_DITHERS)}; {_DO}")
    if dither.startswith("SUBTRACTIVE") and not 1 <= (integer(header, "ZDITHER0") or 0) <= _N_DITHER:
        raise BadData(f"{name}: {describe(header, 'ZDITHER0')}; expected the dither's start, 1 to {_N_DITHER}; {_DO}")


def _starts_extension(file: BinaryIO) -> bool:
    at = file.tell()
    start = file.read(8)
    file.seek(at)
    return start == b"XTENSION"


def _require_start(block: bytes, name: str, first: bool) -> None:
    expected = b"SIMPLE  =" if first else b"XTENSION="
    if block.startswith(expected):
        return
    start = "nothing" if not block else "a web page" if block.lstrip()[:1] == b"<" else f"{block[:12]!r}"
    raise BadData(f"{name}: not a FITS file: it starts with {start} instead of {expected[:8].decode()}; {_DO}")


def _size(header: fits.Header, key: str, name: str, allowed: range | tuple[int, ...]) -> int:
    value = integer(header, key)
    if value is None or value not in allowed or isinstance(values(header, key)[0], str):
        among = f"{allowed.start} to {allowed.stop - 1}" if isinstance(allowed, range) else str(allowed)
        raise BadData(f"{name}: {describe(header, key)}; expected a whole number, of {among}; {_DO}")
    return value


def _axes(header: fits.Header, prefix: str, name: str) -> tuple[int, ...]:
    """Lengths, slowest axis first."""
    count = _size(header, f"{prefix}NAXIS", name, range(MAX_AXES + 1))
    return tuple(_size(header, f"{prefix}NAXIS{axis}", name, range(2**40)) for axis in range(count, 0, -1))


def _require_few(shape: tuple[int, ...], name: str) -> None:
    if math.prod(shape) > MAX_PIXELS:
        raise BadData(
            f"{name}: announces an image of {shape} pixels (rows, columns), more than the {MAX_PIXELS} that any "
            f"image here has; {_DO}"
        )


def _tiled_shape(header: fits.Header, table: tuple[int, ...], heap: int, name: str) -> tuple[int, ...]:
    """Shape of a compressed image whose tiles fill the table's rows."""
    shape = _axes(header, "Z", name)
    if not shape or 0 in shape or len(table) != 2:
        raise BadData(f"{name}: a compressed image of shape {shape} in a table of shape {table}; {_DO}")
    _size(header, "ZBITPIX", name, _BITPIX)
    _require_few(shape, name)
    n_tile = 1
    for axis in range(1, len(shape) + 1):
        length, key = shape[-axis], f"ZTILE{axis}"
        tile = _size(header, key, name, range(1, length + 1)) if key in header else length if axis == 1 else 1
        n_tile *= -(-length // tile)
    if n_tile != table[0]:
        raise BadData(
            f"{name}: {n_tile} tiles make an image of {shape} pixels, but its table has {table[0]} rows; {_DO}"
        )
    if "THEAP" in header:
        _size(header, "THEAP", name, range(math.prod(table), math.prod(table) + heap + 1))
    return shape
