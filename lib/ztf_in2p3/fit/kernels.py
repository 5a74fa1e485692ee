"""Passes over a star-sorted table, compiled; one thread, sums in float64.

Names shared by all: `first` (star + 1,) offsets of the stars' rows; `index` (row, family) of the
parameters, families without values first; `value` (row, family with values); `weight` (row,);
`kept` (row,) 0 where a row is rejected; `anchor` (star,) weight of what is known of the star
from elsewhere.  In the two that take most of the time, `units` and `width` are tuples as long as
there are families without and with values: the compiler unrolls what it can count.

A star's best magnitude given the parameters is the weighted mean of y - model over its rows
(its block of the normal equations is diagonal), so eliminating all stars exactly means taking
each star's mean out of whatever the rest of the model says: S p = A^T W (A p - mean_star(A p)).
"""

from __future__ import annotations

import numpy as np

from ztf_in2p3.compiled import compiled

_jit = compiled(fastmath={"contract", "nsz", "arcp"})


@_jit
def modelled(index, value, units, width, p, i):  # type: ignore[no-untyped-def]
    """Model of row i without its star, from the parameters p (parameter,)."""
    t = 0.0
    for b in range(len(units)):
        t += p[index[i, b]]
    for b in range(len(width)):
        t += value[i, b] * p[index[i, len(units) + b]]
    return t


@_jit
def scatter(index, value, units, width, t, i, out):  # type: ignore[no-untyped-def]
    """Add t times the row i of the design matrix to out (parameter,)."""
    for b in range(len(units)):
        out[index[i, b]] += t
    for b in range(len(width)):
        out[index[i, len(units) + b]] += value[i, b] * t


@_jit
def apply(rows, anchor, units, width, p, out):  # type: ignore[no-untyped-def]
    """out += S p."""
    first, index, value, weight, kept = rows
    for s in range(len(first) - 1):
        total, moment = anchor[s], 0.0
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            total += w
            moment += w * modelled(index, value, units, width, p, i)
        mean = moment / total if total > 0 else 0.0
        for i in range(first[s], first[s + 1]):
            t = modelled(index, value, units, width, p, i) - mean
            scatter(index, value, units, width, t * weight[i] * kept[i], i, out)


@_jit
def apply_many(rows, anchor, units, width, p, out):  # type: ignore[no-untyped-def]
    """out += S p for the columns of p (parameter, column) at once."""
    first, index, value, weight, kept = rows
    n_column = p.shape[1]
    longest = 0
    for s in range(len(first) - 1):
        longest = max(longest, first[s + 1] - first[s])
    t = np.empty((longest, n_column))
    mean = np.empty(n_column)
    for s in range(len(first) - 1):
        total = anchor[s]
        mean[:] = 0.0
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            total += w
            row = t[i - first[s]]
            row[:] = 0.0
            for b in range(len(units)):
                j = index[i, b]
                for c in range(n_column):
                    row[c] += p[j, c]
            for b in range(len(width)):
                j, v = index[i, len(units) + b], np.float64(value[i, b])
                for c in range(n_column):
                    row[c] += v * p[j, c]
            for c in range(n_column):
                mean[c] += w * row[c]
        for c in range(n_column):
            mean[c] = mean[c] / total if total > 0 else 0.0
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            row = t[i - first[s]]
            for c in range(n_column):
                row[c] = w * (row[c] - mean[c])
            for b in range(len(units)):
                j = index[i, b]
                for c in range(n_column):
                    out[j, c] += row[c]
            for b in range(len(width)):
                j, v = index[i, len(units) + b], np.float64(value[i, b])
                for c in range(n_column):
                    out[j, c] += v * row[c]


@_jit
def modelled_row(index, value, p, i):  # type: ignore[no-untyped-def]
    """Model of a row as by `modelled`, compiled once for any number of families."""
    n_unit = index.shape[1] - value.shape[1]
    t = 0.0
    for b in range(n_unit):
        t += p[index[i, b]]
    for b in range(value.shape[1]):
        t += value[i, b] * p[index[i, n_unit + b]]
    return t


@_jit
def right_side(rows, anchor, anchor_mag, y, out):  # type: ignore[no-untyped-def]
    """out += A^T W (y - mean_star(y))."""
    first, index, value, weight, kept = rows
    n_unit = index.shape[1] - value.shape[1]
    for s in range(len(first) - 1):
        total, moment = anchor[s], anchor[s] * anchor_mag[s]
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            total += w
            moment += w * y[i]
        mean = moment / total if total > 0 else 0.0
        for i in range(first[s], first[s + 1]):
            t = (y[i] - mean) * weight[i] * kept[i]
            for b in range(index.shape[1]):
                out[index[i, b]] += t if b < n_unit else value[i, b - n_unit] * t


