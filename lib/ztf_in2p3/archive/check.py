"""Checks that a file is the whole file that was asked for.

A transfer can end early, deliver an error page, or flip bytes; a tree can hold a file under
the wrong name.  So every file is read through once before it is handed on; pixels are decoded
where no CHECKSUM and DATASUM vouch for header and bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits

from ztf_in2p3.archive.errors import Damaged
from ztf_in2p3.archive.header import about_image, read_until_end
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.cards import describe, integer, number, text
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdu import BLOCK, Hdu, hdu_of
from ztf_in2p3.hdus import UNDECODABLE, decoding, read_hdus, read_pixels
from ztf_in2p3.identifiers import ImageType
from ztf_in2p3.products import Kind, Value
from ztf_in2p3.raw_layout import RawLayout
from ztf_in2p3.rice import RiceImage

RAW_HDUS = 9
"""Primary, four quadrants, their four overscans."""

_UNREADABLE = (OSError, *UNDECODABLE)
"""What astropy and its decoders have been seen to raise on damaged bytes."""

_SUM_MATCHES, _NO_SUM = 1, 2
"""What astropy finds out about a sum; 0: it does not match."""

_IMAGE_TYPES = {"object": ImageType.OBJECT, "bias": ImageType.BIAS, "flat": ImageType.FLAT, "dark": ImageType.DARK}


def check(path: Path, file: ArchiveFile, name: str = "") -> dict[str, Value]:
    """Read a file through and say what is worth knowing of it.

    Parameters
    ----------
    path
        Where the bytes are.
    file
        What they should be: RAW, SCIENCE or MASK.
    name
        For the messages: where the bytes came from, if not from `path`.

    Returns
    -------
    Facts to note: for a raw file mjd (UTC, days), exptime (s), led (`ILUM_LED`, 0 if none shines), imgtype; for a
    science image those of `ztf_in2p3.archive.header.about_image`; for a mask none, its science image has them.

    Raises
    ------
    Damaged
        Not a whole FITS file: length, structure, checksum or decoding is wrong.
    BadData
        A whole file, but of another kind, CCD or quadrant than its name says.
    """
    name = name or str(path)
    _require_whole(path, name)
    summed = _require_sums(path, name)
    if file.kind is Kind.RAW:
        return _check_raw(path, file, name, summed)
    with decoding(name), fits.open(path, memmap=False) as hdus:
        return _check_image(hdus, file, name)


def check_header(header: fits.Header, file: ArchiveFile, name: str) -> dict[str, Value]:
    """The same for a science header alone.  One without astrometry passes: "wcs" says so."""
    _require_quadrant(header, file, name)
    return about_image(header)


def _require_quadrant(header: fits.Header, file: ArchiveFile, name: str) -> None:
    _require_card(header, "CCD_ID", file.ccd.ccdid, name)
    _require_card(header, "AMP_ID", None if file.qid is None else file.qid - 1, name)


def first_image(hdus: fits.HDUList) -> int | None:
    """Index of the first HDU with a two-dimensional image: 0 in a plain file, 1 in a compressed one."""
    for index, hdu in enumerate(hdus):
        if hdu.is_image and hdu.header.get("NAXIS") == 2:
            return index
    return None


def _require_whole(path: Path, name: str) -> None:
    """The HDUs must fill the file exactly."""
    size, position = path.stat().st_size, 0
    with path.open("rb") as stream:
        while position < size or not position:
            stream.seek(position)
            blocks = iter(functools.partial(stream.read, BLOCK), b"")
            where = f"{name}, byte {position}" if position else name
            header = read_until_end(blocks, where, first=not position)
            try:
                position = hdu_of(header, stream.tell(), where).end
            except BadData as error:  # sizes that cannot be: more likely flipped bytes than so written
                raise Damaged(str(error)) from error
    if position != size:
        raise Damaged(
            f"{name}: {size} bytes, but its headers announce {position}; fetch it again", short=position > size
        )


def _require_sums(path: Path, name: str) -> set[int]:
    """Check the DATASUM of each HDU that has one, over the bytes as stored (compressed where they are).

    Returns
    -------
    Indices of the HDUs that have one, and a CHECKSUM that vouches for their header too.
    """
    summed = set()
    with decoding(name), fits.open(path, memmap=False, disable_image_compression=True) as stored:
        for index in range(len(stored)):
            with _decoding(index, name):
                verdict = stored[index].verify_datasum()
                vouched = verdict == _SUM_MATCHES and stored[index].verify_checksum() == _SUM_MATCHES
            if vouched:
                summed.add(index)
            if verdict not in (_SUM_MATCHES, _NO_SUM):
                raise Damaged(
                    f"{name}: the data of HDU {index} do not add up to its DATASUM, "
                    f"{text(stored[index].header, 'DATASUM')}; fetch it again"
                )
    return summed


def _check_raw(path: Path, file: ArchiveFile, name: str, summed: set[int]) -> dict[str, Value]:
    hdus = read_hdus(path, name)
    primary = hdus[0].header
    if len(hdus) < RAW_HDUS and "OBSMJD" in primary and not hdus[0].shape:
        # A raw file's beginning.  Where an HDU ends nothing in the bytes says that more should follow.
        raise Damaged(f"{name}: ends after {len(hdus)} of its {RAW_HDUS} HDUs; fetch it again", short=True)
    if len(hdus) != RAW_HDUS:
        raise BadData(
            f"{name}: {len(hdus)} HDUs, but a raw file has {RAW_HDUS} (primary, four quadrants, four overscans); "
            f"is this {file}?"
        )
    RawLayout.of(hdus, name)
    _decode_all(path, hdus, name, summed)
    kind = (text(primary, "IMGTYPE") or "").lower()
    expected = file.ccd.exposure.image_type
    if _IMAGE_TYPES.get(kind, expected) is not expected:
        raise BadData(f"{name}: IMGTYPE = {kind!r}, but its name says {expected.name.lower()}; set the exposure aside")
    for index in range(1, RAW_HDUS):
        _require_card(hdus[index].header, "CCD_ID", file.ccd.ccdid, name)
    mjd = number(primary, "OBSMJD")
    if mjd is None:
        raise BadData(
            f"{name}: no OBSMJD in the primary header ({describe(primary, 'OBSMJD')}), so nothing says when it was "
            "taken; set it aside"
        )
    return {
        "mjd": mjd,
        "exptime": number(primary, "EXPTIME"),
        "led": integer(primary, "ILUM_LED") or 0,
        "imgtype": kind if kind in _IMAGE_TYPES else None,
    }


def _decode_all(path: Path, hdus: Sequence[Hdu], name: str, summed: set[int]) -> None:
    """Every pixel once of HDUs that no sums vouch for; a plane at a time in memory.

    Decoding takes most of a check, and whoever uses the pixels decodes and checks them anyway.
    """
    with path.open("rb") as file:
        for index, hdu in enumerate(hdus[1:], start=1):
            with _decoding(index, name):
                image = RiceImage.of(hdu)
                if index in summed:
                    continue
                if image is None:
                    read_pixels(path, index, hdu, name)
                else:
                    image.rows(file.fileno())


def _check_image(hdus: fits.HDUList, file: ArchiveFile, name: str) -> dict[str, Value]:
    for hdu_number in range(len(hdus)):
        _decoded_shape(hdus, hdu_number, name)
    index = first_image(hdus)
    if index is None:
        raise BadData(f"{name}: no two-dimensional image in its {len(hdus)} HDUs; is this {file}?")
    header = hdus[index].header
    whole_numbers = header["BITPIX"] > 0
    if whole_numbers != (file.kind is Kind.MASK):
        raise BadData(
            f"{name}: BITPIX = {header['BITPIX']}, but the pixels of a mask are integers and those of a science image "
            f"are not; is this {file}?"
        )
    if file.kind is Kind.MASK:
        _require_quadrant(header, file, name)
        return {}
    return check_header(header, file, name)


def _decoded_shape(hdus: fits.HDUList, index: int, name: str) -> tuple[int, ...]:
    """Shape of an HDU's data once they are decoded; the data are let go at once."""
    with _decoding(index, name):
        data = hdus[index].data
        shape = () if data is None else np.shape(data)
        del data, hdus[index].data
    return shape


@contextmanager
def _decoding(index: int, name: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise Damaged(f"{name}: the data of HDU {index} cannot be decoded ({error}); fetch it again") from error


def _require_card(header: fits.Header, key: str, expected: int | None, name: str) -> None:
    value = number(header, key)
    if value is not None and value != expected:
        raise BadData(f"{name}: {key} = {value:g}, but its name says {expected}; set the file aside")
