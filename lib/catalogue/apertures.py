"""Fluxes in circular apertures, with errors that know the star's own photons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from lib.catalogue.background import Background, smooth_level

_CHUNK = 4096
"""Stars whose surroundings are held in memory at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Apertures:
    """What stars send through circles; arrays (star, radius)."""

    flux: NDArray[np.float64]
    """ADU."""
    error: NDArray[np.float64]
    """ADU, standard deviation."""
    flag: NDArray[np.int16]
    """Bits of `sep.sum_circle`: 0x10 cut by the border, 0x20 holds bad pixels, 0x40 holds nothing else."""


def poisson_variance(data: NDArray, gain: float | NDArray, read_noise: float) -> NDArray[np.float32]:
    """Variance of the pixels of an image that came without a variance plane.

    Parameters
    ----------
    data : (row, column), ADU
        Sky included.
    gain
        Electrons per ADU; a map (row, column) where flat-fielding made it differ.
    read_noise
        Electrons.

    Returns
    -------
    (row, column), ADU^2
    """
    return np.asarray(np.clip(data, 0, None) / gain + (read_noise / np.asarray(gain)) ** 2, dtype=np.float32)


def noise_variance(
    variance: NDArray, background: Background, ignored: NDArray[np.bool_], *, box: int
) -> NDArray[np.float32]:
    """Variance of each pixel: the sky's as measured, the stars' as propagated.

    Empty sky is the best witness of its own noise: on the archive's images it is 10 % larger than
    what the header's gain and read noise foretell.  What a star adds can only be propagated: its
    photons and, as the square of its counts, the noise of the flat.  So the level of the
    variance plane is replaced by the square of the measured noise, and what stands above
    that level is kept.  The variance plane is made of noisy counts, but a sum over an aperture is
    linear in them: it errs like gain times the flux itself, by 1 part in (gain x error in
    ADU), and the pulls show nothing of it.

    Parameters
    ----------
    variance : (row, column), ADU^2
        Of each pixel: sky, source, read and calibration noise.
    ignored : (row, column)
        Bad pixels and stars, as for the background.
    box
        Pixels, as for the background.
    """
    excess = variance - smooth_level(variance, ignored, box=box)
    excess += background.rms**2
    return np.clip(excess, 0, None, out=excess)


def aperture_photometry(
    data: NDArray,
    variance: NDArray,
    bad: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: Sequence[float],
    *,
    level_error: float = 0.0,
) -> Apertures:
    """Sum the pixels in circles; exact overlap of circle and pixel.

    Bad pixels are filled from their good neighbours, once for the whole image, and flagged.
    sep's own treatment, to scale the sum by the area lost, takes a pixel in the wings for an
    average one: one pixel 6 from a star of seeing 2 makes an aperture of 7 brighter by 0.7 %; filled,
    by less than 0.1 %.  In the core neither can be right, and the flag says so.

    Parameters
    ----------
    data : (row, column), ADU
        Background subtracted.
    variance : (row, column), ADU^2
        Of each pixel, see `noise_variance`.
    bad : (row, column)
    x, y : (star,)
        Pixels; 0 is the centre of the first.
    radii
        Pixels.
    level_error
        ADU; the background's error is the same in all pixels of an aperture and grows as its area.
    """
    bad = bad | ~np.isfinite(data) | ~np.isfinite(variance)
    filled, noise = fill_bad_pixels(data, bad), fill_bad_pixels(variance, bad)
    shape = (len(x), len(radii))
    flux, error, flag = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int16)
    spoilt = bits_within(bad.astype(np.uint16), x, y, max(radii)) != 0
    for k, radius in enumerate(radii):
        flux[:, k], error[:, k], flag[:, k] = sep.sum_circle(filled, x, y, radius, var=noise, subpix=0)
        if spoilt.any():  # sep is asked again with the mask for its flags only
            flag[spoilt, k] = sep.sum_circle(filled, x[spoilt], y[spoilt], radius, mask=bad, subpix=0)[2]
    area = np.pi * np.asarray(radii) ** 2
    return Apertures(flux, np.hypot(error, area * level_error), flag)


def fill_bad_pixels(pixels: NDArray, bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Copy whose bad pixels are the mean of their good neighbours, and 0 where there are none.

    The eight neighbours weigh as the inverse square of their distance.
    """
    filled = np.array(pixels, dtype=np.float32, order="C")
    row, column = np.nonzero(bad)
    total, weight = np.zeros(len(row), dtype=np.float32), np.zeros(len(row), dtype=np.float32)
    rows, columns = bad.shape
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            j, i = row + dy, column + dx
            inside = (j >= 0) & (j < rows) & (i >= 0) & (i < columns)
            j, i = np.clip(j, 0, rows - 1), np.clip(i, 0, columns - 1)
            good = inside & ~bad[j, i]
            near = np.float32(1.0 / max(1, dx * dx + dy * dy))
            total[good] += near * filled[j[good], i[good]]
            weight[good] += near
    filled[row, column] = total / np.maximum(weight, np.float32(0.5))  # the least weight of one neighbour is 0.5
    return filled


def bits_within(mask: NDArray[np.uint16], x: NDArray, y: NDArray, radius: float) -> NDArray[np.uint16]:
    """Bits of all pixels that a circle around each star touches, or-ed.

    Parameters
    ----------
    mask : (row, column)
    x, y : (star,), pixels
        On the image.
    radius
        Pixels.

    Returns
    -------
    (star,)
    """
    reach = int(np.ceil(radius)) + 1
    padded = np.pad(mask, reach + 1)  # so that no circle around a star on the image leaves the array
    dy, dx = (offset.ravel() for offset in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    step = dy * padded.shape[1] + dx
    dy, dx = dy.astype(np.float32), dx.astype(np.float32)
    bits = np.zeros(len(x), dtype=np.uint16)
    for first in range(0, len(x), _CHUNK):
        part = slice(first, first + _CHUNK)
        column, row = np.rint(x[part]).astype(int), np.rint(y[part]).astype(int)
        # From the star to the nearest point of each pixel's square.
        gap_x = np.clip(np.abs(dx - (x[part] - column).astype(np.float32)[:, np.newaxis]) - 0.5, 0, None)
        gap_y = np.clip(np.abs(dy - (y[part] - row).astype(np.float32)[:, np.newaxis]) - 0.5, 0, None)
        here = (row + reach + 1) * padded.shape[1] + column + reach + 1
        found = padded.ravel()[here[:, np.newaxis] + step]
        found[gap_x * gap_x + gap_y * gap_y >= radius**2] = 0
        bits[part] = np.bitwise_or.reduce(found, axis=1)
    return bits
