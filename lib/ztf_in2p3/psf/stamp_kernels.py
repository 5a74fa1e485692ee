"""The PSF drawn on a whole stamp, compiled, in loops that a processor does several pixels at a time.

Names as in `ztf_in2p3.psf.kernels`.  A spline map is a product of an axis' splines with the other's, so its rows are
interpolated once for all pixels of a column; powers come of polynomials, since a library's function takes one number.
"""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.psf.kernels import (
    CORE2,
    NODE_WEIGHTS,
    NODES,
    moffat_norm,
    phase_factor,
    spline_slopes,
    spline_weights,
)

_jit = compiled(fastmath={"contract", "nsz", "arcp"})

_HALF_ROOT = np.float64(np.sqrt(0.5)).view(np.uint64)
_EXPONENT_BITS = np.uint64(52)
_BIG = 2.0**52
_BIG_BITS = np.float64(_BIG).view(np.uint64)
_ROUND = 1.5 * 2.0**52
_ROUND_BITS = np.float64(_ROUND).view(np.uint64)
_ONE_EXPONENT = np.uint64(1023)
_LOG = 2 / math.log(2) / np.arange(1, 19, 2)
"""Series of log2(m) in powers of f^2, times f = (m - 1) / (m + 1): to 1e-15 between sqrt(1/2) and sqrt(2)."""
_EXP = np.array([math.log(2) ** k / math.factorial(k) for k in range(13)])
"""Series of 2^r in powers of r: to 1e-15 between -1/2 and 1/2."""


@_jit
def inverse_power(s, beta):  # type: ignore[no-untyped-def]
    """s^-beta of a number from 1 to 1e150 and a positive power, to 1e-14; without a branch."""
    bits = np.float64(s).view(np.uint64)
    exponent = (bits - _HALF_ROOT) >> _EXPONENT_BITS
    mantissa = np.uint64(bits - (exponent << _EXPONENT_BITS)).view(np.float64)
    whole = np.uint64(exponent | _BIG_BITS).view(np.float64) - _BIG
    f = (mantissa - 1.0) / (mantissa + 1.0)
    g = f * f
    series = _LOG[8]
    for k in range(7, -1, -1):
        series = series * g + _LOG[k]
    y = min(beta * (whole + f * series), 1000.0)
    rounded = y + _ROUND
    n = np.float64(rounded).view(np.uint64) - _ROUND_BITS
    r = (rounded - _ROUND) - y
    value = _EXP[12]
    for k in range(11, -1, -1):
        value = value * r + _EXP[k]
    return value * np.uint64((_ONE_EXPONENT - n) << _EXPONENT_BITS).view(np.float64)


@_jit
def _core_and_wings(x, y, rows, columns, pixel, u, v):  # type: ignore[no-untyped-def]
    """Pixels (row * column,), those of the core first, how far they are from the source; how many are of the core."""
    n_core, n_pixel = 0, rows * columns
    end = n_pixel
    for r in range(rows):
        for c in range(columns):
            inside = (c - x) * (c - x) + (r - y) * (r - y) < CORE2
            end -= not inside
            place = n_core if inside else end
            n_core += inside
            pixel[place] = r * columns + c
            u[place] = c - x
            v[place] = r - y
    return n_core


