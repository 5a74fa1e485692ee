"""Smooth planes of an image as values of the cells of a mesh: measured by clipped means, interpolated to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ztf_in2p3.compiled import compiled
from ztf_in2p3.errors import BadData
from ztf_in2p3.robust_statistics import SIGMA_PER_MAD

CLIP = 3.0
"""Pixels further than this many standard deviations from a cell's mean are left out."""

_CLIPPED_STD = 0.98658
"""Standard deviation of a unit Gaussian cut at +-CLIP: sqrt(1 - 2 c phi(c) / (2 Phi(c) - 1))."""

_ROUNDS = 4
_SAMPLE = 256
"""Pixels of a cell whose median and median distance the clipping starts from.  Theirs are known to 8 % of the noise;
each round of clipping leaves 3 % of that (2 c phi(c) of a start that is off)."""

_GOLDEN = 0.6180339887498949

_MEDIAN_VARIANCE = {1: 1.0, 3: 0.4487, 9: 0.1661}
"""Variance of the median of so many unit Gaussians (David & Nagaraja, Order Statistics, 2003, table 3.2)."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Smooth plane of an image."""

    cells: NDArray[np.float64]
    """(cell row, cell column): value at the centre of each cell."""
    shape: tuple[int, int]
    """Rows and columns of the image."""
    cubic: bool
    """Natural cubic splines between the centres, continued over the borders; or straight lines, level at the borders,
    which never undershoot."""

    def plane(self, thin: int = 1) -> NDArray[np.float32]:
        """Value at the pixels of every `thin`-th row, (row, column)."""
        along_rows, along_columns = self._weights()
        return np.asarray((along_rows[::thin] @ self.cells.astype(np.float32)) @ along_columns.T)

    def at(self, x: NDArray, y: NDArray) -> NDArray[np.float64]:
        """Value at the pixels nearest to positions (star,), pixels."""
        row, column = (
            np.clip(np.rint(position).astype(np.intp), 0, pixels - 1)
            for position, pixels in zip((y, x), self.shape, strict=True)
        )
        along_rows, along_columns = self._weights()
        return np.asarray(((along_rows[row] @ self.cells) * along_columns[column]).sum(axis=1))

    def _weights(self) -> list[NDArray[np.float32]]:
        return [_weights(n, pixels, self.cubic) for n, pixels in zip(self.cells.shape, self.shape, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Statistics of the cells of a mesh, each (cell row, cell column)."""

    mean: NDArray[np.float64]
    """NaN where there is no pixel."""
    std: NDArray[np.float64]
    count: NDArray[np.int64]
    shape: tuple[int, int]
    """Rows and columns of the image."""

    @property
    def smoothed_variance(self) -> float:
        """Variance of a value of `mesh` in units of that of a cell, in the mean over cells of which all are known."""
        rows, columns = self.mean.shape
        sizes = [
            (2 * min(1, j, rows - 1 - j) + 1) * (2 * min(1, i, columns - 1 - i) + 1)
            for j in range(rows)
            for i in range(columns)
        ]
        return float(np.mean([_MEDIAN_VARIANCE[size] for size in sizes]))

    def mesh(self, values: NDArray[np.float64], known: NDArray[np.bool_], *, cubic: bool) -> Mesh:
        """Smoothed by a 3 x 3 median, against the halo of a bright star; unknown cells take their neighbours'.

        `values`, `known`: (cell row, cell column).
        """
        return Mesh(_smooth(np.where(known, values, np.nan)), self.shape, cubic)


def cell_statistics(data: NDArray, ignored: NDArray[np.bool_], box: int, *, thin: int = 1) -> Cells:
    """Clipped mean and noise of each cell of an image.

    Parameters
    ----------
    data : (row, column)
        Any byte order.  What is not finite is ignored.
    ignored : (row, column)
    box
        Side of a cell, pixels; the nearest size that divides the image is taken.
    thin
        Every so many-th row and column is looked at; all, if none of those has a good pixel.

    Raises
    ------
    BadData
        No usable pixel.
    """
    rows, columns = (np.array(_edges(pixels, max(1, round(pixels / box)))) for pixels in data.shape)
    mean, std, count = _statistics(*_thinned(data, ignored, rows, columns, thin))
    if thin > 1 and not count.any():
        mean, std, count = _statistics(*_thinned(data, ignored, rows, columns, 1))
    if not count.any():
        raise BadData(
            f"none of the {data.size} pixels is usable (all masked or not finite); "
            "expected a sky image with its own mask: check the mask, or leave the image out"
        )
    return Cells(mean, std, count, (data.shape[0], data.shape[1]))


def clipped_mean(data: NDArray, ignored: NDArray[np.bool_], *, thin: int = 1) -> tuple[float, float]:
    """Clipped mean of an image and standard deviation of a pixel; NaN if no pixel is known.  As `cell_statistics`.

    `data`, `ignored`: (row, column).
    """
    rows, columns = (np.array([0, pixels]) for pixels in data.shape)
    mean, std, _ = _statistics(*_thinned(data, ignored, rows, columns, thin))
    return float(mean[0, 0]), float(std[0, 0])


def _thinned(
    data: NDArray, ignored: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64], thin: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Every so many-th row and column of an image, contiguous, and where its cells then begin."""
    pixels = np.ascontiguousarray(data[::thin, ::thin], dtype=np.float32)
    return pixels, np.ascontiguousarray(ignored[::thin, ::thin]), -(-rows // thin), -(-columns // thin)


def _edges(n_pixel: int, n_cell: int) -> list[int]:
    """First pixel of each cell along an axis, and the number of pixels."""
    return [n_pixel * cell // n_cell for cell in range(n_cell + 1)]


_UNKNOWN = np.float32(np.nan)
# Sums may be reordered, so that they go through vector registers.
_jit = compiled(fastmath={"reassoc", "contract"})


@_jit
def _statistics(data, ignored, rows, columns):  # type: ignore[no-untyped-def]
    n_row, n_column = len(rows) - 1, len(columns) - 1
    mean, std = np.empty((n_row, n_column)), np.empty((n_row, n_column))
    count = np.empty((n_row, n_column), np.int64)
    for j in range(n_row):
        for i in range(n_column):
            cell, n = np.empty((rows[j + 1] - rows[j]) * (columns[i + 1] - columns[i]), np.float32), 0
            for row in range(rows[j], rows[j + 1]):
                values, left_out = data[row, columns[i] : columns[i + 1]], ignored[row, columns[i] : columns[i + 1]]
                kept = cell[n : n + len(values)]
                for k in range(len(values)):
                    kept[k] = _UNKNOWN if left_out[k] else values[k]
                n += len(values)
            mean[j, i], std[j, i], count[j, i] = _clipped(cell)
    return mean, std, count


@_jit
def _clipped(pixels):  # type: ignore[no-untyped-def]
    """Mean, standard deviation (corrected for the clipping) and number of finite pixels within CLIP of them."""
    sample = np.empty(_SAMPLE, np.float32)
    for k in range(_SAMPLE if len(pixels) else 0):  # equal steps might always meet the same, bad, column
        sample[k] = pixels[int(k * _GOLDEN % 1.0 * len(pixels))]
    sample = _finite(sample) if len(pixels) else sample[:0]
    if len(sample) < _SAMPLE // 4:
        sample = _finite(pixels)
    if len(sample) == 0:
        return np.nan, np.nan, 0
    centre = float(np.median(sample))
    sigma = SIGMA_PER_MAD * float(np.median(np.abs(sample - np.float32(centre))))
    if sigma == 0:
        sigma = float(np.std(sample))
    base, kept = np.float32(centre), 0  # distances from it are exact, however small the noise beside the level
    centre -= float(base)
    for _ in range(_ROUNDS):
        low, high = np.float32(centre - CLIP * sigma), np.float32(centre + CLIP * sigma)
        total, squares, kept = _sums_between(pixels, base, low, high)
        if kept == 0:  # no noise but that of rounding
            return float(base) + centre, 0.0, len(sample)
        before, was = sigma, centre
        centre = total / kept
        sigma = np.sqrt(max(squares / kept - centre * centre, 0.0)) / _CLIPPED_STD
        if abs(sigma - before) < 1e-3 * sigma and abs(centre - was) < 1e-3 * sigma:
            break
    return float(base) + centre, sigma, kept


@_jit
def _sums_between(pixels, base, low, high):  # type: ignore[no-untyped-def]
    """Sums over the pixels between two distances from a base: distances, their squares, number."""
    total, squares, kept = 0.0, 0.0, 0
    for start in range(0, len(pixels), 1024):  # float32 sums of so few lose nothing near zero
        part, square, inside = np.float32(0), np.float32(0), np.float32(0)
        chunk = pixels[start : start + 1024]
        for i in range(len(chunk)):
            off = chunk[i] - base
            known = (off >= low) & (off <= high)
            off = off if known else np.float32(0)
            part += off
            square += off * off
            inside += np.float32(1) if known else np.float32(0)
        total += float(part)
        squares += float(square)
        kept += int(inside)
    return total, squares, kept


@_jit
def _finite(pixels):  # type: ignore[no-untyped-def]
    finite, n = np.empty(len(pixels), np.float32), 0
    for value in pixels:
        if abs(value) < np.float32(np.inf):
            finite[n] = value
            n += 1
    return finite[:n]


@_jit
def _smooth(cells):  # type: ignore[no-untyped-def]
    """Median of 3 x 3 cells, of fewer at the borders so that a gradient stays.

    Unknown cells take the median of the smallest neighbourhood that knows one.
    """
    rows, columns = cells.shape
    smooth = np.empty_like(cells)
    for j in range(rows):
        for i in range(columns):
            high, wide = min(1, j, rows - 1 - j), min(1, i, columns - 1 - i)
            near = cells[j - high : j + high + 1, i - wide : i + wide + 1]
            half_width = 1
            while np.isnan(near).all():
                near = cells[max(0, j - half_width) : j + half_width + 1, max(0, i - half_width) : i + half_width + 1]
                half_width += 1
            smooth[j, i] = np.nanmedian(near)
    return smooth


@lru_cache(maxsize=16)
def _weights(n_cell: int, n_pixel: int, cubic: bool) -> NDArray[np.float32]:
    """(pixel, cell): weight of each cell at each pixel of an axis.  The same for all images of a camera."""
    if n_cell == 1:
        return np.ones((n_pixel, 1), dtype=np.float32)
    centres = np.array([(first + end - 1) / 2 for first, end in pairwise(_edges(n_pixel, n_cell))])
    pixel, unit = np.arange(n_pixel), np.eye(n_cell)
    if cubic:
        return CubicSpline(centres, unit, bc_type="natural")(pixel).astype(np.float32)
    return np.stack([np.interp(pixel, centres, node) for node in unit], axis=1).astype(np.float32)
