"""A detrended quadrant as a file, and the cards that its header keeps of the archive's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from ztf_in2p3.errors import BadData
from ztf_in2p3.image import Image
from ztf_in2p3.store.fits import Cards, Plane, write_fits

IPAC_PROCESSING = re.compile(
    r"CID\w+|MAGZP\w*|CLR\w+|ZP\w+|PCOLOR|CALNOTE\d|NMATCHES|FIXAPERS|APCOR\w+|MAGLIM|STATUS|BIT\d\d|"
    r"FLXSCALE|MAGZEROP|PHOT(IRMS|INST|LINK)|CREATED|PROCVSN|DB\w+|SATURATE|BUNIT|HISTORY|COMMENT|"
    r"BZERO|BSCALE|BLANK|CHECKSUM|DATASUM|EXTNAME|EXTVER|ZNAXIS\d?|ZHECKSUM|ZDATASUM|"
)
"""Cards of IPAC's science header that speak of IPAC's pixels or of how they were made: calibration ids,
photometric zero points and aperture corrections, quality bits' legend, database ids.  What the exposure,
its astrometry and its seeing say stays, INFOBITS with it: the quality cut users know."""


def write_quadrant(path: Path, image: Image, header: fits.Header, cards: Cards | None = None) -> None:
    """One file: cards, then the planes SCI (with the header), VAR and MASK."""
    planes = [
        Plane("SCI", image.data, "adu", header=header),
        Plane("VAR", image.variance, "adu2"),
        Plane("MASK", image.mask),
    ]
    write_fits(path, planes, cards or {})


def read_quadrant(path: Path) -> tuple[Image, fits.Header]:
    """Image and science header of a file of `write_quadrant`.  BadData if it is none."""
    try:
        with fits.open(path, memmap=False) as hdus:
            kinds = {"SCI": np.float32, "VAR": np.float32, "MASK": np.uint16}
            planes = [np.asarray(hdus[name].data, dtype=kind) for name, kind in kinds.items()]
            return Image(*planes), hdus["SCI"].header.copy()
    except (OSError, KeyError) as error:
        raise BadData(f"{path}: no detrended quadrant with SCI, VAR and MASK ({error}); make it again") from error


def kept_header(science: fits.Header, about: Cards) -> fits.Header:
    """The archive's header without what it says of its own pixels, and with cards about these."""
    header = science.copy(strip=True)
    for keyword in {card.keyword for card in header.cards if IPAC_PROCESSING.fullmatch(card.keyword)}:
        header.remove(keyword, remove_all=True)
    header.update(about)
    return header
