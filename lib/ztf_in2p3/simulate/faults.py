"""What real headers and amplifiers do wrong: odd cards in a harmless share of all files, bad quadrants on demand.

The harmless oddities are part of every simulated night: nothing that is measured may depend on
them.  The harmful ones are switches, each with its truth: which quadrants can no longer be used.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.identifiers import N_QUADRANT

CARD, BLOCK = 80, 2880

Readouts = Mapping[int, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Image and overscan of a quadrant, by qid."""

HARMLESS_CARDS = {
    "MOONILLF": "MOONILLF=                  0.0 / Moon illuminated fraction, phase in \xb0",
    "DARKCUR": "DARKCUR =                      / not measured",
    "PIXSCALE": "PIXSCALE=                 1,01 / written under a locale with a comma",
}
"""Cards that nothing is measured with, as real headers have them: a degree sign, no value, a decimal comma."""

BAD_VALUES = ("", "nan", "NaN", "inf", "-Infinity", "30,0", "'        '", "'unknown'", "unknown", "T", "1.#QNAN", "--",
              "(1.0, 2.0)", "1e999", "'unclosed")  # fmt: skip
"""What stands in a card whose number is not known."""


def write_card(path: Path, key: str, card: str, hdu: int = 0) -> bool:
    """Replace a card byte for byte, as no library would write it; False if the header does not have it."""
    content = bytearray(path.read_bytes())
    start, end = header_range(content, hdu)
    for at in range(start, end, CARD):
        if bytes(content[at : at + 8]).rstrip() == key.encode("ascii"):
            content[at : at + CARD] = card.encode("latin-1").ljust(CARD)[:CARD]
            path.write_bytes(bytes(content))
            return True
    return False


def bad_card(key: str, value: str) -> str:
    """A card with one of `BAD_VALUES`."""
    return f"{key:8}= {value:>20} / as found"


def header_range(content: bytes | bytearray, hdu: int) -> tuple[int, int]:
    """First byte of a header, and that of its END card."""
    start = 0
    for _ in range(hdu):
        end = _end(content, start)
        header = fits.Header.fromstring(bytes(content[start:end]).decode("latin-1").encode("ascii", "replace"))
        size = header.data_size_padded
        start = -(-(end + CARD) // BLOCK) * BLOCK + size
    return start, _end(content, start)


def _end(content: bytes | bytearray, start: int) -> int:
    return next(at for at in range(start, len(content), CARD) if content[at : at + CARD].rstrip() == b"END")


def odd_cards(path: Path) -> None:
    """Write the harmless oddities into the first header of a file that has such cards."""
    for key, card in HARMLESS_CARDS.items():
        write_card(path, key, card)


def reordered(path: Path, order: tuple[int, ...]) -> None:
    """Put the HDUs of a file in another order, by their present indices; what AMP_ID says goes with them."""
    content = path.read_bytes()
    starts = [header_range(content, hdu)[0] for hdu in range(len(order))] + [len(content)]
    parts = [content[a:b] for a, b in itertools.pairwise(starts)]
    path.write_bytes(b"".join(parts[index] for index in order))


def _nan(image: NDArray[np.float32]) -> None:
    image[:] = np.nan


def _saturated(image: NDArray[np.float32]) -> None:
    image[:] = 65535.0


def _constant(image: NDArray[np.float32]) -> None:
    image[:] = 1000.0


BAD_AMPLIFIERS: Mapping[str, Callable[[NDArray[np.float32]], None]] = {
    "nan": _nan, "saturated": _saturated, "constant": _constant,
}  # fmt: skip
"""What an amplifier that does not work writes instead of its quadrant."""


def with_bad_amplifier(readouts: Readouts, qid: int, fault: str) -> Readouts:
    """The same CCD with one quadrant that cannot be used; the truth is that the three others are unchanged."""
    if qid not in range(1, N_QUADRANT + 1):
        raise ValueError(f"no quadrant {qid}: they are numbered 1 to {N_QUADRANT}")
    image, overscan = (plane.copy() for plane in readouts[qid])
    BAD_AMPLIFIERS[fault](image)
    return {**readouts, qid: (image, overscan)}


def spoil_amplifier(path: Path, qid: int, fault: str) -> None:
    """Let an amplifier of a raw file, its HDUs in the usual order, write what one that does not work writes.

    Its overscan and the other HDUs stay as they are, byte for byte.
    """
    content = path.read_bytes()
    start, _ = header_range(content, qid)
    end, _ = header_range(content, qid + 1)
    with fits.open(path) as hdus:
        pixels, header = np.array(hdus[qid].data, np.float32), hdus[qid].header.copy()
    BAD_AMPLIFIERS[fault](pixels)
    image = fits.CompImageHDU(pixels, header, compression_type="RICE_1", tile_shape=(1, pixels.shape[1]))
    written = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(written, checksum=True)
    spoilt = written.getvalue()
    path.write_bytes(content[:start] + spoilt[header_range(spoilt, 1)[0] :] + content[end:])
