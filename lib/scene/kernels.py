"""The PSF drawn at points, compiled; one thread, float64.

Names shared by all: `moffat` (qxx, qxy, qyy, beta) of a profile (1 + qxx x^2 + 2 qxy x y + qyy y^2)^-beta of
unit integral (Moffat 1969, A&A 3, 455); `residual` (y, x) coefficients of the cubic B-spline added to it, odd in
number, `spacing` pixels apart, the middle one at the centre of the PSF.  The PSF is the effective one: its value
at the centre of a pixel is what the whole pixel receives; the profile is integrated over the pixel.  Of a profile
merely sampled the pixels' sum depends on where the star lies on them, and a map that undoes it must be fine.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_jit = numba.njit(cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")

CELLS = 4
"""Cells of a galaxy table per pixel: aliases of a PSF of 2 pixels FWHM stay below 1e-5 of it."""
NODES = np.polynomial.legendre.leggauss(3)[0] / 2
NODE_WEIGHTS = np.polynomial.legendre.leggauss(3)[1] / 2
"""Gauss-Legendre over a pixel: to 1e-4 of the peak of a star of 1.3 pixels FWHM, 1e-5 of one of 2 pixels."""
CORE2 = 19.0
"""Square of the radius, pixels, beyond which a profile's Laplacian (1/24 of it) gives its mean over a pixel, to 1e-5
of the star; no sum of two squares, lest pixels of a star on a pixel's centre lie on it."""
BOOLE = np.array([7.0, 32.0, 12.0, 32.0, 7.0]) / 90
"""Boole's rule over a pixel from samples at its edges, its quarters and its centre: cheap."""
PEAK = 8
"""Cells around the centre where it would not do for stars of less than 2 pixels FWHM."""

LANES = 8
"""Single-precision numbers that a processor takes at a time."""
SPARE = LANES - 1
"""Pixels that `draw_nodes` writes beyond the last."""


@_jit
def spline_weights(t):  # type: ignore[no-untyped-def]
    """Of the four cubic B-splines around a point a fraction t beyond the second of them."""
    s = 1 - t
    return (s * s * s / 6, (3 * t * t * t - 6 * t * t + 4) / 6, (3 * s * s * s - 6 * s * s + 4) / 6, t * t * t / 6)


@_jit
def spline_slopes(t):  # type: ignore[no-untyped-def]
    s = 1 - t
    return -s * s / 2, (3 * t * t - 4 * t) / 2, (4 * s - 3 * s * s) / 2, t * t / 2


@_jit
def moffat_norm(moffat):  # type: ignore[no-untyped-def]
    return (moffat[3] - 1) / math.pi * math.sqrt(moffat[0] * moffat[2] - moffat[1] * moffat[1])


@_jit
def moffat_pixel(moffat, norm, u, v):  # type: ignore[no-untyped-def]
    """Mean of the profile over the pixel at (u, v) from its centre."""
    qxx, qxy, qyy, beta = moffat[0], moffat[1], moffat[2], moffat[3]
    if u * u + v * v < CORE2:
        value = 0.0
        for b in range(3):
            y = v + NODES[b]
            for a in range(3):
                x = u + NODES[a]
                s = 1 + qxx * x * x + 2 * qxy * x * y + qyy * y * y
                value += NODE_WEIGHTS[a] * NODE_WEIGHTS[b] * math.exp(-beta * math.log(s))
        return norm * value
    s = 1 + qxx * u * u + 2 * qxy * u * v + qyy * v * v
    sx, sy = 2 * (qxx * u + qxy * v), 2 * (qxy * u + qyy * v)
    curved = beta * ((beta + 1) * (sx * sx + sy * sy) / (s * s) - 2 * (qxx + qyy) / s)
    return norm * math.exp(-beta * math.log(s)) * (1 + curved / 24)


@_jit
def moffat_pixel_slopes(moffat, norm, u, v):  # type: ignore[no-untyped-def]
    """The same, and its derivatives by -u and by -v."""
    qxx, qxy, qyy, beta = moffat[0], moffat[1], moffat[2], moffat[3]
    if u * u + v * v < CORE2:
        value, by_x, by_y = 0.0, 0.0, 0.0
        for b in range(3):
            y = v + NODES[b]
            for a in range(3):
                x = u + NODES[a]
                s = 1 + qxx * x * x + 2 * qxy * x * y + qyy * y * y
                one = NODE_WEIGHTS[a] * NODE_WEIGHTS[b] * math.exp(-beta * math.log(s))
                slope = 2 * beta * one / s
                value += one
                by_x += slope * (qxx * x + qxy * y)
                by_y += slope * (qxy * x + qyy * y)
        return norm * value, norm * by_x, norm * by_y
    s = 1 + qxx * u * u + 2 * qxy * u * v + qyy * v * v
    sx, sy = 2 * (qxx * u + qxy * v), 2 * (qxy * u + qyy * v)
    grade, trace = (sx * sx + sy * sy) / (s * s), 2 * (qxx + qyy) / s
    curved = beta * ((beta + 1) * grade - trace)
    bend = beta * (2 * (beta + 1) * grade - trace) / s
    mixed = 4 * beta * (beta + 1) / (s * s)
    point = norm * math.exp(-beta * math.log(s))
    value = point * (1 + curved / 24)
    by_x = beta * value * sx / s + point * (bend * sx - mixed * (sx * qxx + sy * qxy)) / 24
    by_y = beta * value * sy / s + point * (bend * sy - mixed * (sx * qxy + sy * qyy)) / 24
    return value, by_x, by_y


