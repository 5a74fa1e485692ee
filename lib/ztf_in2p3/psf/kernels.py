"""The PSF drawn at points, compiled; one thread, float64.

Names shared by all: `moffat` (qxx, qxy, qyy, beta) of a profile (1 + qxx x^2 + 2 qxy x y + qyy y^2)^-beta of
unit integral (Moffat 1969, A&A 3, 455); `residual` (y, x) coefficients of the cubic B-spline added to it, odd in
number, `spacing` pixels apart, the middle one at the centre of the PSF.  The PSF is the effective one: its value
at the centre of a pixel is what the whole pixel receives; the profile is integrated over the pixel.  Of a profile
merely sampled the pixels' sum depends on where the star lies on them, and a map that undoes it must be fine.
"""

from __future__ import annotations

import math

import numpy as np

from ztf_in2p3.compiled import compiled

_jit = compiled(fastmath={"contract", "nsz", "arcp"})

NODES = np.polynomial.legendre.leggauss(3)[0] / 2
NODE_WEIGHTS = np.polynomial.legendre.leggauss(3)[1] / 2
"""Gauss-Legendre over a pixel: to 1e-4 of the peak of a star of 1.3 pixels FWHM, 1e-5 of one of 2 pixels."""
CORE2 = 19.0
"""Square of the radius, pixels, beyond which a profile's Laplacian (1/24 of it) gives its mean over a pixel, to 1e-5
of the star; no sum of two squares, lest pixels of a star on a pixel's centre lie on it."""


@_jit
def spline_weights(t):  # type: ignore[no-untyped-def]
    """Values of the four cubic B-splines around a point a fraction t beyond the second of them."""
    s = 1 - t
    return (s * s * s / 6, (3 * t * t * t - 6 * t * t + 4) / 6, (3 * s * s * s - 6 * s * s + 4) / 6, t * t * t / 6)


@_jit
def spline_slopes(t):  # type: ignore[no-untyped-def]
    """Derivatives of the four cubic B-splines that overlap at a fraction t of an interval."""
    s = 1 - t
    return -s * s / 2, (3 * t * t - 4 * t) / 2, (4 * s - 3 * s * s) / 2, t * t / 2


@_jit
def moffat_norm(moffat):  # type: ignore[no-untyped-def]
    """Factor that gives a Moffat profile of these parameters (4,) unit flux."""
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
                term = NODE_WEIGHTS[a] * NODE_WEIGHTS[b] * math.exp(-beta * math.log(s))
                slope = 2 * beta * term / s
                value += term
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
def phase_factor(ripple, x, y):  # type: ignore[no-untyped-def]
    """The sum over pixels of a PSF at (x, y), relative to its mean over phases, and its derivatives by x and y.

    `ripple` (4,): amplitudes of cos and sin of one cycle a pixel along x, then along y: what is left of a PSF's
    Fourier transform at the pixels' own frequency, where that of a whole pixel vanishes.
    """
    cos_x, sin_x = math.cos(2 * math.pi * x), math.sin(2 * math.pi * x)
    cos_y, sin_y = math.cos(2 * math.pi * y), math.sin(2 * math.pi * y)
    value = 1 + ripple[0] * cos_x + ripple[1] * sin_x + ripple[2] * cos_y + ripple[3] * sin_y
    by_x = 2 * math.pi * (ripple[1] * cos_x - ripple[0] * sin_x)
    by_y = 2 * math.pi * (ripple[3] * cos_y - ripple[2] * sin_y)
    return value, by_x, by_y


@_jit
def moffat_of_shape(local, moffat):  # type: ignore[no-untyped-def]
    """moffat (4,) of local (4,): log width^2, ellipticities e1, e2 (any real numbers), log(beta - 1)."""
    e = math.hypot(local[1], local[2])
    s = math.sinh(e) / e if e > 1e-9 else 1.0
    q = math.exp(-local[0])
    moffat[0] = q * (math.cosh(e) - s * local[1])
    moffat[1] = -q * s * local[2]
    moffat[2] = q * (math.cosh(e) + s * local[1])
    moffat[3] = 1 + math.exp(local[3])


@_jit
def add_spline(residual, gx, gy):  # type: ignore[no-untyped-def]
    """Value of the map at (gx, gy), in its own indices; 0 beyond."""
    n_map, value = residual.shape[0], 0.0
    if -2 < gx < n_map + 1 and -2 < gy < n_map + 1:
        i, j = math.floor(gx), math.floor(gy)
        wx, wy = spline_weights(gx - i), spline_weights(gy - j)
        for b in range(4):
            row = j - 1 + b
            if 0 <= row < n_map:
                for a in range(4):
                    column = i - 1 + a
                    if 0 <= column < n_map:
                        value += wy[b] * wx[a] * residual[row, column]
    return value


@_jit
def psf_image(moffat, residual, spacing, x, y, side, out):  # type: ignore[no-untyped-def]
    """out (side * side,): the PSF of a source at (x, y), nothing divided by its sum over pixels."""
    norm, middle = moffat_norm(moffat), residual.shape[0] // 2
    for r in range(side):
        for c in range(side):
            u, v = c - x, r - y
            value = moffat_pixel(moffat, norm, u, v)
            if residual.shape[0] > 1:
                value += add_spline(residual, u / spacing + middle, v / spacing + middle)
            out[r * side + c] = value


@_jit
def draw_psf(moffat, residual, spacing, ripple, x, y, rows, columns, out):  # type: ignore[no-untyped-def]
    """out (3, row * column): the PSF of a source at (x, y), and its derivatives by x and by y of the source."""
    total, total_x, total_y = phase_factor(ripple, x, y)
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
            value /= total
            out[0, r * columns + c] = value
            out[1, r * columns + c] = (du - value * total_x) / total
            out[2, r * columns + c] = (dv - value * total_y) / total
