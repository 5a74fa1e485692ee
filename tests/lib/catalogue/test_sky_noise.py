"""Noise of aperture sums where the noise of neighbouring pixels is correlated."""

from dataclasses import replace

import numpy as np
import pytest

from ztf_in2p3.catalogue.apertures import aperture_photometry
from ztf_in2p3.catalogue.background import measure_background
from ztf_in2p3.catalogue.sky_noise import LAGS, measure_noise, overlaps, row_correlation

RADII = (1.5, 3.0, 6.0, 12.0)
SHAPE = (640, 600)
NOTHING = np.zeros(SHAPE, dtype=bool)


def undone_pocket(rng, share, forgets=0.0):
    """White noise of 1 ADU and, of the same size, that of pixels which each gave a share to the pixels behind them."""
    read = rng.normal(size=(SHAPE[0], SHAPE[1] + 20))
    kept = share * (1 - forgets) * forgets ** np.arange(20)
    kernel = np.concatenate([[1 + share], -kept])
    return rng.normal(size=SHAPE) + np.stack([np.convolve(row, kernel, "full")[20 : 20 + SHAPE[1]] for row in read])


def correlation_of(share, forgets):
    """Expected, lags 1 to LAGS."""
    kernel = np.zeros(60)
    kernel[0], kernel[1:21] = 1 + share, -share * (1 - forgets) * forgets ** np.arange(20)
    products = np.correlate(kernel, kernel, "full")[59:]
    return products[1 : LAGS + 1] / (products[0] + 1)


@pytest.mark.parametrize(("share", "forgets"), [(0.0, 0.0), (0.3, 0.0), (0.4, 0.5)])
def test_correlation_is_that_of_the_noise(share, forgets):
    data = undone_pocket(np.random.default_rng(1), share, forgets)
    rms = np.full(SHAPE, data.std(), np.float32)
    found = row_correlation(data, NOTHING, rms)
    # A correlation from n pairs errs by 1 / sqrt(n); cutting both at 3 sigma takes 3 % of it.
    expected = correlation_of(share, forgets)
    np.testing.assert_allclose(found, expected, atol=4 / np.sqrt(data.size) + 0.03 * np.abs(expected).max())


@pytest.mark.parametrize(("share", "forgets"), [(0.0, 0.0), (0.3, 0.0), (0.4, 0.5)])
def test_errors_are_the_scatter_of_sums_over_correlated_noise(share, forgets):
    rng = np.random.default_rng(2)
    data = undone_pocket(rng, share, forgets).astype(np.float32)
    x, y = (one.ravel() for one in np.meshgrid(np.arange(14.0, 586, 6), np.arange(14.0, 626, 6)))
    x, y = x + rng.uniform(-0.5, 0.5, x.size), y + rng.uniform(-0.5, 0.5, x.size)
    background = measure_background(data, NOTHING, box=10_000)
    sky = measure_noise(data - background.level, np.ones_like(data), background, NOTHING, box=10_000)
    found = aperture_photometry(data - background.level, np.ones_like(data), NOTHING, x, y, RADII, sky=sky)
    for k, radius in enumerate(RADII):
        # Sums over circles that overlap are not independent; as many are as fit side by side.
        n = min(len(x), data.size / (np.pi * radius**2))
        pull = found.flux[:, k] / found.error[:, k]
        # Of the correlations each is known to 1 / sqrt(pixels).
        known = 2 * np.sqrt(LAGS) / np.sqrt(data.size)
        assert pull.std() == pytest.approx(1, abs=4 * np.hypot(1 / np.sqrt(2 * n), known / 2))


def test_masked_pixels_and_stars_are_in_no_pair():
    data = np.random.default_rng(3).normal(size=SHAPE)
    ignored = np.random.default_rng(4).random(SHAPE) < 0.3
    clean = row_correlation(data, ignored, np.ones(SHAPE, np.float32))
    np.testing.assert_array_equal(row_correlation(np.where(ignored, 1.0, data), ignored, np.ones(SHAPE)), clean)
    hidden = row_correlation(np.where(ignored, np.nan, data), NOTHING, np.ones(SHAPE))
    np.testing.assert_array_equal(hidden, clean)


def test_without_pairs_pixels_count_as_independent():
    np.testing.assert_array_equal(row_correlation(np.ones((4, 1)), np.zeros((4, 1), bool), np.ones((4, 1))), 0)
    alone = np.ones((8, 40), bool)
    alone[:, ::10] = False
    np.testing.assert_array_equal(row_correlation(np.ones(alone.shape), alone, np.ones(alone.shape)), 0)
    np.testing.assert_array_equal(row_correlation(np.ones(alone.shape), alone | True, np.ones(alone.shape)), 0)


def test_overlaps_are_areas_of_lenses():
    """Two circles a lag apart share a lens; pixels blur their rims, which takes away up to a sixth of the perimeter."""
    radii = np.array([4.0, 8.0, 12.0])
    disc, rim = np.pi * radii**2, 2 * np.pi * radii / 6
    for lag in range(1, 4):
        lens = 2 * radii**2 * np.arccos(lag / 2 / radii) - lag / 2 * np.sqrt(4 * radii**2 - lag**2)
        found = overlaps(tuple(radii), 3)[:, lag - 1]
        assert (found < lens / (disc - rim)).all()
        assert (found > (lens - rim) / disc).all()


def test_a_circle_cut_by_the_border_has_the_noise_of_what_is_left():
    data = undone_pocket(np.random.default_rng(5), 0.4).astype(np.float32)
    background = measure_background(data, NOTHING, box=10_000)
    sky = measure_noise(data, np.ones_like(data), background, NOTHING, box=10_000)
    x, y = np.array([300.0, 300.0, 300.0]), np.array([299.5, -0.5, -9.0])
    error = aperture_photometry(data, np.ones_like(data), NOTHING, x, y, (6.0,), sky=replace(sky, level_error=0)).error
    assert error[1, 0] == pytest.approx(error[0, 0] / np.sqrt(2), rel=1e-6)
    assert error[2, 0] == 0