@_jit
def profile(moffat, x, y):  # type: ignore[no-untyped-def]
    """The profile, integrated over pixels, at points (y, x) from its centre."""
    norm = moffat_norm(moffat)
    out = np.empty((len(y), len(x)))
    for b in range(len(y)):
        for a in range(len(x)):
            out[b, a] = moffat_pixel(moffat, norm, x[a], y[b])
    return out


@_jit
def draw_psf(moffat, residual, spacing, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (3, row * column): the PSF of a source at (x, y), and its derivatives by x and by y of the source."""
    norm = moffat_norm(moffat)
    n_map = residual.shape[0]
    middle = n_map // 2
    for r in range(rows):
        v = r - y
        for c in range(columns):
            u = c - x
            value, du, dv = moffat_pixel_slopes(moffat, norm, u, v)
            gx, gy = u / spacing + middle, v / spacing + middle
            if -2 < gx < n_map + 1 and -2 < gy < n_map + 1:
                i, j = math.floor(gx), math.floor(gy)
                wx, wy = spline_weights(gx - i), spline_weights(gy - j)
                sx, sy = spline_slopes(gx - i), spline_slopes(gy - j)
                for b in range(4):
                    row = j - 1 + b
                    if 0 <= row < n_map:
                        for a in range(4):
                            column = i - 1 + a
                            if 0 <= column < n_map:
                                m = residual[row, column]
                                value += wy[b] * wx[a] * m
                                du -= wy[b] * sx[a] * m / spacing
                                dv -= sy[b] * wx[a] * m / spacing
            out[0, r * columns + c] = value
            out[1, r * columns + c] = du
            out[2, r * columns + c] = dv


@_jit
def _sample(moffat, residual, spacing, half):  # type: ignore[no-untyped-def]
    """The PSF on a grid of 1 / CELLS pixel, `half` pixels to either side."""
    n, centre = 2 * half * CELLS, half * CELLS
    point, grid = np.empty((n, n)), np.zeros((n, n))
    norm, h = moffat_norm(moffat), 1.0 / CELLS
    beta = moffat[3]
    for b in range(centre + 1):
        v = (b - centre) * h
        for a in range(n):
            u = (a - centre) * h
            s = 1 + moffat[0] * u * u + 2 * moffat[1] * u * v + moffat[2] * v * v
            value = norm * math.exp(-beta * math.log(s))
            point[b, a] = value
            if b > 0 and a > 0:  # the Moffat is symmetric about its centre
                point[2 * centre - b, 2 * centre - a] = value
    for b in range(centre + 1, n):  # the first column has no mirror image on the grid
        v, u = (b - centre) * h, -half * 1.0
        s = 1 + moffat[0] * u * u + 2 * moffat[1] * u * v + moffat[2] * v * v
        point[b, 0] = norm * math.exp(-beta * math.log(s))
    rim = len(BOOLE) // 2  # the outermost half pixel, which nobody asks for, fades
    down = np.empty(n)
    for b in range(rim, n - rim):
        down[:] = 0.0
        for k in range(len(BOOLE)):
            w, source = BOOLE[k], point[b - rim + k]
            for a in range(n):
                down[a] += w * source[a]
        target = grid[b]
        for k in range(len(BOOLE)):
            w, source = BOOLE[k], down[k : n - 2 * rim + k]
            for a in range(n - 2 * rim):
                target[rim + a] += w * source[a]
    peak = min(PEAK, centre)
    for b in range(centre - peak, centre + peak + 1):
        for a in range(centre - peak, centre + peak + 1):
            grid[b, a] = moffat_pixel(moffat, norm, (a - centre) * h, (b - centre) * h)

    n_map = residual.shape[0]
    reach = min(math.ceil((n_map // 2 + 2) * spacing / h), centre - 1)
    along = np.zeros((n_map, 2 * reach + 1))  # residual, interpolated along x
    for k in range(2 * reach + 1):
        g = (k - reach) * h / spacing + n_map // 2
        i = math.floor(g)
        w = spline_weights(g - i)
        for a in range(4):
            if 0 <= i - 1 + a < n_map:
                for row in range(n_map):
                    along[row, k] += w[a] * residual[row, i - 1 + a]
    for k in range(2 * reach + 1):
        g = (k - reach) * h / spacing + n_map // 2
        i = math.floor(g)
        w = spline_weights(g - i)
        for b in range(4):
            if 0 <= i - 1 + b < n_map:
                for a in range(2 * reach + 1):
                    grid[centre - reach + k, centre - reach + a] += w[b] * along[i - 1 + b, a]
    return grid


@_jit
def galaxy_table(moffat, residual, spacing, spread, taps, half):  # type: ignore[no-untyped-def]
    """(phase y, phase x, y, x) B-spline coefficients, 1 / CELLS pixel apart, of the PSF convolved with a galaxy node.

    A node is a cubic B-spline of unit integral; `taps` writes it in cubic B-splines of 1 / CELLS pixel, so that
    convolving the samples of the PSF with them gives the coefficients: exact but for aliases at CELLS cycles per
    pixel.  `spread` (xx, xy, yy) is what the node's covariance lacks in this exposure, where the sky's grid
    appears turned and stretched; a second derivative puts it in.  Phases apart, so that the pixels of a row,
    CELLS cells from one another, lie side by side.
    """
    grid = _sample(moffat, residual, spacing, half)
    n, reach = grid.shape[0], len(taps) // 2
    xx, xy, yy = spread
    if abs(xx) + abs(xy) + abs(yy) > 1e-9:
        before, c2 = grid.copy(), float(CELLS * CELLS)
        for b in range(1, n - 1):
            for a in range(1, n - 1):
                middle = before[b, a]
                across = before[b, a + 1] + before[b, a - 1] - 2 * middle
                down = before[b + 1, a] + before[b - 1, a] - 2 * middle
                corner = before[b + 1, a + 1] + before[b - 1, a - 1] - before[b + 1, a - 1] - before[b - 1, a + 1]
                grid[b, a] += 0.5 * c2 * (xx * across + yy * down + 0.5 * xy * corner)
    rows = np.zeros((n, n))
    for b in range(n):
        for k in range(-reach, reach + 1):
            if 0 <= b + k < n:
                w, source, target = taps[reach + k], grid[b + k], rows[b]
                for a in range(n):
                    target[a] += w * source[a]
    side = n // CELLS
    table = np.zeros((CELLS, CELLS, side, side), np.float32)
    line = np.empty(n)
    for b in range(n):
        line[:] = 0.0
        for k in range(-reach, reach + 1):
            w, low, high = taps[reach + k], max(0, -k), min(n, n - k)
            source, target = rows[b, low + k : high + k], line[low:high]
            for a in range(len(target)):
                target[a] += w * source[a]
        for phase in range(CELLS):
            target = table[b % CELLS, phase, b // CELLS]
            for i in range(side):
                target[i] = line[CELLS * i + phase]
    return table


@_jit
def draw_nodes(table, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (node * row * column + SPARE,): the image of each galaxy node at (x, y), pixels of the stamp.

    Unsigned indices, which cannot count from the end, and rows of whole lanes: the compiler then draws all pixels eight
    at a time.  What comes beyond a row's end the next row overwrites; tables reach a row further than stamps.
    """
    flat = table.reshape(-1)
    side, half = table.shape[2], table.shape[2] // 2
    n_row, n_column, stride = np.uint64(rows), np.uint64(columns), np.uint64(side)
    n_lane = np.uint64((columns + LANES - 1) // LANES * LANES)
    first_row, first_column = np.empty(4, np.uint64), np.empty(4, np.uint64)
    for j in range(len(x)):
        gx, gy = (half - x[j]) * CELLS, (half - y[j]) * CELLS
        nx, ny = math.floor(gx), math.floor(gy)
        wx, wy = spline_weights(gx - nx), spline_weights(gy - ny)
        for k in range(4):
            cell_x, cell_y = nx - 1 + k, ny - 1 + k
            first_column[k] = np.uint64((cell_x % CELLS) * side * side + cell_x // CELLS)
            first_row[k] = np.uint64((cell_y % CELLS) * CELLS * side * side + (cell_y // CELLS) * side)
        u0, u1, u2, u3 = np.float32(wx[0]), np.float32(wx[1]), np.float32(wx[2]), np.float32(wx[3])
        v0, v1, v2, v3 = np.float32(wy[0]), np.float32(wy[1]), np.float32(wy[2]), np.float32(wy[3])
        c0, c1, c2, c3 = first_column[0], first_column[1], first_column[2], first_column[3]
        for r in range(n_row):
            to, s = np.uint64(j * rows * columns) + np.uint64(r) * n_column, np.uint64(r) * stride
            r0, r1, r2, r3 = first_row[0] + s, first_row[1] + s, first_row[2] + s, first_row[3] + s
            for c in range(n_lane):
                p0, p1, p2, p3 = c0 + c, c1 + c, c2 + c, c3 + c
                a = u0 * flat[r0 + p0] + u1 * flat[r0 + p1] + u2 * flat[r0 + p2] + u3 * flat[r0 + p3]
                b = u0 * flat[r1 + p0] + u1 * flat[r1 + p1] + u2 * flat[r1 + p2] + u3 * flat[r1 + p3]
                d = u0 * flat[r2 + p0] + u1 * flat[r2 + p1] + u2 * flat[r2 + p2] + u3 * flat[r2 + p3]
                e = u0 * flat[r3 + p0] + u1 * flat[r3 + p1] + u2 * flat[r3 + p2] + u3 * flat[r3 + p3]
                out[to + c] = v0 * a + v1 * b + v2 * d + v3 * e
