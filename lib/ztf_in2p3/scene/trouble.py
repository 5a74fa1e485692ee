"""Unmasked trouble in a stamp: trails of satellites and aircraft, sources of one exposure, saturated cores.

A faint trail has no single pixel that is far off.  Sums along strips, and over small boxes, of what a model of all
exposures leaves in each show it: noise averages out along them, a trail does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

N_ANGLE = 24
HALF_WIDTH, CLEARED = 1.3, 3.0
"""Pixels to either side of a strip's axis that are summed, and that are lost if it is found."""
THIRDS = 3
AGREEING = 2
"""Thirds of a strip that must be off on their own: a compact source is no trail."""
THIRD_SIGMA = 2.5
FOUND = 6.5
"""Standard deviations; of the 500 shapes of a stamp none in 1e8 is that far off by noise."""
TOP, WITHIN = 5, 0.01
"""Highest pixels of a stamp that are within so much of one another where they are saturated; of a star, wherever it
lies on its pixels, four can be."""
SAME, EXACTLY = 3, 1e-4
"""Highest pixels that are the same to within so much, far less than the noise of their photons: a level, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Sets of pixels of a stamp."""

    inside: NDArray[np.float64]
    """(shape, pixel): 1 inside."""
    thirds: NDArray[np.float64]
    """(shape, third, pixel); of a box all are the box."""
    cleared: NDArray[np.bool_]
    """(shape, pixel): lost if it is found."""


@lru_cache(maxsize=4)
def shapes_of(side: int) -> Shapes:
    """Strips across a stamp in all directions, and boxes of 3 x 3 pixels."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside, thirds, cleared = [], [], []
    for angle in np.arange(N_ANGLE) * np.pi / N_ANGLE:
        away, along = x * np.sin(angle) - y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
        for offset in np.arange(-side // 2 + 1, side // 2 + 1):
            strip = np.abs(away - offset) <= HALF_WIDTH
            low, high = along[strip].min(), along[strip].max()
            if high - low < 0.6 * side:
                continue
            third = np.clip((along - low) / (high - low + 1e-9) * THIRDS, 0, THIRDS - 1).astype(int)
            inside.append(strip)
            thirds.append([strip & (third == k) for k in range(THIRDS)])
            cleared.append(np.abs(away - offset) <= CLEARED)
    for row in range(1, side - 1):
        for column in range(1, side - 1):
            far = np.maximum(np.abs(np.arange(side)[:, None] - row), np.abs(np.arange(side) - column))
            inside.append(far <= 1)
            thirds.append([far <= 1] * THIRDS)
            cleared.append(far <= 2)
    return Shapes(
        np.array(inside, float).reshape(len(inside), -1),
        np.array(thirds, float).reshape(len(inside), THIRDS, -1),
        np.array(cleared).reshape(len(inside), -1),
    )


def worst_shape(pull: NDArray, keep: NDArray[np.bool_], loose: NDArray, side: int) -> tuple[float, NDArray[np.bool_]]:
    """How many standard deviations the worst shape of a stamp is off, and the pixels (pixel,) to lose for it.

    Parameters
    ----------
    pull : (pixel,)
        What the model leaves, over its standard deviation.
    loose : (pixel,)
        By how much the model itself may be wrong there, over the same; alike in all pixels of a shape.
    """
    shapes = shapes_of(side)

    def significance(inside: NDArray) -> NDArray[np.float64]:
        n = inside @ keep
        spread = np.sqrt(np.maximum(n, 1) + (inside @ (loose * keep)) ** 2)
        return np.where(n > 0, inside @ (pull * keep) / spread, 0.0)

    total = significance(shapes.inside)
    parts = significance(shapes.thirds) * np.sign(total)[:, None]
    total = np.where((parts > THIRD_SIGMA).sum(axis=1) >= AGREEING, np.abs(total), 0.0)
    worst = int(np.argmax(total))
    return float(total[worst]), shapes.cleared[worst]


def plateaux(data: NDArray, bad: NDArray[np.bool_], variance: NDArray) -> NDArray[np.bool_]:
    """(exposure, row, column): pixels at the level where a detector ends, and their neighbours.

    Parameters
    ----------
    data, bad : (exposure, row, column)
    variance : (exposure,)
    """
    marked = np.zeros(data.shape, bool)
    for i, (pixels, spoilt) in enumerate(zip(data, bad, strict=True)):
        good = pixels[~spoilt & np.isfinite(pixels)]
        if len(good) <= 2 * TOP:
            continue
        middle, top = float(np.median(good)), np.sort(good)[-TOP:]
        height = top[-1] - middle
        level = top[-TOP] > top[-1] - WITHIN * height or top[-SAME] > top[-1] - EXACTLY * height
        if height > 100 * variance[i] ** 0.5 and level:
            full = np.nan_to_num(pixels, nan=-np.inf) >= top[-1] - WITHIN * (top[-1] - middle)
            grown = full.copy()
            grown[1:] |= full[:-1]
            grown[:-1] |= full[1:]
            grown[:, 1:] |= full[:, :-1]
            grown[:, :-1] |= full[:, 1:]
            marked[i] = grown
    return marked