@_jit
def diagonals(rows, anchor, full, reduced, count):  # type: ignore[no-untyped-def]
    """Diagonal of the normal equations before and after the stars are eliminated; rows per parameter."""
    first, index, value, weight, kept = rows
    n_family = index.shape[1]
    n_unit = n_family - value.shape[1]
    work = np.zeros(len(full))
    for s in range(len(first) - 1):
        total = anchor[s]
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            total += w
            for b in range(n_family):
                v = 1.0 if b < n_unit else np.float64(value[i, b - n_unit])
                j = index[i, b]
                full[j] += w * v * v
                reduced[j] += w * v * v
                work[j] += w * v
                count[j] += kept[i]
        for i in range(first[s], first[s + 1]):
            for b in range(n_family):
                j = index[i, b]
                if work[j] != 0:  # once a parameter: the next row that shares it finds 0
                    reduced[j] -= work[j] * work[j] / total
                    work[j] = 0.0


@_jit
def star_means(rows, anchor, anchor_mag, y, p, mean, total, chi2, used):  # type: ignore[no-untyped-def]
    """Each star's magnitude over its reference given the parameters, its weight, chi2 and rows used."""
    first, index, value, weight, kept = rows
    for s in range(len(first) - 1):
        w_sum, moment, square, n = anchor[s], anchor[s] * anchor_mag[s], anchor[s] * anchor_mag[s] ** 2, 0
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            r = y[i] - modelled_row(index, value, p, i)
            w_sum += w
            moment += w * r
            square += w * r * r
            n += kept[i]
        mean[s] = moment / w_sum if w_sum > 0 else np.nan
        total[s], used[s] = w_sum, n
        chi2[s] = square - moment * moment / w_sum if w_sum > 0 else 0.0


@_jit
def residuals(rows, y, p, mean, out):  # type: ignore[no-untyped-def]
    """y - model - star, rejected rows included."""
    first, index, value, _, _ = rows
    for s in range(len(first) - 1):
        for i in range(first[s], first[s + 1]):
            out[i] = y[i] - modelled_row(index, value, p, i) - mean[s]


@_jit
def _mix(key):  # type: ignore[no-untyped-def]
    """Finaliser of splitmix64 (Steele, Lea & Flood 2014, OOPSLA): one flipped bit flips half of the answer's."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@_jit
def noise_right_sides(rows, anchor, y_bits, seed, out):  # type: ignore[no-untyped-def]
    """out (parameter, draw) += right side of pure noise: each row is off by one sigma, up or down.

    Signs come from the row's own content, so they follow it wherever it is stored; up to 64 draws.
    """
    first, index, value, weight, kept = rows
    n_draw, n_unit = out.shape[1], index.shape[1] - value.shape[1]
    mean = np.empty(n_draw)
    for s in range(len(first) - 1):
        mean[:] = 0.0
        total = anchor[s]
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            bits = row_signs(index, y_bits, i, seed)
            total += w
            for c in range(n_draw):
                mean[c] += np.sqrt(w) * (1.0 - 2.0 * ((bits >> np.uint64(c)) & np.uint64(1)))
        bits = row_signs(index, y_bits, first[s], seed + np.uint64(1))
        for c in range(n_draw):
            mean[c] += np.sqrt(anchor[s]) * (1.0 - 2.0 * ((bits >> np.uint64(c)) & np.uint64(1)))
            mean[c] = mean[c] / total if total > 0 else 0.0
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            bits = row_signs(index, y_bits, i, seed)
            for b in range(index.shape[1]):
                j = index[i, b]
                v = 1.0 if b < n_unit else np.float64(value[i, b - n_unit])
                for c in range(n_draw):
                    sign = 1.0 - 2.0 * ((bits >> np.uint64(c)) & np.uint64(1))
                    out[j, c] += v * (np.sqrt(w) * sign - w * mean[c])


@_jit
def row_signs(index, y_bits, i, seed):  # type: ignore[no-untyped-def]
    """Random bits of row i, the same wherever in the table the row stands."""
    key = np.uint64(y_bits[i]) ^ (seed * np.uint64(0x9E3779B97F4A7C15))
    for b in range(index.shape[1]):
        key = _mix(key + np.uint64(index[i, b]))
    return _mix(key)
