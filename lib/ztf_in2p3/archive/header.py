"""The header of an image without its pixels.

The reduction needs of IPAC's science images only the header (astrometry, seeing, quality), one
two-thousandth of the file.  It is kept as a FITS file of its own: a primary HDU with NAXIS = 0
and no data.  The cards that described the pixels keep their place and value under the names
that tile compression gives them (FITS standard 4.0, table 36): ZNAXIS, ZNAXIS1, ZNAXIS2 and,
where present, ZHECKSUM, ZDATASUM.  Every other card, WCS included, is the archive's own, byte
for byte; BITPIX too, which is legal without data.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from astropy.io import fits

from ztf_in2p3.archive.errors import Damaged
from ztf_in2p3.astrometry import image_shape, read_wcs
from ztf_in2p3.cards import CARD, integer, number, parse_cards
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdu import BLOCK
from ztf_in2p3.hdus import LONGEST_HEADER
from ztf_in2p3.products import Value

_RENAMED = {"NAXIS": "ZNAXIS", "NAXIS1": "ZNAXIS1", "NAXIS2": "ZNAXIS2", "CHECKSUM": "ZHECKSUM", "DATASUM": "ZDATASUM"}


def read_until_end(chunks: Iterable[bytes], name: str, *, first: bool = True) -> fits.Header:
    """The header with which a stream starts; what follows its END card is not asked for.

    Parameters
    ----------
    chunks
        Pieces of the stream, of any length.
    name
        Name of the file, for the messages.
    first
        The primary header of a file; otherwise that of an extension.

    Raises
    ------
    Damaged
        The stream is no FITS file, or ends within the header.
    """
    received = b""
    for chunk in chunks:
        start = len(received) // BLOCK * BLOCK
        received += chunk
        for block in range(start, len(received) - BLOCK + 1, BLOCK):
            if block == 0:
                _require_start(received, name, first)
            if has_end(received[block : block + BLOCK]):
                return parse_cards(received[: block + BLOCK])
        if len(received) > LONGEST_HEADER:
            raise Damaged(f"{name}: no END card within the first {len(received)} bytes; this is not a FITS header")
    _require_start(received, name, first)
    raise Damaged(f"{name}: ends after {len(received)} bytes, within its header; fetch it again", short=True)


def _require_start(start: bytes, name: str, first: bool) -> None:
    expected = b"SIMPLE  =" if first else b"XTENSION="
    if not start.startswith(expected):
        raise Damaged(
            f"{name}: starts with {start[:30]!r}, but {'a FITS file' if first else 'an extension'} starts with "
            f"{expected.decode()!r}; fetch it again",
            short=not start,
        )


def has_end(block: bytes) -> bool:
    """Whether a block of a header holds its END card."""
    return any(block[i : i + CARD].rstrip() == b"END" for i in range(0, BLOCK, CARD))


def without_pixels(header: fits.Header) -> fits.Header:
    """The header as one of a primary HDU without data; see the module's description.  A copy."""
    alone = header.copy()
    if "SIMPLE" not in alone:
        alone.insert(0, ("SIMPLE", True, "conforms to FITS standard"))
    if "BITPIX" not in alone:  # of no pixels, so any number is right
        alone.set("BITPIX", 8, after="SIMPLE")
    if alone.get("NAXIS"):
        for old, new in _RENAMED.items():
            if old in alone:
                alone.rename_keyword(old, new)
        alone.remove("NAXIS", ignore_missing=True)
        alone.set("NAXIS", 0, "no pixels; the image had ZNAXIS1 x ZNAXIS2", after="BITPIX")
    if "XTENSION" in alone:  # as astropy shows an image that was tile-compressed
        alone.rename_keyword("XTENSION", "ZTENSION")
    return alone


def write_header(path: Path, header: fits.Header) -> None:
    """Write a header as a FITS file without pixels."""
    path.write_bytes(without_pixels(header).tostring(sep="", endcard=True, padding=True).encode("ascii"))


def about_image(header: fits.Header) -> dict[str, Value]:
    """What is worth knowing of a science image before reading it; None where the header is silent.

    Returns
    -------
    mjd (UTC, days), exptime (s), airmass, seeing (FWHM, pixels), maglimit (mag), infobits;
    wcs: whether the header has an astrometric solution that can be used; with it ra, dec (deg): centre of the
    image, and radius (deg) of the circle around it that holds the corners.
    """
    centre = _centre(header)
    ra, dec, radius = centre or (None, None, None)
    return {
        "mjd": number(header, "OBSMJD"),
        "exptime": number(header, "EXPTIME"),
        "airmass": number(header, "AIRMASS"),
        "seeing": number(header, "SEEING"),
        "maglimit": number(header, "MAGLIM"),
        "infobits": integer(header, "INFOBITS"),
        "wcs": centre is not None,
        "ra": ra,
        "dec": dec,
        "radius": radius,
    }


def _centre(header: fits.Header) -> tuple[float, float, float] | None:
    """RA, Dec and radius of the circle around the image (deg); None without a usable WCS."""
    shape = image_shape(header)
    if shape is None:
        return None
    rows, columns = shape
    x = np.array([columns / 2, 0.5, columns + 0.5, 0.5, columns + 0.5])
    y = np.array([rows / 2, 0.5, 0.5, rows + 0.5, rows + 0.5])
    try:
        lon, lat = np.radians(read_wcs(header, "header").wcs_pix2world(x, y, 1))
    except (BadData, ValueError):  # a solution that does not reach the corners is none
        return None
    if not np.all(np.isfinite([lon, lat])):
        return None
    direction = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    chord = np.linalg.norm(direction[:, 1:] - direction[:, :1], axis=0).max()
    return float(np.degrees(lon[0]) % 360), float(np.degrees(lat[0])), float(np.degrees(2 * np.arcsin(chord / 2)))