@_jit
def moffat_stamp(moffat, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (row * column,): the mean over each pixel of the profile of a source at (x, y), as `moffat_pixel`."""
    n = rows * columns
    pixel, u, v, value = np.empty(n, np.int64), np.empty(n), np.empty(n), np.zeros(n)
    n_core = _core_and_wings(x, y, rows, columns, pixel, u, v)
    qxx, qxy, qyy, beta = moffat[0], moffat[1], moffat[2], moffat[3]
    for b in range(3):
        for a in range(3):
            node_x, node_y, node = NODES[a], NODES[b], NODE_WEIGHTS[a] * NODE_WEIGHTS[b]
            for k in range(n_core):
                at_x, at_y = u[k] + node_x, v[k] + node_y
                value[k] += node * inverse_power(
                    1 + qxx * at_x * at_x + 2 * qxy * at_x * at_y + qyy * at_y * at_y, beta
                )
    for k in range(n_core, n):
        s = 1 + qxx * u[k] * u[k] + 2 * qxy * u[k] * v[k] + qyy * v[k] * v[k]
        sx, sy = 2 * (qxx * u[k] + qxy * v[k]), 2 * (qxy * u[k] + qyy * v[k])
        per_s = 1 / s
        curved = beta * ((beta + 1) * (sx * sx + sy * sy) * per_s * per_s - 2 * (qxx + qyy) * per_s)
        value[k] = inverse_power(s, beta) * (1 + curved * (1 / 24))
    norm = moffat_norm(moffat)
    for k in range(n):
        out[pixel[k]] = norm * value[k]


@_jit
def moffat_stamp_slopes(moffat, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (3, row * column): the same, and its derivatives by x and y of the source, as `moffat_pixel_slopes`."""
    n = rows * columns
    pixel, u, v = np.empty(n, np.int64), np.empty(n), np.empty(n)
    value, by_x, by_y = np.zeros(n), np.zeros(n), np.zeros(n)
    n_core = _core_and_wings(x, y, rows, columns, pixel, u, v)
    qxx, qxy, qyy, beta = moffat[0], moffat[1], moffat[2], moffat[3]
    for b in range(3):
        for a in range(3):
            node_x, node_y, node = NODES[a], NODES[b], NODE_WEIGHTS[a] * NODE_WEIGHTS[b]
            for k in range(n_core):
                at_x, at_y = u[k] + node_x, v[k] + node_y
                s = 1 + qxx * at_x * at_x + 2 * qxy * at_x * at_y + qyy * at_y * at_y
                term = node * inverse_power(s, beta)
                slope = term * (1 / s)
                value[k] += term
                by_x[k] += slope * (qxx * at_x + qxy * at_y)
                by_y[k] += slope * (qxy * at_x + qyy * at_y)
    for k in range(n_core):
        by_x[k] *= 2 * beta
        by_y[k] *= 2 * beta
    for k in range(n_core, n):
        s = 1 + qxx * u[k] * u[k] + 2 * qxy * u[k] * v[k] + qyy * v[k] * v[k]
        sx, sy = 2 * (qxx * u[k] + qxy * v[k]), 2 * (qxy * u[k] + qyy * v[k])
        per_s = 1 / s
        grade, trace = (sx * sx + sy * sy) * per_s * per_s, 2 * (qxx + qyy) * per_s
        curved = beta * ((beta + 1) * grade - trace)
        bend = beta * (2 * (beta + 1) * grade - trace) * per_s
        mixed = 4 * beta * (beta + 1) * per_s * per_s
        point = inverse_power(s, beta)
        mean = point * (1 + curved * (1 / 24))
        along = beta * mean * per_s + point * bend * (1 / 24)
        across = point * mixed * (1 / 24)
        value[k] = mean
        by_x[k] = along * sx - across * (sx * qxx + sy * qxy)
        by_y[k] = along * sy - across * (sx * qxy + sy * qyy)
    norm = moffat_norm(moffat)
    for k in range(n):
        out[0, pixel[k]] = norm * value[k]
        out[1, pixel[k]] = norm * by_x[k]
        out[2, pixel[k]] = norm * by_y[k]


@_jit
def _axis_splines(start, step, pixels, n_map, first, weights, slopes):  # type: ignore[no-untyped-def]
    """Along an axis: the first of the four coefficients at each pixel, all within the map, their weights and slopes.

    Where a spline lies beyond the map its weight is moved to where it belongs, and is zero.
    """
    for p in range(pixels):
        g = start + p * step
        i = math.floor(g)
        first[p] = min(max(i - 1, 0), n_map - 4)
        for a in range(4):
            weights[p, a] = 0.0
            slopes[p, a] = 0.0
        if -2 < g < n_map + 1:
            weight, slope = spline_weights(g - i), spline_slopes(g - i)
            for a in range(4):
                place = i - 1 + a - first[p]
                if 0 <= i - 1 + a < n_map:
                    weights[p, place] = weight[a]
                    slopes[p, place] = slope[a]


@_jit
def add_map(residual, spacing, x, y, rows, columns, n_out, out):  # type: ignore[no-untyped-def]
    """Add a spline map around (x, y) to out (n_out, row * column); its derivatives by x, y too if n_out is 3."""
    n_map = residual.shape[0]
    if n_map < 4:
        small = np.zeros((5, 5))  # a map of one or three coefficients, with nothing around
        for j in range(n_map):
            for i in range(n_map):
                small[j + (5 - n_map) // 2, i + (5 - n_map) // 2] = residual[j, i]
        residual, n_map = small, 5
    middle = n_map // 2
    first_x, first_y = np.empty(columns, np.int64), np.empty(rows, np.int64)
    weight_x, slope_x = np.empty((columns, 4)), np.empty((columns, 4))
    weight_y, slope_y = np.empty((rows, 4)), np.empty((rows, 4))
    _axis_splines(middle - x / spacing, 1 / spacing, columns, n_map, first_x, weight_x, slope_x)
    _axis_splines(middle - y / spacing, 1 / spacing, rows, n_map, first_y, weight_y, slope_y)
    low, high = first_y[0], first_y[rows - 1] + 4
    along, sloped = np.empty((high - low, columns)), np.empty((high - low, columns))
    for j in range(high - low):
        for c in range(columns):
            value, slope = 0.0, 0.0
            for a in range(4):
                m = residual[low + j, first_x[c] + a]
                value += weight_x[c, a] * m
                slope += slope_x[c, a] * m
            along[j, c] = value
            sloped[j, c] = slope / spacing
    for r in range(rows):
        j = first_y[r] - low
        w0, w1, w2, w3 = weight_y[r, 0], weight_y[r, 1], weight_y[r, 2], weight_y[r, 3]
        for c in range(columns):
            out[0, r * columns + c] += (
                w0 * along[j, c] + w1 * along[j + 1, c] + w2 * along[j + 2, c] + w3 * along[j + 3, c]
            )
        if n_out == 3:
            s0, s1, s2, s3 = slope_y[r, 0], slope_y[r, 1], slope_y[r, 2], slope_y[r, 3]
            for c in range(columns):
                out[1, r * columns + c] -= (
                    w0 * sloped[j, c] + w1 * sloped[j + 1, c] + w2 * sloped[j + 2, c] + w3 * sloped[j + 3, c]
                )
                out[2, r * columns + c] -= (
                    s0 * along[j, c] + s1 * along[j + 1, c] + s2 * along[j + 2, c] + s3 * along[j + 3, c]
                ) / spacing


@_jit
def psf_image(moffat, residual, spacing, x, y, side, out):  # type: ignore[no-untyped-def]
    """out (pixel,): the PSF of a source at (x, y), its sum over pixels left as it is."""
    moffat_stamp(moffat, x, y, side, side, out)
    if residual.shape[0] > 1:
        add_map(residual, spacing, x, y, side, side, 1, out.reshape(1, -1))


@_jit
def draw_psf(moffat, residual, spacing, ripple, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (3, row * column): the PSF of a source at (x, y), and its derivatives by x and by y of the source."""
    moffat_stamp_slopes(moffat, x, y, rows, columns, out)
    add_map(residual, spacing, x, y, rows, columns, 3, out)
    total, total_x, total_y = phase_factor(ripple, x, y)
    for p in range(rows * columns):
        value = out[0, p] / total
        out[0, p] = value
        out[1, p] = (out[1, p] - value * total_x) / total
        out[2, p] = (out[2, p] - value * total_y) / total
