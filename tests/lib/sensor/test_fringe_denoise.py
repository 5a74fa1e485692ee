"""A pattern loses its noise, not its waves."""

import numpy as np
import pytest

from tests.lib.sensor.fringed import in_cells
from ztf_in2p3.sensor.fringe_denoise import denoised
from ztf_in2p3.simulate.fringe import patterns

SHAPE = (1024, 960)
SPREAD = 0.1


def noisy_pattern():
    """A pattern in cells; as it is known; the variance of each cell: one in eight is hardly known."""
    draw = np.random.default_rng(3)
    true = in_cells(patterns(1, 20, SHAPE)[0])
    variance = np.where(draw.random(true.shape) < 1 / 8, 10.0, SPREAD**2)
    return true, true + np.sqrt(variance) * draw.standard_normal(true.shape), variance


def test_a_pattern_loses_half_of_its_noise_and_says_what_is_left():
    true, known, variance = noisy_pattern()
    found, noise = denoised(known, variance)
    error = found - true
    # Where the thickness changes fast the pattern has many waves in a window, and as much of the noise stays.
    assert error.std() < 0.5 * SPREAD
    # Errors of neighbours are alike over some ten cells: of 15000 cells a thousand tell the scatter, to 2 %.
    assert noise == pytest.approx(error.std(), rel=4 * 0.02)
    assert error[variance > 1].std() < 1.5 * error[variance < 1].std()  # hardly known, and nearly as good


def test_where_nothing_is_known_the_pattern_is_that_of_its_neighbours():
    true, known, variance = noisy_pattern()
    known[40:44, 40:44], variance[40:44, 40:44] = 0, 10
    found, _ = denoised(known, variance)
    hole = np.s_[40:44, 40:44]
    assert np.square((found - true)[hole]).mean() < 0.3 * np.square(true[hole]).mean()


def test_noise_alone_nearly_vanishes():
    noise = np.random.default_rng(4).normal(0, SPREAD, (60, 55))
    found, left = denoised(noise, np.full(noise.shape, SPREAD**2))
    assert found.std() < 0.1 * SPREAD
    assert left < 0.1 * SPREAD


def test_an_exact_pattern_stays():
    true = in_cells(patterns(1, 20, SHAPE)[0])
    found, noise = denoised(true, np.full(true.shape, 1e-12))
    np.testing.assert_allclose(found, true, atol=1e-5)
    assert noise < 1e-6
