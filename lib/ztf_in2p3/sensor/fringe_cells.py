"""An image in cells of some pixels: fringes are smooth, so cells tell all of them, at a hundredth of the cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, spline_filter

from ztf_in2p3.compiled import compiled
from ztf_in2p3.image import BAD, Image

CLIP = 3.5
"""Pixels further from the level of their neighbourhood than this many standard deviations are left out.  The mean of
the rest moves by 0.6 % of an error of that level."""
_FEW = 2
"""More pixels than these that are too bright, and the cell holds a source: by chance 1 in 50000 has so many of 64."""
_LEAST = 0.5
"""Share of a cell's pixels that are needed."""
_LEAST_SKY = 0.1
"""Share of the cells that must know the sky for an exposure to tell anything."""
_MANY, _BAND, _EVERY = 20_000, 8, 4
"""Cells; rows of cells in a band; one band in so many is looked at where there are more cells than those."""
_BAD = np.uint16(BAD)
_PAD = 12
"""Cells added around a map before it is made a spline; of what is wrong at their end, 5e-6 arrive at the map's."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Sky of one quadrant, in cells; arrays are (cell row, cell column)."""

    mean: NDArray[np.float32]
    """ADU.  NaN where there are sources or too few good pixels."""
    error: NDArray[np.float32]
    """Standard error of the mean, ADU; NaN likewise."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Cells (cell row, cell column) that have a mean."""
        return np.isfinite(self.mean)

    @property
    def tell(self) -> bool:
        """Whether there is enough sky between the sources."""
        return bool(self.known.mean() >= _LEAST_SKY)


def sky_cells(image: Image, size: int) -> Cells:
    """Clipped means of cells of `size` x `size` pixels; cells with sources, and those beside them, are left out.

    A pixel is judged by the level of 3 x 3 cells (medians of medians of some pixels): neither a gradient of the sky
    nor the fringes themselves make it a source.

    Raises
    ------
    ValueError
        The cells do not fill the image.
    """
    rows, columns = image.data.shape
    if rows % size or columns % size:
        raise ValueError(f"cells of {size} pixels do not fill an image of {rows} x {columns}; choose a common divisor")
    shape = rows // size, columns // size
    rough = _rough_levels(image.data, image.mask, size, np.full(shape, np.nan, np.float32))
    middle = np.nanmedian(rough) if np.isfinite(rough).any() else np.float32(np.nan)
    level = _middle_of_three(_middle_of_three(np.where(np.isfinite(rough), rough, middle)).T).T
    mean, error, bright = (np.full(shape, np.nan, np.float32) for _ in range(3))
    _clipped_means(image.data, image.variance, image.mask, level, size, mean, error, bright)
    source = maximum_filter(bright > _FEW, 3)
    mean[source] = error[source] = np.nan
    return Cells(mean, error)


def some_sky_cells(image: Image, size: int) -> Cells:
    """Cells as `sky_cells`, but of many one in four, in bands over the whole image; the others are NaN.

    Twenty thousand tell the amplitude of a pattern to a hundredth of the noise of one.
    """
    rows, columns = (n // size for n in image.data.shape)
    if rows * columns <= _MANY:
        return sky_cells(image, size)
    cells = Cells(*np.full((2, rows, columns), np.nan, np.float32))
    for start in range(0, rows, _EVERY * _BAND):
        band, pixels = slice(start, start + _BAND), slice(start * size, (start + _BAND) * size)
        part = sky_cells(Image(image.data[pixels], image.variance[pixels], image.mask[pixels]), size)
        cells.mean[band], cells.error[band] = part.mean, part.error
    return cells


def subtract_cells(data: NDArray[np.float32], cells: NDArray) -> None:
    """Subtract a smooth pattern from an image in place.

    The pattern is the cubic spline whose means over the cells are those given: its nodes are the cells' centres, and
    the mean over a cell of a cubic B-spline is a quartic one (a B-spline convolved with a box is the next one).

    Parameters
    ----------
    data : (row, column), ADU
    cells : (cell row, cell column), ADU
        Cells of equal size, filling the image.
    """
    size = data.shape[0] // cells.shape[0]
    if data.shape != (size * cells.shape[0], size * cells.shape[1]):
        raise ValueError(f"{cells.shape} cells do not fill an image of {data.shape} pixels")
    nodes = spline_filter(np.pad(cells.astype(np.float64), _PAD, mode="reflect", reflect_type="odd"), 4, mode="mirror")
    _subtract(data, nodes.astype(np.float32), _weights(size).astype(np.float32))


def _weights(size: int) -> NDArray[np.float64]:
    """(node, pixel): cubic B-splines at the nodes two cells before to two after, at the pixels of a cell."""
    pixel = (np.arange(size) + 0.5) / size - 0.5
    t = np.abs(pixel[None, :] - np.arange(-2, 3)[:, None])
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0))


