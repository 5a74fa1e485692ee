"""Pixels that radiation hit: sharper than any star can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.catalogue.mesh import cell_statistics
from ztf_in2p3.detrend.hit_kernels import (
    bright_pixels,
    far_from,
    grow,
    light_over_sky,
    neighbour_ratios,
    sharp_pixels,
)
from ztf_in2p3.image import BAD, Image, MaskBit, is_bad

SIGMA = 6.0
"""Standard deviations by which a hit is sharper than a star: noise is, in one pixel of 10^9 and test."""
GROW_SIGMA, GROW_OVER_SKY = 2.0, 3.0
"""The same for pixels that touch a hit, and theirs over the sky."""
MARGIN = 0.85
"""Share of the sharpest stars' ratios that is asked for: the PSF changes over the quadrant and from star to star."""
SHARPEST_PERCENT = 5.0
"""Percentile of the stars' ratios that stands for the sharpest: noise and hits lie below."""
FLOOR = (0.16, 0.16, 0.05, 0.05)
"""Ratios (direction,) for the sharpest PSF there can be, 1.2 pixels wide: 0.19 to 0.20 and 0.06 to 0.07 for the
sharpest stars of a real quadrant of 1.24 pixels."""
STAR_SIGMA, LEAST_STARS = 50.0, 20
"""Standard deviations over the sky of the stars that the ratios are measured on, and how many it takes."""
_RATIO_PIXELS = 200_000
"""Bright pixels looked at for stars."""
_AROUND_FULL = 10
"""Pixels around a saturated one that are left alone: the edge of a flat top is as sharp as a hit."""
_CELL, _THIN, _SKY_ROWS = 128, 4, 8
"""Side of the cells in which the sky is measured, pixels; which part of their rows and columns; rows of one level."""


@dataclass(frozen=True, slots=True, eq=False)
class Sharpness:
    """How sharp the stars of an image are."""

    least: NDArray[np.float64]
    """(direction,): smallest mean of two opposite neighbours over the pixel between them, with `MARGIN`."""
    n_star: int
    """Stars it was measured on; 0 if there were too few, and the sharpest PSF there can be was taken."""


def mark_radiation_hits(image: Image) -> int:
    """Set `MaskBit.RADIATION_HIT` in the image's mask where radiation left charge; returns in how many pixels.

    A pixel is hit if it exceeds what any star could have there, given its neighbours and how sharp
    the image's own stars are (`ztf_in2p3.detrend.hit_kernels`).  From there a hit grows over the
    pixels that touch it.  Pixels known to be bad are left out.  A hit fainter than some ten times
    the noise cannot be told from a star where the PSF is narrow, nor one in the core of a star.
    """
    unusable = np.uint16(BAD & ~MaskBit.RADIATION_HIT)
    bad = is_bad(image.mask) | ~np.isfinite(image.data) | ~np.isfinite(image.variance)
    if bad.all():
        return 0
    cells = cell_statistics(image.data, bad, _CELL, thin=_THIN)
    sky = cells.mesh(cells.mean, cells.count > 0, cubic=False)
    scale = _noise_scale(image, bad, float(np.median(cells.std[cells.count > 0])))
    light = np.empty_like(image.data)
    rows = sky.plane(thin=_SKY_ROWS)
    light_over_sky(image.data, image.variance, rows, _SKY_ROWS, image.mask, unusable, SIGMA * scale, light)

    bright = bright_pixels(light, image.variance, SIGMA * scale)
    least = star_sharpness(light, image.variance, bright, scale).least
    hits = bright[sharp_pixels(light, image.variance, bright, least, SIGMA * scale)]
    hits = hits[far_from(image.mask, hits, np.uint16(MaskBit.SATURATED), _AROUND_FULL)]
    bit = np.uint16(MaskBit.RADIATION_HIT)
    return int(grow(light, image.variance, image.mask, hits, bit, least, GROW_OVER_SKY * scale, GROW_SIGMA * scale))


def star_sharpness(
    light: NDArray[np.float32], variance: NDArray[np.float32], bright: NDArray[np.int64], scale: float
) -> Sharpness:
    """How sharp the stars are among the bright pixels (pixel,), indices in the flat plane."""
    looked_at = bright[:: 1 + len(bright) // _RATIO_PIXELS]
    ratios = neighbour_ratios(light, variance, looked_at, STAR_SIGMA * scale)
    floor = np.array(FLOOR)
    stars = ratios[(ratios > floor).all(axis=1)]
    if len(stars) < LEAST_STARS:
        return Sharpness(MARGIN * floor, 0)
    return Sharpness(MARGIN * np.percentile(stars, SHARPEST_PERCENT, axis=0), len(stars))


def _noise_scale(image: Image, bad: NDArray[np.bool_], sky_noise: float) -> float:
    """Noise of the sky over what the variance says, if larger: a wrong gain, or unseen stars."""
    thin = (slice(None, None, 16), slice(None, None, 4))
    good = ~bad[thin]
    variance = image.variance[thin][good] if good.any() else image.variance[~bad]
    expected = float(np.median(variance))
    return max(1.0, sky_noise / np.sqrt(expected)) if expected > 0 else 1.0
