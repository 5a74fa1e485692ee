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
def moffats_of_shapes(local, moffat):  # type: ignore[no-untyped-def]
    """moffat (n, 4) of local (n, 4), each as `moffat_of_shape`."""
    for k in range(len(local)):
        moffat_of_shape(local[k], moffat[k])