def _middle_of_three(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of each row and its neighbours; the first and the last stay."""
    before, after = np.concatenate([level[:1], level[:-1]]), np.concatenate([level[1:], level[-1:]])
    return np.maximum(np.minimum(before, after), np.minimum(np.maximum(before, after), level))


@compiled
def _rough_levels(data, mask, size, level):  # type: ignore[no-untyped-def]
    """Median of every second pixel of two rows of a cell, of those that are good."""
    step = max(1, size // 2)
    values = np.empty(3 * size, np.float32)
    for j in range(level.shape[0]):
        for i in range(level.shape[1]):
            n = 0
            for r in range(j * size, (j + 1) * size, step):
                for c in range(i * size, (i + 1) * size, 2):
                    value = data[r, c]
                    if mask[r, c] & _BAD or not np.isfinite(value):
                        continue
                    k = n
                    while k > 0 and values[k - 1] > value:
                        values[k] = values[k - 1]
                        k -= 1
                    values[k] = value
                    n += 1
            if n:
                level[j, i] = values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / np.float32(2)
    return level


@compiled
def _clipped_means(data, variance, mask, level, size, mean, error, bright):  # type: ignore[no-untyped-def]
    """Mean, its standard error and the number of pixels that are too bright, of each cell."""
    limit = np.float32(CLIP * CLIP)
    for j in range(level.shape[0]):
        for i in range(level.shape[1]):
            n, n_bright, total, noise = 0, 0, np.float32(0), np.float32(0)
            for r in range(j * size, (j + 1) * size):
                for c in range(i * size, (i + 1) * size):
                    if mask[r, c] & _BAD:
                        continue
                    d, v = data[r, c] - level[j, i], variance[r, c]
                    if d * d < limit * v:
                        total += d
                        noise += v
                        n += 1
                    elif d > 0:
                        n_bright += 1
            bright[j, i] = n_bright
            if n >= _LEAST * size * size:
                mean[j, i] = level[j, i] + total / np.float32(n)
                error[j, i] = np.sqrt(noise) / np.float32(n)


@compiled
def _subtract(data, nodes, weights):  # type: ignore[no-untyped-def]
    """The spline of the nodes, row by row: first its nodes along the row, then its pixels."""
    size = weights.shape[1]
    line = np.empty(nodes.shape[1], np.float32)
    for r in range(data.shape[0]):
        j = r // size + _PAD - 2
        of_row = weights[:, r % size]
        for i in range(len(line)):
            line[i] = (
                of_row[0] * nodes[j, i]
                + of_row[1] * nodes[j + 1, i]
                + of_row[2] * nodes[j + 2, i]
                + of_row[3] * nodes[j + 3, i]
                + of_row[4] * nodes[j + 4, i]
            )
        row = data[r]
        for i in range(data.shape[1] // size):
            a, b, c, d, e = (
                line[i + _PAD - 2],
                line[i + _PAD - 1],
                line[i + _PAD],
                line[i + _PAD + 1],
                line[i + _PAD + 2],
            )
            for p in range(size):
                row[i * size + p] -= (
                    a * weights[0, p] + b * weights[1, p] + c * weights[2, p] + d * weights[3, p] + e * weights[4, p]
                )
