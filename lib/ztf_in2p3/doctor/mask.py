"""The archive's mask of a quadrant: its form, its bits, and whether they mean what we believe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztf_in2p3.doctor.findings import Check, Result, differs, ok, skipped
from ztf_in2p3.image import MaskBit, is_bad

LEAST_SHARE = 0.6
"""Of the pixels that must have a bit, those that have it."""
MAX_BAD = 0.3
_FEWEST = 5
_WORDS = {
    MaskBit.TRACK: "TRACK", MaskBit.DETECTION: "DETECTION", MaskBit.LOW_RESPONSE: "LOW", MaskBit.HIGH_RESPONSE: "HIGH",
    MaskBit.NOISY: "NOISY", MaskBit.GHOST: "GHOST", MaskBit.SPILLAGE_GHOST: "SPILLAGE",
    MaskBit.RADIATION_HIT: "SPIKE", MaskBit.SATURATED: "SATURATED", MaskBit.DEAD: "DEAD", MaskBit.NAN: "NAN",
    MaskBit.SOURCE: "PSF", MaskBit.HALO: "HALO",
}  # fmt: skip
"""A word of each bit's legend."""
_SEND = "send us the JSON report: pixels would be kept or thrown away wrongly"


@dataclass(frozen=True, slots=True, eq=False)
class MaskImage:
    """Mask of a quadrant, and the pixels of which something is known."""

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
    response: NDArray[np.float32] | None
    """(row, column): relative to the CCD's median."""


def pixel_type(mask: MaskImage) -> Result:
    found, expected = f"{mask.bits.dtype.name}", "whole numbers"
    return ok(found, expected) if mask.bits.dtype.kind in "iu" else differs(found, expected, _SEND)


def size(mask: MaskImage) -> Result:
    found, expected = (" x ".join(map(str, shape)) for shape in (mask.bits.shape, mask.shape))
    return ok(found, expected) if mask.bits.shape == mask.shape else differs(found, expected, _SEND)


def legend(mask: MaskImage) -> Result:
    """Bits as the header explains them, where it does."""
    told, wrong = 0, []
    for bit, word in _WORDS.items():
        number = int(bit).bit_length() - 1
        key = f"BIT{number:02d}"
        if key not in mask.header:
            continue
        told += 1
        text = f"{mask.header[key]} {mask.header.comments[key]}".upper()
        if word not in text:
            wrong.append(f"{key}: {text.strip()}")
    expected = (
        "; ".join(f"BIT{int(bit).bit_length() - 1:02d} {word}" for bit, word in list(_WORDS.items())[:3]) + "; ..."
    )
    if wrong:
        return differs("; ".join(wrong), expected, _SEND)
    return ok(f"{told} of {len(_WORDS)} bits explained, as we know them" if told else "no legend", expected)


def planes(mask: MaskImage) -> Result:
    """Stars have the bit of a detection, full pixels that of saturation, unresponsive ones that of dead ones."""
    bits = mask.bits.astype(np.int64)
    evidence = {"stars have bit 1 (detection)": _share_at(bits, mask.x, mask.y, MaskBit.DETECTION)}
    if mask.full is not None:
        evidence["full pixels have bit 8 (saturated)"] = _share(bits, mask.full, MaskBit.SATURATED)
    if mask.response is not None:
        dead = MaskBit.DEAD | MaskBit.LOW_RESPONSE | MaskBit.NAN
        evidence["dark pixels have bit 9, 2 or 10 (dead)"] = _share(bits, mask.response < 0.02, dead)
    known = {name: share for name, share in evidence.items() if share is not None}
    unknown_bits = int(np.bitwise_or.reduce(bits, axis=None)) & ~0x1FFF
    bad = float(is_bad(bits.astype(np.uint16)).mean())
    words = [f"{share:.0%} of {name}" for name, share in known.items()]
    expected = f"at least {LEAST_SHARE:.0%} each; at most {MAX_BAD:.0%} of the pixels bad; no bit beyond 12"
    wrong = any(share < LEAST_SHARE for share in known.values()) or unknown_bits or bad > MAX_BAD
    text = "; ".join([*words, f"{bad:.1%} bad", *([f"bits {unknown_bits:#x} too"] if unknown_bits else [])])
    if wrong:
        return differs(text, expected, _SEND)
    return ok(text, expected) if known else skipped("nothing in the image says what the bits should be")


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
