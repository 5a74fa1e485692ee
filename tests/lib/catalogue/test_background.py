"""The sky's level and noise, from images whose sky is known."""

import numpy as np
import pytest

from tests.lib.catalogue.skies import GAIN, READ_NOISE, SKY, expose, stars_without_sky
from ztf_in2p3.catalogue.background import mask_sources, measure_background
from ztf_in2p3.errors import BadData

SHAPE = (520, 500)
NOISE = np.sqrt(SKY / GAIN + (READ_NOISE / GAIN) ** 2)
NOTHING = np.zeros(SHAPE, dtype=bool)


def sky(rng, slope=0.0):
    truth = SKY + slope * (np.arange(SHAPE[1]) / SHAPE[1] - 0.5) + np.zeros(SHAPE)
    return truth, expose(truth, rng).data


def test_a_flat_sky_is_found_without_bias_and_with_its_noise():
    _, data = sky(np.random.default_rng(1))
    found = measure_background(data, NOTHING, box=128)
    # A mean over all pixels, 4 sigma; clipping the skew noise symmetrically costs 0.0012 sigma (Edgeworth).
    assert found.level.mean() == pytest.approx(SKY, abs=4 * NOISE / np.sqrt(data.size) + 0.0012 * NOISE)
    assert found.rms.plane().mean() == pytest.approx(NOISE, rel=4 / np.sqrt(2 * data.size))


def test_the_error_of_the_level_is_how_far_it_is_from_the_truth():
    """Many skies of 12 x 11 cells: medians of 9 cells and splines through them, also beyond the outermost centres."""
    rng, n_sky, shape = np.random.default_rng(6), 20, (384, 352)
    found = [measure_background(rng.normal(0, NOISE, shape), np.zeros(shape, bool), box=32) for _ in range(n_sky)]
    scatter = np.sqrt(np.mean([one.level.astype(float) ** 2 for one in found]))
    # Medians of 9 of 132 cells share most of them: 15 independent ones a sky.  Between the centres and beyond the
    # outermost the error differs from that at a centre: 10 % are granted for that.
    assert np.mean([one.level_error for one in found]) == pytest.approx(scatter, rel=4 / np.sqrt(2 * n_sky * 15) + 0.1)


def test_a_slope_is_followed_to_the_borders():
    truth, data = sky(np.random.default_rng(2), slope=20)
    level = measure_background(data, NOTHING, box=64).level
    # Columns average 8 cells of 0.08 ADU; extrapolating half a cell adds to it.  20 ADU in 8 cells would be 1.2 off
    # at the border if the median there were one-sided.
    np.testing.assert_allclose(level.mean(axis=0), truth[0], atol=0.2)


def test_what_is_ignored_or_not_finite_has_no_say():
    _, data = sky(np.random.default_rng(3))
    ignored = NOTHING.copy()
    ignored[:300, 200:400] = True  # more than a whole cell
    spoilt = np.where(ignored, 1e6, data).astype(np.float32)
    spoilt[400:420] = np.nan
    found = measure_background(spoilt, ignored, box=128)
    assert np.abs(found.level - SKY).max() < 0.5  # cells of 128 x 128 know the level to 0.04
    np.testing.assert_allclose(found.rms.plane(), NOISE, rtol=0.05)


def test_byte_order_and_a_box_larger_than_the_image_make_no_difference():
    _, data = sky(np.random.default_rng(4))
    native = measure_background(data, NOTHING, box=10_000)
    swapped = measure_background(data.astype(">f4"), NOTHING, box=10_000)
    np.testing.assert_array_equal(native.level, swapped.level)
    assert np.ptp(native.level) == 0


def test_masking_the_stars_takes_their_light_out_of_the_sky():
    rng = np.random.default_rng(5)
    n = 220  # as many a pixel as in a field at galactic latitude -15 degrees
    x, y = rng.uniform(0, SHAPE[1], n), rng.uniform(0, SHAPE[0], n)
    flux = 10 ** rng.uniform(1.5, 4.5, n)
    data = expose(SKY + stars_without_sky(SHAPE, x, y, flux), rng).data
    masked = mask_sources(SHAPE, x, y, flux, NOISE)

    plain = measure_background(data, NOTHING, box=128).level.mean() - SKY
    clean = measure_background(data, masked, box=128).level.mean() - SKY

    # Left outside the masks is a known part of the wings; the rest is the error of a mean.
    wings = stars_without_sky(SHAPE, x, y, flux)[~masked].mean()
    assert clean == pytest.approx(wings, abs=4 * NOISE / np.sqrt((~masked).sum()) + 0.0012 * NOISE)
    assert wings < 0.1
    assert plain > 3 * clean


def test_discs_cover_their_stars_and_no_more():
    masked = mask_sources((50, 60), np.array([20.0, -3.0, 500.0]), np.array([30.0, 4.0, 4.0]), np.array([0, 0, 9]), 5.0)
    row, column = np.mgrid[:50, :60]
    slow = ((column - 20) ** 2 + (row - 30) ** 2 < 36) | ((column + 3) ** 2 + (row - 4) ** 2 < 36)
    np.testing.assert_array_equal(masked, slow)


@pytest.mark.parametrize(
    ("data", "ignored", "says"),
    [
        (np.ones((40, 40)), np.ones((40, 40), dtype=bool), "none of the 1600 pixels is usable"),
        (np.full((40, 40), np.nan), np.zeros((40, 40), dtype=bool), "none of the 1600 pixels is usable"),
        (np.full((40, 40), 7.0), np.zeros((40, 40), dtype=bool), "no noise"),
    ],
)
def test_an_image_without_sky_is_bad_data(data, ignored, says):
    with pytest.raises(BadData, match=says):
        measure_background(data, ignored, box=16)
