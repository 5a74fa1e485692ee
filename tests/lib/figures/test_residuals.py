"""Residuals of simulated stars have the mean and the spread that were put into them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.figures.synthetic import NO_STARS, catalogue, true_stars
from ztf_in2p3.camera import TINY
from ztf_in2p3.figures.residuals import (
    LEAST_STARS,
    MMAG,
    RESIDUALS,
    bright_and_faint,
    residual_map,
    residuals,
    running,
    scatter,
)
from ztf_in2p3.image import MaskBit
from ztf_in2p3.tables import schema_of

EMPTY = schema_of(RESIDUALS).empty_table()
STARS = true_stars(4000)


def measured(**columns: object) -> pa.Table:
    return residuals(catalogue(STARS, **columns), STARS, radius=6.0)


def test_an_unbiased_catalogue_has_unit_pulls():
    table = measured()
    assert table.num_rows == 4000
    for part in bright_and_faint(table):
        found = scatter(part)
        # A mean of n pulls is known to 1/sqrt(n), their standard deviation to 1/sqrt(2n): four of those.
        assert abs(found.pull_mean) < 4 / np.sqrt(found.n)
        assert abs(found.pull_std - 1) < 4 / np.sqrt(2 * found.n)
        assert abs(found.bias_mmag) < 4 * found.bias_error_mmag
        assert found.n_outlier == 0


def test_light_lost_shows_as_bias_of_the_bright_stars():
    lost = residuals(catalogue(STARS, fractions=(0.9, 0.99, 1.0)), STARS, radius=6.0)
    bright = scatter(bright_and_faint(lost)[0])
    # A percent is 0.01 x 1085.7 mmag; pulls beyond 5, the brightest stars', are left out of the mean.
    assert bright.n_outlier > 0
    assert abs(bright.bias_mmag + 0.01 * MMAG) < 4 * bright.bias_error_mmag + 1.5


def test_the_nearest_aperture_is_compared():
    wide = residuals(catalogue(STARS, fractions=(0.5, 0.5, 1.0)), STARS, radius=9.0)
    assert scatter(wide).pull_std < 1.1


def test_errors_too_small_widen_the_pulls():
    table = catalogue(STARS)
    k = table.schema.get_field_index("f_1_e")
    small = table.set_column(k, table.schema.field(k), pa.array(table["f_1_e"].to_numpy() / 1.5))
    found = scatter(residuals(small, STARS, radius=6.0))
    # Of a Gaussian 1.5 wide the part within 5 has a standard deviation of 1.48.
    assert found.pull_std == pytest.approx(1.48, abs=4 * 1.5 / np.sqrt(2 * found.n))


def test_only_clean_isolated_stars_are_compared():
    n = STARS.num_rows
    index = np.arange(n)
    assert measured(isolated=index < 1000).num_rows == 1000
    assert measured(flags=np.where(index < 1000, MaskBit.SATURATED, MaskBit.SOURCE)).num_rows == 3000
    assert measured(f_1_f=np.where(index < 1000, 32, 0)).num_rows == 3000
    assert measured(f_1=np.where(index < 1000, np.nan, 10.0)).num_rows == 3000
    saturated = STARS.set_column(STARS.schema.get_field_index("saturated"), "saturated", pa.array(index < 1000))
    assert residuals(catalogue(STARS), saturated, radius=6.0).num_rows == 3000


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_stars_does_not_matter(seed):
    some, table = STARS.slice(0, 50), catalogue(STARS.slice(0, 50))
    shuffle = np.random.default_rng(seed).permutation(50)
    one = residuals(table, some, radius=6.0).sort_by("star_id")
    assert residuals(table.take(shuffle), some.take(shuffle[::-1]), radius=6.0).sort_by("star_id").equals(one)


def test_a_star_is_matched_on_its_own_quadrant():
    elsewhere = STARS.set_column(
        STARS.schema.get_field_index("qid"), STARS.schema.field("qid"),
        pa.array(STARS["qid"].to_numpy() % 4 + 1).cast(pa.int8()),
    )  # fmt: skip
    assert residuals(catalogue(STARS), elsewhere, radius=6.0).num_rows == 0


def test_medians_follow_a_slope_with_magnitude():
    table = measured()
    slope = 2.0 * (table["magnitude"].to_numpy() - 16)
    k = table.schema.get_field_index("residual")
    bent = table.set_column(k, table.schema.field(k), pa.array(table["residual"].to_numpy() + slope))
    bins = running(bent)
    assert len(bins.n) == 12  # of half a magnitude, from 13 to 19
    assert bins.n.sum() == 4000
    pulls = (bins.median - 2.0 * (bins.magnitude - 16)) / bins.error
    # Twelve medians within 4 of their standard errors, and as a whole: chi-squared of 12 below 35 (1 in 2000).
    assert np.all(np.abs(pulls) < 4)
    assert np.sum(pulls**2) < 35
    # A robust scatter is known to 1.17/sqrt(n), and the error changes by half over a bin.
    np.testing.assert_allclose(bins.scatter / bins.expected, 1, atol=4 * 1.17 / np.sqrt(bins.n.min()) + 0.05)


def test_sparse_bins_are_left_out():
    assert len(running(measured().slice(0, LEAST_STARS - 1)).n) == 0


def test_a_quadrant_gone_wrong_shows_in_its_cells():
    table = measured()
    wrong = (table["rcid"].to_numpy() == 17) & (table["x"].to_numpy() < 119.5)
    k = table.schema.get_field_index("residual")
    table = table.set_column(k, table.schema.field(k), pa.array(table["residual"].to_numpy() + 20.0 * wrong))
    found = residual_map(table, TINY)
    assert sorted(found.mean) == [16, 17, 18, 19]
    expected = {rcid: np.zeros((2, 2)) for rcid in (16, 18, 19)} | {17: np.array([[20.0, 0.0], [20.0, 0.0]])}
    for rcid, mean in found.mean.items():
        assert np.all(np.abs(mean - expected[rcid]) < 4 * found.error[rcid])
    assert found.chi2_per_cell > 10


def test_chi_squared_of_noise_is_one():
    many = residual_map(measured(), TINY, cells=6)
    # 144 cells: chi-squared per cell has a standard deviation of sqrt(2/144).
    assert many.chi2_per_cell == pytest.approx(1, abs=4 * np.sqrt(2 / 144))


def test_nothing_to_compare_gives_nothing():
    assert residuals(NO_STARS, STARS, radius=6.0).equals(EMPTY)
    assert residuals(catalogue(STARS), STARS.slice(0, 0), radius=6.0).equals(EMPTY)
    assert scatter(EMPTY).n == 0
    assert np.isnan(scatter(EMPTY).pull_std)
    assert residual_map(EMPTY, TINY).mean == {}
    assert np.isnan(residual_map(EMPTY, TINY).chi2_per_cell)
