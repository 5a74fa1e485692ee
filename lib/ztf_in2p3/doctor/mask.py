"""The archive's mask of a quadrant: its form, its bits, and whether they mean what we believe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.doctor.findings import Check, Result, differs, ok, skipped
from ztf_in2p3.image import MaskBit, is_bad

LEAST_SHARE = 0.6
"""Smallest share of the pixels that must have a bit and have it."""
MAX_BAD = 0.3
_FEWEST = 5
_WORDS = {
    MaskBit.TRACK: "TRACK",
    MaskBit.DETECTION: "DETECTION",
    MaskBit.LOW_RESPONSE: "LOW",
    MaskBit.HIGH_RESPONSE: "HIGH",
    MaskBit.NOISY: "NOISY",
    MaskBit.GHOST: "GHOST",
    MaskBit.SPILLAGE_GHOST: "SPILLAGE",
    MaskBit.RADIATION_HIT: "SPIKE",
    MaskBit.SATURATED: "SATURATED",
    MaskBit.DEAD: "DEAD",
    MaskBit.NAN: "NAN",
    MaskBit.SOURCE: "PSF",
    MaskBit.HALO: "HALO",
}
"""A word of each bit's legend."""
_SEND = "send us the JSON report: pixels would be kept or thrown away wrongly"


DARK = 0.02
"""Response relative to the CCD's median, below which a pixel must count as dead."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """What a detrended quadrant tells of its pixels; (row, column)."""

    full: NDArray[np.bool_]
    """Pixels at the ceiling of the converter."""
    dark: NDArray[np.bool_]
    """Pixels of hardly any response (row, column)."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskImage:
    """Mask of a quadrant, and the pixels of which something is known."""

    qid: int
    bits: NDArray
    """(row, column), as stored."""
    header: fits.Header
    shape: tuple[int, int]
    """Expected."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """Places of bright stars, pixels; none if not known."""
    full: NDArray[np.bool_] | None
    """(row, column): pixels at the ceiling of the converter."""
    dark: NDArray[np.bool_] | None
    """(row, column): pixels of hardly any response."""


Masks = Sequence[MaskImage]


def pixel_type(masks: Masks) -> Result:
    """Type of the mask's pixels."""
    wrong = [f"q{mask.qid} {mask.bits.dtype.name}" for mask in masks if mask.bits.dtype.kind not in "iu"]
    expected = "whole numbers"
    if wrong:
        return differs(", ".join(wrong), expected, _SEND)
    return ok(", ".join(sorted({mask.bits.dtype.name for mask in masks})), expected)


def size(masks: Masks) -> Result:
    """Shape of the mask against that of its image."""
    expected = " x ".join(map(str, masks[0].shape))
    wrong = [f"q{mask.qid} " + " x ".join(map(str, mask.bits.shape)) for mask in masks if mask.bits.shape != mask.shape]
    return differs(", ".join(wrong), expected, _SEND) if wrong else ok(expected, expected)


def legend(masks: Masks) -> Result:
    """Bits as the headers explain them, where they do."""
    explained, wrong = set(), []
    for mask in masks:
        for bit, word in _WORDS.items():
            key = _key(bit)
            if key not in mask.header:
                continue
            explained.add(key)
            text = f"{mask.header[key]} {mask.header.comments[key]}".upper()
            if word not in text:
                wrong.append(f"q{mask.qid} {key}: {text.strip()}")
    expected = "; ".join(f"{_key(bit)} {word}" for bit, word in list(_WORDS.items())[:3]) + "; ..."
    if wrong:
        return differs("; ".join(wrong), expected, _SEND)
    counted = f"{len(explained)} of {len(_WORDS)} bits explained, as we know them"
    return ok(counted if explained else "no legend", expected)


def _key(bit: MaskBit) -> str:
    return f"BIT{int(bit).bit_length() - 1:02d}"


def planes(masks: Masks) -> Result:
    """Stars have the bit of a detection, full pixels that of saturation, unresponsive ones that of dead ones."""
    shares = {mask.qid: _evidence(mask) for mask in masks}
    names = [name for name in _EVIDENCE if any(name in known for known in shares.values())]
    bad = {mask.qid: float(is_bad(mask.bits.astype(np.uint16)).mean()) for mask in masks}
    beyond = {mask.qid: int(np.bitwise_or.reduce(mask.bits, axis=None)) & ~_KNOWN_BITS for mask in masks}
    expected = f"at least {LEAST_SHARE:.0%} each; at most {MAX_BAD:.0%} of the pixels bad; no bit beyond 12"
    wrong = [
        f"q{qid}: {known[name]:.0%} of {name}"
        for qid, known in shares.items()
        for name in names
        if known.get(name, 1.0) < LEAST_SHARE
    ]
    wrong += [f"q{qid}: {share:.1%} bad" for qid, share in bad.items() if share > MAX_BAD]
    wrong += [f"q{qid}: bits {bits:#x} too" for qid, bits in beyond.items() if bits]
    if wrong:
        return differs("; ".join(wrong), expected, _SEND)
    if not names:
        return skipped("nothing in the images says what the bits should be")
    lowest = {name: min(known[name] for known in shares.values() if name in known) for name in names}
    words = [f"{share:.0%} of {name}" for name, share in lowest.items()]
    return ok("; ".join([*words, f"{max(bad.values()):.1%} bad"]) + " (the worst quadrant)", expected)


_STARS, _FULL, _DARK = (
    "stars have bit 1 (detection)",
    "full pixels have bit 8 (saturated)",
    "dark pixels have bit 9, 2 or 10 (dead)",
)
_EVIDENCE = (_STARS, _FULL, _DARK)
_KNOWN_BITS = 0x1FFF


def _evidence(mask: MaskImage) -> dict[str, float]:
    """Fractions of the pixels that must have a bit and have it, as far as the image tells."""
    dead = MaskBit.DEAD | MaskBit.LOW_RESPONSE | MaskBit.NAN
    shares = {
        _STARS: _share_at(mask.bits, mask.x, mask.y, MaskBit.DETECTION),
        _FULL: None if mask.full is None else _share(mask.bits, mask.full, MaskBit.SATURATED),
        _DARK: None if mask.dark is None else _share(mask.bits, mask.dark, dead),
    }
    return {name: share for name, share in shares.items() if share is not None}


def _share(bits: NDArray, where: NDArray[np.bool_], bit: MaskBit) -> float | None:
    n = int(where.sum())
    return float(((bits[where] & int(bit)) != 0).mean()) if n >= _FEWEST else None


def _share_at(bits: NDArray, x: NDArray, y: NDArray, bit: MaskBit) -> float | None:
    if len(x) < _FEWEST:
        return None
    row, column = (np.clip(np.rint(pixel).astype(int), 0, n - 1) for pixel, n in zip((y, x), bits.shape, strict=True))
    return float(((bits[row, column] & int(bit)) != 0).mean())


CHECKS = (
    Check("pixel type", pixel_type),
    Check("size", size),
    Check("legend", legend),
    Check("bit planes", planes, ("pixel type", "size")),
)
