"""The level at which an image's pixels are full, and how much the sky between its stars scatters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ztf_in2p3.robust_statistics import robust_sigma

CLIP = 4.0
COARSE = 1e-3
"""Squares of a count in units of the variance from which a median of whole counts may be off by 2 %."""
BOX = 9
"""Pixels over which an image is smoothed to tell stars from sky."""
PLATEAU = 8
"""Highest pixels of an image that are within 0.5 % of one another where they are saturated."""
FEWEST = 500
"""Pairs of pixels to tell the noise by; they tell its variance to a tenth (2.3 / sqrt(n))."""
SAMPLE = 500_000
"""Pixels, spread over the image, that tell its median and noise to a thousandth."""
N_STRIP, STRIP_ROWS = 12, 64
"""Strips of an image, and rows of each, that serve for the sky's variance."""


def saturation_level(data: NDArray, bad: NDArray[np.bool_], header_level: float | None) -> float:
    """Pixel value at which the detector is full: a header's, or that of a plateau of the pixels; else infinite.

    `data`, `bad`: (row, column).

    Stars have one brightest pixel, or two.  Where many pixels share the highest value of an image, that is where the
    detector, its amplifier or its converter end.
    """
    good = data[~bad & np.isfinite(data)]
    if not good.size:
        return np.inf
    sample = good[:: max(good.size // SAMPLE, 1)]
    highest, middle = float(good.max()), float(np.median(sample))
    level = highest - 0.005 * (highest - middle)
    noise = robust_sigma(sample, middle)
    shared = np.count_nonzero(good >= level) >= min(PLATEAU, good.size)
    plateau = level if shared and highest > middle + 100 * noise else np.inf
    given = header_level if header_level is not None and header_level > middle else np.inf
    return min(plateau, given)


def sky_variance(data: NDArray[np.float32], bad: NDArray[np.bool_]) -> float | None:
    """Variance of a pixel where there are no stars, as the pixels show it; None if too few of them are good.

    `data`, `bad`: (row, column).

    One number weighs a whole exposure, and its errors rest on it: it is measured, since counts and read noise are not
    all (in a real zr quadrant of 1.2 pixels seeing they make 28.5 ADU^2, and 34.9 are there).  From pixel to pixel
    along the columns, for the pocket of the serial register correlates pixels along the rows.  Places without stars:
    the half of the image where a mean over 9 x 9 pixels is lower; a pixel is 1/81 of that, and hardly chooses itself.
    Strips over the whole image serve where it is large: of a million differences the variance is good to 0.2 %.
    """
    data, bad = _strips(data), _strips(bad)
    good = data[~bad]
    if not good.size:
        return None
    middle = float(np.median(good))
    spread = robust_sigma(good, middle)
    limited = np.where(bad, middle, np.minimum(data, middle + 3 * spread))
    smooth = np.stack([uniform_filter(strip, BOX) for strip in limited])
    dark = ~bad & (smooth <= np.median(smooth[~bad]))
    steps = np.diff(data, axis=1)[dark[:, 1:] & dark[:, :-1]]
    if len(steps) < FEWEST:
        return None
    return _variance_of_steps(steps) or None


def _strips(plane: NDArray) -> NDArray:
    """(strip, row, column): rows evenly over a large image (row, column); of a smaller one all, as one strip."""
    if len(plane) < 2 * N_STRIP * STRIP_ROWS:
        return plane[None]
    first = np.linspace(0, len(plane) - STRIP_ROWS, N_STRIP).astype(int)
    return np.stack([plane[row : row + STRIP_ROWS] for row in first])


def _variance_of_steps(steps: NDArray) -> float:
    """Half the variance of differences of pixels, outliers left out; right on images of whole counts, too.

    A median of whole numbers is a whole number: where the noise is of the order of a count it gives 0.5 to 1.9 times
    the variance.  There the sum of squares within four standard deviations does not.
    """
    plain = robust_sigma(steps, 0.0) ** 2 / 2
    size = np.abs(steps).astype(np.float64)
    count = _count(size)
    if count == 0 or count**2 < COARSE * plain:
        return plain
    spread = max(robust_sigma(size, 0.0), count)
    for _ in range(20):
        inside = size <= CLIP * spread + count / 2
        new = float(np.sqrt(np.mean(size[inside] ** 2)))
        if abs(new - spread) < 1e-4 * spread:
            break
        spread = max(new, 0.3 * count)
    return float(np.mean(size[inside] ** 2)) / 2


def _count(size: NDArray[np.float64]) -> float:
    """Unit of which nearly all differences are multiples; 0 if there is none."""
    differences = size[size > 0]
    if not len(differences):
        return 0.0
    unit = float(np.percentile(differences, 1))
    off = np.abs(size / unit - np.rint(size / unit))
    return unit if float(np.mean(off < 0.01)) > 0.99 else 0.0
