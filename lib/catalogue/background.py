"""Level and noise of the sky under the stars of an image.

A mesh of clipped means, not the mode estimator 2.5 median - 1.5 mean of SExtractor and sep:
photon noise is skew, and on a sky of 900 electrons that mode lies 0.09 ADU below the sky,
10 ADU in an aperture of 6 pixels.  A clipped mean lies 0.006 ADU below it, provided that the
stars were masked first, for which `mask_sources` is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from lib.errors import BadData

CLIP = 3.0
"""Pixels further than this many standard deviations from a cell's mean are left out."""

_CLIPPED_STD = 0.98658
"""Standard deviation of a unit Gaussian cut at +-CLIP: sqrt(1 - 2 c phi(c) / (2 Phi(c) - 1))."""

_ROUNDS = 4
_MIN_PIXELS = 50
"""A cell with fewer good pixels takes the level of its neighbours."""


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Smooth background of an image."""

    level: NDArray[np.float32]
    """(row, column), ADU."""
    rms: NDArray[np.float32]
    """(row, column), ADU: standard deviation of one pixel of empty sky."""
    level_error: float
    """ADU: standard error of the level of one cell of the mesh."""


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Statistics of the cells of a mesh, each (cell row, cell column)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    count: NDArray[np.int64]


def measure_background(data: NDArray, ignored: NDArray[np.bool_], *, box: int) -> Background:
    """Background of an image, from the pixels that are not ignored.

    Cells of the mesh are smoothed by a 3 x 3 median, against the halo of a bright star.  The
    level is interpolated by natural cubic splines and the noise linearly, so that it stays
    positive.

    Parameters
    ----------
    data : (row, column), ADU
        Any byte order.
    ignored : (row, column)
        Bad pixels, and those of stars.  Pixels that are not finite are ignored anyway.
    box
        Side of a cell, pixels; the nearest size that divides the image is taken.

    Raises
    ------
    BadData
        No usable pixel, or an image without any noise.
    """
    cells = _cell_statistics(data, ignored, box, thin=1)
    _check_usable(cells, data)
    known = cells.count >= min(_MIN_PIXELS, cells.count.max())
    mean, std = (_smooth(np.where(known, values, np.nan)) for values in (cells.mean, cells.std))
    if not (std > 0).all():
        raise BadData(
            f"the background has no noise (constant pixels of value {float(mean.min()):g}); "
            "expected a sky image: leave the image out"
        )
    rms = _spread(std, data.shape, smooth=False)
    level_error = float(np.median((cells.std / np.sqrt(np.maximum(cells.count, 1)))[known]))
    return Background(_spread(mean, data.shape, smooth=True), rms, level_error)


def first_look(data: NDArray, ignored: NDArray[np.bool_], *, thin: int = 8) -> tuple[float, float]:
    """One level and noise for the whole image, ADU, from every `thin`-th row and column; NaN if those are ignored."""
    mean, std, _ = _clipped_mean(data[::thin, ::thin], ignored[::thin, ::thin])
    return mean, std


def smooth_level(data: NDArray, ignored: NDArray[np.bool_], *, box: int, thin: int = 4) -> NDArray[np.float32]:
    """Level of a plane that need not have noise.  Parameters as `measure_background`."""
    cells = _cell_statistics(data, ignored, box, thin)
    if not cells.count.any():  # the few pixels left lie between the rows looked at
        cells = _cell_statistics(data, ignored, box, 1)
    _check_usable(cells, data)
    return _spread(_smooth(np.where(cells.count > 0, cells.mean, np.nan)), data.shape, smooth=True)


def mask_sources(shape: tuple[int, int], x: NDArray, y: NDArray, flux: NDArray, rms: float) -> NDArray[np.bool_]:
    """Pixels that hold light of known sources: discs that grow with the brightness.

    Parameters
    ----------
    x, y : (star,), pixels
        Stars may lie outside the image.
    flux : (star,), ADU
        A rough one.
    rms
        Noise of one pixel, ADU.  The radius is 6 pixels for what is lost in the noise, 11 for a flux of
        1000 rms and 34 for 1e5; a Moffat star of seeing 2.2 is there below 0.01 rms a pixel.
    """
    rows, columns = shape
    masked = np.zeros(shape, dtype=bool)
    radius = 6.0 * (1.0 + np.clip(np.nan_to_num(flux), 0.0, None) / (100.0 * rms)) ** 0.25
    for x_star, y_star, r in zip(x.tolist(), y.tolist(), radius.tolist(), strict=True):
        bottom, top = max(0, int(y_star - r)), min(rows, int(y_star + r) + 2)
        left, right = max(0, int(x_star - r)), min(columns, int(x_star + r) + 2)
        if bottom < top and left < right:
            dy = np.arange(bottom, top)[:, np.newaxis] - y_star
            dx = np.arange(left, right) - x_star
            masked[bottom:top, left:right] |= dx * dx + dy * dy < r * r
    return masked


def _check_usable(cells: _Cells, data: NDArray) -> None:
    if not cells.count.any():
        raise BadData(
            f"none of the {data.size} pixels is usable (all masked or not finite); "
            "expected a sky image with its own mask: check the mask, or leave the image out"
        )


def _cell_statistics(data: NDArray, ignored: NDArray[np.bool_], box: int, thin: int) -> _Cells:
    rows, columns = (_edges(pixels, max(1, round(pixels / box))) for pixels in data.shape)
    cells = [
        _clipped_mean(data[bottom:top:thin, left:right:thin], ignored[bottom:top:thin, left:right:thin])
        for bottom, top in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    mesh = (len(rows) - 1, len(columns) - 1)
    mean, std, count = (np.array(values).reshape(mesh) for values in zip(*cells, strict=True))
    return _Cells(mean, std, count)


def _edges(n_pixel: int, n_cell: int) -> list[int]:
    """First pixel of each cell along an axis, and the number of pixels."""
    return [n_pixel * cell // n_cell for cell in range(n_cell + 1)]


def _clipped_mean(data: NDArray, ignored: NDArray[np.bool_]) -> tuple[float, float, int]:
    """Mean, standard deviation (corrected for the clipping) and number of the pixels of a cell."""
    pixels = data[~ignored].astype(np.float32)  # native byte order, whatever the file's
    pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return np.nan, np.nan, 0
    sample = pixels[:: max(1, pixels.size // 1024)]
    centre = float(np.median(sample))
    sigma = 1.4826 * float(np.median(np.abs(sample - centre))) or float(sample.std())
    kept = pixels
    for _ in range(_ROUNDS):
        kept = pixels[np.abs(pixels - np.float32(centre)) <= np.float32(CLIP * sigma)]
        shifted = kept - np.float32(centre)  # float32 sums lose nothing near zero
        offset = float(shifted.mean(dtype=np.float64))
        before, sigma = sigma, float(shifted.std()) / _CLIPPED_STD
        centre += offset
        if abs(sigma - before) < 1e-3 * sigma and abs(offset) < 1e-3 * sigma:
            break
    return centre, sigma, int(kept.size)


def _smooth(cells: NDArray) -> NDArray:
    """Median of 3 x 3 cells, of fewer at the borders so that a gradient stays; unknown cells
    take the median of the smallest neighbourhood that knows one."""
    rows, columns = cells.shape
    smooth = np.empty_like(cells)
    for j in range(rows):
        for i in range(columns):
            high, wide = min(1, j, rows - 1 - j), min(1, i, columns - 1 - i)
            near = cells[j - high : j + high + 1, i - wide : i + wide + 1]
            reach = 1
            while np.isnan(near).all():
                near = cells[max(0, j - reach) : j + reach + 1, max(0, i - reach) : i + reach + 1]
                reach += 1
            smooth[j, i] = np.nanmedian(near)
    return smooth


def _spread(cells: NDArray, shape: tuple[int, ...], *, smooth: bool) -> NDArray[np.float32]:
    """Interpolate the centres of cells to every pixel: one matrix along each axis."""
    along_rows, along_columns = (
        _interpolation(n, pixels, smooth) for n, pixels in zip(cells.shape, shape, strict=True)
    )
    return np.asarray(along_rows @ cells.astype(np.float32) @ along_columns.T, dtype=np.float32)


def _interpolation(n_cell: int, n_pixel: int, smooth: bool) -> NDArray[np.float32]:
    """(pixel, cell): weight of each cell at each pixel of an axis."""
    if n_cell == 1:
        return np.ones((n_pixel, 1), dtype=np.float32)
    centres = np.array([(first + end - 1) / 2 for first, end in pairwise(_edges(n_pixel, n_cell))])
    pixel, unit = np.arange(n_pixel), np.eye(n_cell)
    if smooth:
        return CubicSpline(centres, unit, bc_type="natural")(pixel).astype(np.float32)
    return np.stack([np.interp(pixel, centres, one) for one in unit], axis=1).astype(np.float32)
