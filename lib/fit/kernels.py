"""Passes over a star-sorted table, compiled; one thread, sums in float64.

Names shared by all: `first` (star + 1,) offsets of the stars' rows; `index` (row, block) of the
parameters, blocks without values first; `value` (row, block with values); `weight` (row,), 0
where a row is rejected; `anchor` (star,) weight of what is known of the star from elsewhere.
`width` is a tuple as long as the number of blocks with values: the compiler unrolls what it can count.

A star's best magnitude given the parameters is the weighted mean of y - model over its rows
(its block of the normal equations is diagonal), so eliminating all stars exactly means taking
each star's mean out of whatever the rest of the model says: S p = A^T W (A p - mean_star(A p)).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_jit = numba.njit(cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")


@_jit
def apply(first, index, value, weight, anchor, units, width, p, out):  # type: ignore[no-untyped-def]
    """out += S p."""
    n_unit, n_valued = len(units), len(width)
    for s in range(len(first) - 1):
        total, moment = np.float64(anchor[s]), 0.0
        for i in range(first[s], first[s + 1]):
            t = 0.0
            for b in range(n_unit):
                t += p[index[i, b]]
            for b in range(n_valued):
                t += value[i, b] * p[index[i, n_unit + b]]
            total += weight[i]
            moment += weight[i] * t
        mean = moment / total if total > 0 else 0.0
        for i in range(first[s], first[s + 1]):
            t = -mean
            for b in range(n_unit):
                t += p[index[i, b]]
            for b in range(n_valued):
                t += value[i, b] * p[index[i, n_unit + b]]
            t *= weight[i]
            for b in range(n_unit):
                out[index[i, b]] += t
            for b in range(n_valued):
                out[index[i, n_unit + b]] += value[i, b] * t
