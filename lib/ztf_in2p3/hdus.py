"""What a FITS file holds, judged by its headers and its length before anything of it is decoded.

A header can announce anything: two thousand million columns, fewer than none, more bytes than the file has.  Who
believes it runs out of memory.  So the headers are read here, what each announces (`ztf_in2p3.hdu`) is checked against
the file, and only then does anybody allocate or decode.
"""

from __future__ import annotations

import errno
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zlib import error as ZlibError

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException  # what a broken tile raises
from numpy.typing import NDArray

from ztf_in2p3.cards import CARD, integer, parse_cards
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.hdu import BLOCK, REMEDY, Hdu, hdu_of, image_header, require_decodable

LONGEST_HEADER = 200 * BLOCK
"""Bytes; a header still without an END card here is none.  IPAC's science headers are 8 blocks long."""
MAX_HDUS = 200

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
        raise BadData(f"{name}: {what} ({type(error).__name__}: {error}); {REMEDY}") from error
    except UNDECODABLE as error:
        raise BadData(f"{name}: {what} ({type(error).__name__}: {error}); {REMEDY}") from error


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
                raise BadData(f"{name}: more than {MAX_HDUS} HDUs; expected an image with few extensions; {REMEDY}")
            start = hdus[-1].end if hdus else 0
            file.seek(start)
            if hdus and not _starts_extension(file):
                break  # what follows the last HDU is no business of an image's reader
            hdu = hdu_of(read_header_at(file, where), file.tell(), where)
            if hdu.end > length:
                raise BadData(f"{name}: truncated, {length} bytes found of {hdu.end}; {REMEDY}")
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
            raise BadData(f"{name}: ends after {len(blocks) + len(block)} bytes, within its header; {REMEDY}")
        blocks += block
        if any(block[at : at + CARD].rstrip() == b"END" for at in range(0, BLOCK, CARD)):
            return parse_cards(bytes(blocks))
    raise BadData(f"{name}: no END card within the first {len(blocks)} bytes; this is not a FITS header; {REMEDY}")


def read_pixels(path: Path, index: int, hdu: Hdu, name: str = "") -> NDArray:
    """Pixels of an image, scaled as its header says.  BadData if they cannot be decoded."""
    require_decodable(hdu, name or str(path))
    with decoding(name or str(path), f"the pixels of HDU {index} cannot be decoded"):
        with fits.open(path, memmap=False) as opened:
            pixels = np.asarray(opened[index].data)
        if pixels.shape != hdu.shape:
            raise ValueError(f"pixels of {pixels.shape}, announced are {hdu.shape}")
        return pixels


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
    raise BadData(f"{name}: not a FITS file: it starts with {start} instead of {expected[:8].decode()}; {REMEDY}")
