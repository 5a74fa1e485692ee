"""One HDU of a FITS file, as its header announces it.

Each number that sizes are made of is checked, and the scale of the pixels, before anybody allocates or decodes.  (FITS
standard 4.0, sections 4.4.1 and 10.1.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from astropy.io import fits

from ztf_in2p3.cards import describe, integer, number, text, values
from ztf_in2p3.errors import BadData

BLOCK = 2880
"""Bytes; headers and data fill whole ones."""
MAX_PIXELS = 2**27
"""Most pixels of one image: 14 times a quadrant of ZTF, and 0.5 GB of float32."""
MAX_AXES = 9
_DITHERS = ("NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2", "NONE")
_N_DITHER = 10_000
_BITPIX = (8, 16, 32, 64, -32, -64)
REMEDY = "fetch it again, or leave it out"


@dataclass(frozen=True, slots=True, eq=False)
class Hdu:
    """A header and where its data lie."""

    header: fits.Header
    """Cards as stored (of a compressed image: that of its table of tiles); every card can be read."""
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
        raise BadData(f"{name}: random groups, or an axis without pixels; expected an image; {REMEDY}")
    size = abs(bitpix) // 8 * groups * (parameters + (math.prod(axes) if axes else 0))
    if extension == "BINTABLE" and values(header, "ZIMAGE") == [True]:
        return Hdu(header, start, size, _tiled_shape(header, axes, parameters, name), True)
    shape = axes if extension in (None, "IMAGE") and axes and 0 not in axes else ()
    if shape:
        if parameters:
            raise BadData(f"{name}: {describe(header, 'PCOUNT')}; an image has none; {REMEDY}")
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
            raise BadData(f"{name}: {describe(header, key)}; expected the scale of the pixels; {REMEDY}")
        if hdu.compressed and hdu.bitpix < 0:
            raise BadData(
                f"{name}: {describe(header, key)} on compressed floating-point pixels, which readers take or "
                f"ignore; expected {neutral:g} or none: decompress the file with what wrote it, or leave it out"
            )
    for key in ("BLANK", "ZBLANK"):
        if key in header and integer(header, key) is None:
            raise BadData(f"{name}: {describe(header, key)}; expected the number of pixels without data; {REMEDY}")
    if not hdu.compressed or "ZQUANTIZ" not in header:
        return
    dither = text(header, "ZQUANTIZ") or ""
    if dither not in _DITHERS:
        raise BadData(f"{name}: {describe(header, 'ZQUANTIZ')}; expected {', '.join(_DITHERS)}; {REMEDY}")
    if dither.startswith("SUBTRACTIVE") and not 1 <= (integer(header, "ZDITHER0") or 0) <= _N_DITHER:
        raise BadData(
            f"{name}: {describe(header, 'ZDITHER0')}; expected the dither's start, 1 to {_N_DITHER}; {REMEDY}"
        )


def _size(header: fits.Header, key: str, name: str, allowed: range | tuple[int, ...]) -> int:
    value = integer(header, key)
    if value is None or value not in allowed or isinstance(values(header, key)[0], str):
        among = f"{allowed.start} to {allowed.stop - 1}" if isinstance(allowed, range) else str(allowed)
        raise BadData(f"{name}: {describe(header, key)}; expected a whole number, of {among}; {REMEDY}")
    return value


def _axes(header: fits.Header, prefix: str, name: str) -> tuple[int, ...]:
    """Lengths, slowest axis first."""
    count = _size(header, f"{prefix}NAXIS", name, range(MAX_AXES + 1))
    return tuple(_size(header, f"{prefix}NAXIS{axis}", name, range(2**40)) for axis in range(count, 0, -1))


def _require_few(shape: tuple[int, ...], name: str) -> None:
    if math.prod(shape) > MAX_PIXELS:
        raise BadData(
            f"{name}: announces an image of {shape} pixels (rows, columns), more than the {MAX_PIXELS} that any "
            f"image here has; {REMEDY}"
        )


def _tiled_shape(header: fits.Header, table: tuple[int, ...], heap: int, name: str) -> tuple[int, ...]:
    """Shape of a compressed image whose tiles fill the table's rows."""
    shape = _axes(header, "Z", name)
    if not shape or 0 in shape or len(table) != 2:
        raise BadData(f"{name}: a compressed image of shape {shape} in a table of shape {table}; {REMEDY}")
    _size(header, "ZBITPIX", name, _BITPIX)
    _require_few(shape, name)
    n_tile = 1
    for axis in range(1, len(shape) + 1):
        length, key = shape[-axis], f"ZTILE{axis}"
        tile = _size(header, key, name, range(1, length + 1)) if key in header else length if axis == 1 else 1
        n_tile *= -(-length // tile)
    if n_tile != table[0]:
        raise BadData(
            f"{name}: {n_tile} tiles make an image of {shape} pixels, but its table has {table[0]} rows; {REMEDY}"
        )
    if "THEAP" in header:
        _size(header, "THEAP", name, range(math.prod(table), math.prod(table) + heap + 1))
    return shape
