"""An image with its errors and what is wrong with its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class MaskBit(IntFlag):
    """Bits of a mask: those of IPAC's mask images (ZTF Science Data System, mskimg header), then ours."""

    TRACK = 1 << 0
    DETECTION = 1 << 1
    LOW_RESPONSE = 1 << 2
    HIGH_RESPONSE = 1 << 3
    NOISY = 1 << 4
    GHOST = 1 << 5
    SPILLAGE_GHOST = 1 << 6
    RADIATION_HIT = 1 << 7
    SATURATED = 1 << 8
    DEAD = 1 << 9
    NAN = 1 << 10
    SOURCE = 1 << 11
    HALO = 1 << 12
    SWALLOWED = 1 << 13
    """Ours: too faint to leave the pocket of the serial register; the charge cannot be recovered."""


GOOD = MaskBit.DETECTION | MaskBit.SOURCE
"""Bits that only tell where a source is."""

BAD = MaskBit(0x17FD) | MaskBit.SWALLOWED
"""Every other bit: the pixel's value is not to be trusted."""


def is_bad(mask: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Pixels (row, column) whose value cannot be used."""
    return (mask & np.uint16(BAD)) != 0


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Pixels, their variance and their mask, all (row, column) in the order of storage."""

    data: NDArray[np.float32]
    """ADU."""
    variance: NDArray[np.float32]
    """ADU^2; independent noise of each pixel.  NaN where the data are."""
    mask: NDArray[np.uint16]
    """`MaskBit`s."""

    def __post_init__(self) -> None:
        if not self.data.shape == self.variance.shape == self.mask.shape:
            raise ValueError(
                f"planes of one image differ in shape: data {self.data.shape}, "
                f"variance {self.variance.shape}, mask {self.mask.shape}"
            )

    def __repr__(self) -> str:
        rows, columns = self.data.shape
        return f"Image of {rows} x {columns} pixels, {is_bad(self.mask).mean():.1%} bad"
