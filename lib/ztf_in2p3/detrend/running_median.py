"""Median of the pixels around each pixel along its column, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.detrend.stack import exchanges

_BLOCK = 256
"""Columns whose medians are taken at a time, so that their neighbourhoods stay in the processor's cache."""


def running_median(plane: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Median of the `width` (odd) pixels of a column around each pixel, those without data left out.

    Beyond the edge the column is mirrored.  (row, column) in and out.
    """
    half = width // 2
    rows = np.pad(np.arange(len(plane)), half, mode="reflect")
    medians = np.empty(plane.shape, np.float32)
    _fill(np.ascontiguousarray(plane, np.float32), rows, width, *exchanges(width), medians)
    return medians


@compiled
def _fill(plane, rows, width, lower, upper, medians):  # type: ignore[no-untyped-def]
    """Sort each neighbourhood by the exchanges of a network, what has no data last; `rows`: (row + width - 1,)."""
    n_row, n_column = plane.shape
    lines, n = np.empty((width, _BLOCK), np.float32), np.empty(_BLOCK, np.int32)
    for start in range(0, n_column, _BLOCK):
        size = min(_BLOCK, n_column - start)
        for r in range(n_row):
            n[:] = 0
            for f in range(width):
                row, line = plane[rows[r + f], start : start + size], lines[f]
                for p in range(size):
                    finite = abs(row[p]) < np.float32(np.inf)
                    n[p] += finite
                    line[p] = row[p] if finite else np.float32(np.inf)
            for c in range(len(lower)):
                low, high = lines[lower[c]], lines[upper[c]]
                for p in range(size):
                    a, b = low[p], high[p]
                    low[p], high[p] = (a if a < b else b), (b if a < b else a)
            middle, median = lines[width // 2], medians[r, start : start + size]
            for p in range(size):
                median[p] = middle[p]
            for p in range(size):
                if n[p] < width:
                    median[p] = _median(lines, p, n[p])


@compiled
def _median(lines, p, n):  # type: ignore[no-untyped-def]
    """Median of the first n ordered values of a pixel; NaN where there is none."""
    if n == 0:
        return np.float32(np.nan)
    return (lines[(n - 1) // 2, p] + lines[n // 2, p]) * np.float32(0.5) if n % 2 == 0 else lines[n // 2, p]
