"""What can be wrong with a file, done to it on demand: cards, the order of the HDUs, amplifiers that do not work.

Files are changed byte for byte, since no library writes what is not allowed.  What does no harm and is part of every
simulated night is chosen in `ztf_in2p3.simulate.oddities`; the rest are switches for tests, each with its truth:
which quadrants can no longer be used.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.identifiers import N_QUADRANT

CARD, BLOCK = 80, 2880
N_HDU = 1 + 2 * N_QUADRANT
"""HDUs of a raw file."""

Readouts = Mapping[int, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Image and overscan of a quadrant, by qid."""

BAD_VALUES = ("", "nan", "NaN", "inf", "-Infinity", "30,0", "'        '", "'unknown'", "unknown", "T", "1.#QNAN", "--",
              "(1.0, 2.0)", "1e999", "'unclosed")  # fmt: skip
"""What stands in a card whose number is not known."""


def write_card(path: Path, key: str, card: str, hdu: int = 0) -> bool:
    """Replace a card byte for byte, as no library would write it; False if the header does not have it."""
    content = bytearray(path.read_bytes())
    at = _find_card(content, key, hdu)
    if at is None:
        return False
    content[at : at + CARD] = card.encode("latin-1").ljust(CARD)[:CARD]
    path.write_bytes(bytes(content))
    return True


def read_card(path: Path, key: str, hdu: int = 0) -> str:
    """The 80 characters of a card.  KeyError if the header does not have it."""
    content = path.read_bytes()
    at = _find_card(content, key, hdu)
    if at is None:
        raise KeyError(f"{path}: no {key} in HDU {hdu}")
    return content[at : at + CARD].decode("latin-1")


def _find_card(content: bytes | bytearray, key: str, hdu: int) -> int | None:
    start, end = header_range(content, hdu)
    cards = range(start, end, CARD)
    return next((at for at in cards if bytes(content[at : at + 8]).rstrip() == key.encode("ascii")), None)


def quote_card(path: Path, key: str, hdu: int = 0) -> None:
    """Write a card's number as text; nothing is changed where there is no such card."""
    try:
        value, _, comment = read_card(path, key, hdu)[10:].partition("/")
    except KeyError:
        return
    write_card(path, key, f"{key:8}= '{value.strip()}' /{comment}", hdu)


def add_cards(path: Path, cards: Iterable[str], hdu: int = 0) -> None:
    """Add cards at the end of a header, as they are, before its END card; the header grows as it needs to."""
    content = path.read_bytes()
    start, end = header_range(content, hdu)
    written = content[start:end] + b"".join(card.encode("latin-1").ljust(CARD)[:CARD] for card in cards) + b"END"
    data = start + -(-(end + CARD - start) // BLOCK) * BLOCK
    path.write_bytes(content[:start] + written.ljust(-(-len(written) // BLOCK) * BLOCK) + content[data:])


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


def spoil_amplifier(path: Path, qid: int, fault: str, *, overscan: bool = False) -> None:
    """Let an amplifier of a raw file write what one that does not work writes, in its quadrant or in its overscan.

    AMP_ID says which HDU that is; all others stay as they are, byte for byte.
    """
    content = path.read_bytes()
    with fits.open(path) as hdus:
        hdus_of_quadrant = [index for index, hdu in enumerate(hdus) if hdu.header.get("AMP_ID") == qid - 1]
        wide, narrow = sorted(hdus_of_quadrant, key=lambda index: hdus[index].shape, reverse=True)
        at = narrow if overscan else wide
        pixels, header = np.array(hdus[at].data, np.float32), hdus[at].header.copy()
    start, end = header_range(content, at)[0], len(content)
    if at < N_HDU - 1:
        end = header_range(content, at + 1)[0]
    BAD_AMPLIFIERS[fault](pixels)
    image = fits.CompImageHDU(pixels, header, compression_type="RICE_1", tile_shape=(1, pixels.shape[1]))
    written = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(written, checksum=True)
    spoilt = written.getvalue()
    path.write_bytes(content[:start] + spoilt[header_range(spoilt, 1)[0] :] + content[end:])


def drop_pixels(path: Path) -> None:
    """Keep the header of an image only, with NAXIS = 0 and no word of its shape, as trees of science headers do."""
    content = path.read_bytes()
    start, end = header_range(content, 0)
    cards = [content[at : at + CARD] for at in range(start, end, CARD)]
    kept = [card for card in cards if not card.startswith((b"NAXIS1 ", b"NAXIS2 "))]
    kept = [b"NAXIS   =                    0".ljust(CARD) if card.startswith(b"NAXIS ") else card for card in kept]
    written = b"".join(kept) + b"END"
    path.write_bytes(written.ljust(-(-len(written) // BLOCK) * BLOCK))
