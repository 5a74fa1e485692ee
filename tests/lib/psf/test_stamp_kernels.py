"""PSFs drawn on whole stamps are those of the formulas, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from ztf_in2p3.psf.kernels import CORE2, NODE_WEIGHTS, NODES
from ztf_in2p3.psf.stamp_kernels import draw_psf, inverse_power, psf_image

SPLINE = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)


def power(q, x, y):
    return (1 + q[0] * x**2 + 2 * q[1] * x * y + q[2] * y**2) ** -q[3]


def profile(q, x, y):
    """Mean over a pixel: nine nodes where the profile is curved, else half a pixel's Laplacian."""
    norm = (q[3] - 1) / np.pi * np.sqrt(q[0] * q[2] - q[1] ** 2)
    if x * x + y * y < CORE2:
        nodes = [
            (a, b, v, w)
            for a, v in zip(NODES, NODE_WEIGHTS, strict=True)
            for b, w in zip(NODES, NODE_WEIGHTS, strict=True)
        ]
        return norm * sum(v * w * power(q, x + a, y + b) for a, b, v, w in nodes)
    s, beta = power(q, x, y) ** (-1 / q[3]), q[3]
    sx, sy = 2 * (q[0] * x + q[1] * y), 2 * (q[1] * x + q[2] * y)
    laplacian = beta * ((beta + 1) * (sx**2 + sy**2) / s**2 - 2 * (q[0] + q[2]) / s)
    return norm * s**-beta * (1 + laplacian / 24)


def residual(coefficients, x, y):
    n = len(coefficients)
    by_x, by_y = (np.nan_to_num(SPLINE(at - (np.arange(n) - n // 2))) for at in (x, y))
    return by_y @ coefficients @ by_x


def image(q, coefficients, spacing, x, y, side):
    return np.array(
        [
            [
                profile(q, c - x, r - y) + residual(coefficients, (c - x) / spacing, (r - y) / spacing)
                for c in range(side)
            ]
            for r in range(side)
        ]
    )


@settings(max_examples=25, deadline=None)
@given(
    fwhm=st.floats(0.9, 6),
    beta=st.floats(1.2, 9),
    stretch=st.floats(-0.3, 0.3),
    turn=st.floats(-0.2, 0.2),
    n=st.sampled_from([1, 3, 5, 31]),
    spacing=st.floats(0.3, 1.4),
    at=st.tuples(st.floats(2, 9), st.floats(2, 9)),
    seed=st.integers(0, 99),
)
def test_a_stamp_holds_profile_and_map(fwhm, beta, stretch, turn, n, spacing, at, seed):
    scale = 4 * (2 ** (1 / beta) - 1) / fwhm**2
    q = scale * np.array([1 + stretch, turn, 1 - stretch, beta / scale])
    coefficients = np.random.default_rng(seed).normal(0, 1e-3, (n, n))
    side, nothing = 11, np.zeros(4)
    expected = image(q, coefficients, spacing, *at, side)
    drawn, out = np.empty((3, side * side)), np.empty(side * side)
    draw_psf(q, coefficients, spacing, nothing, *at, side, side, drawn)
    np.testing.assert_allclose(drawn[0].reshape(side, side), expected, atol=1e-13)
    psf_image(q, coefficients if n > 1 else np.zeros((1, 1)), spacing, *at, side, out)
    np.testing.assert_allclose(
        out.reshape(side, side), expected if n > 1 else image(q, np.zeros((1, 1)), 1.0, *at, side), atol=1e-13
    )


@pytest.mark.parametrize("ripple", [np.zeros(4), np.array([0.01, -0.02, 0.005, 0.01])])
def test_slopes_are_differences_and_the_ripple_is_divided_out(ripple):
    rng, side, h = np.random.default_rng(5), 15, 1e-4
    q, coefficients = np.array([0.4, 0.03, 0.5, 2.7]), rng.normal(0, 1e-3, (21, 21))

    def drawn(x, y):
        out = np.empty((3, side * side))
        draw_psf(q, coefficients, 0.6, ripple, x, y, side, side, out)
        return out

    at = drawn(7.2, 6.9)
    # No pixel crosses the border of the core within a step.  A central difference errs by h^2 / 6 times a third
    # derivative, which is below 10 for these widths.
    np.testing.assert_allclose(at[1], (drawn(7.2 + h, 6.9)[0] - drawn(7.2 - h, 6.9)[0]) / (2 * h), atol=2e-8)
    np.testing.assert_allclose(at[2], (drawn(7.2, 6.9 + h)[0] - drawn(7.2, 6.9 - h)[0]) / (2 * h), atol=2e-8)
    x, y = 2 * np.pi * 7.2, 2 * np.pi * 6.9
    total = 1 + ripple @ [np.cos(x), np.sin(x), np.cos(y), np.sin(y)]
    plain = np.empty((3, side * side))
    draw_psf(q, coefficients, 0.6, np.zeros(4), 7.2, 6.9, side, side, plain)
    np.testing.assert_allclose(at[0] * total, plain[0], rtol=1e-13)


@given(base=st.floats(1, 1e9), exponent=st.floats(0.01, 30))
def test_the_power_is_that_of_a_library(base, exponent):
    assert inverse_power(base, exponent) == pytest.approx(base**-exponent, rel=1e-12)
