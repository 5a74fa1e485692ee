"""The noise of the sky and the full well, as an image's pixels show them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.scene.pixel_levels import saturation_level, sky_variance


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 100), noise=st.floats(2, 20))
def test_the_noise_is_that_of_the_sky_between_the_stars(seed, noise):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:200, :240]
    data = 300 + 0.05 * columns + rng.normal(0, noise, (200, 240))
    for x, y, flux in zip(*rng.uniform(0, 200, (2, 40)), 10 ** rng.uniform(3, 5.5, 40), strict=True):
        data += flux / (2 * np.pi * 1.2**2) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.2**2))
    bad = np.zeros(data.shape, bool)
    bad[50:60, 60:80] = True
    data[bad] = np.nan
    # Relative error of a variance from m differences, one in two shared: 1.17 x 2 x sqrt(1.5) / sqrt(m); five of those.
    found = sky_variance(data.astype(np.float32), bad)
    assert abs(found / noise**2 - 1) < 5 * 2.9 / np.sqrt(data.size / 3)
    assert sky_variance(data[:20, :20].astype(np.float32), bad[:20, :20]) is None


@pytest.mark.parametrize("noise", [0.8, 1.2, 2.5, 30.0])
@pytest.mark.parametrize("count", [1.0, 0.25])
def test_the_sky_s_variance_is_right_on_whole_counts(noise, count):
    """Noise of few counts, where a median of absolute differences is one of few numbers."""
    rng = np.random.default_rng(6)
    sky = np.rint(rng.normal(100.3, noise, (300, 300))) * count
    sky[20:30, 40:50] += 500 * count  # a source
    # Rounding adds 1/12; 45,000 pairs of dark pixels tell the variance to 1 %: four of those.
    true = (noise**2 + 1 / 12) * count**2
    assert sky_variance(sky.astype(np.float32), np.zeros(sky.shape, bool)) == pytest.approx(true, rel=0.04)


def test_full_well_is_the_header_s_or_that_of_a_plateau():
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:100, :100]
    star = 50000 * np.exp(-0.5 * ((x - 50.2) ** 2 + (y - 49.7) ** 2) / 2.0**2)
    data, bad = 300 + star + rng.normal(0, 8, star.shape), np.zeros(star.shape, bool)
    assert saturation_level(data, bad, None) == np.inf
    assert saturation_level(data, bad, 58000.0) == 58000.0
    # Half a per cent below the clipped level, so that the pixels at it are beyond.
    assert 0.98 * 30000 < saturation_level(np.minimum(data, 30000), bad, None) <= 30000


def test_strips_of_a_large_image_tell_its_variance():
    """With a gradient of the noise over the image, and rows without data."""
    rng = np.random.default_rng(8)
    noise = np.linspace(8, 10, 1800)[:, None]
    data = (200 + noise * rng.standard_normal((1800, 500))).astype(np.float32)
    bad = np.zeros(data.shape, bool)
    data[700:760], bad[700:760] = np.nan, True
    # Half of 384,000 pixels: 2.9 / sqrt(n / 2), as above; the median deviation of a mixture of noises is 0.3 % low.
    mean = float(np.mean(noise**2))
    assert sky_variance(data, bad) == pytest.approx(mean, rel=0.003 + 3 * 2.9 / np.sqrt(192_000))
    assert sky_variance(data, np.ones(data.shape, bool)) is None
