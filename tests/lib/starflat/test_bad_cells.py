"""A bad superpixel harms no other."""

import dataclasses

import numpy as np

from ztf_in2p3.camera import TINY
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.correction import StarflatMap
from ztf_in2p3.starflat.model import fit_starflat
from ztf_in2p3.starflat.tables import map_table


def plane():
    row, column = np.mgrid[0:4, 0:4]
    return np.tile(0.01 * row - 0.02 * column, (64, 1, 1))


def test_a_correction_is_linear_between_good_superpixels_and_knows_nothing_of_bad_ones():
    rows, columns = TINY.shape
    x, y = np.random.default_rng(0).uniform(0, 1, (2, 2000)) * [[columns - 1], [rows - 1]]
    good, bad = plane(), plane()
    bad[7, 1, 2] = np.nan
    whole, without = (StarflatMap(TINY, m, np.zeros_like(m), 0.8) for m in (good, bad))
    args = (np.full(2000, 7), x, y, np.full(2000, 0.8))

    expected, found = whole.correction(*args), without.correction(*args)

    row, column = ((p + 0.5) * 4 / size - 0.5 for p, size in ((y, rows), (x, columns)))
    np.testing.assert_allclose(expected, 0.01 * row - 0.02 * column, atol=1e-12)
    inside = (np.round(row) == 1) & (np.round(column) == 2)
    np.testing.assert_array_equal(np.isnan(found), inside)
    # Next to it three superpixels serve for four: nowhere off by more than their differences.
    assert np.nanmax(np.abs(found - expected)) < 0.02
    i, j = (np.clip(np.floor(place), 0, 2) for place in (row, column))
    far = ~(np.isin(i, [0, 1]) & np.isin(j, [1, 2]))  # none of the four superpixels around is the bad one
    np.testing.assert_allclose(found[far], expected[far], atol=1e-12)


def test_superpixels_of_one_or_two_stars_are_flagged_and_not_used():
    table, _ = star_measurements(TINY, dithered_sequence(10, TINY), 500, Effects(map_cells=4), seed=1)
    starflat = fit_starflat(table, TINY, StarflatRecipe(superpixels=4, model="zp"))
    cells = map_table(starflat, {})
    count, flag = cells["count"].to_numpy(), cells["flag"].to_numpy()
    few = (count > 0) & (count < 3)
    assert few.any()
    assert (flag[few] > 0).all()
    assert (flag == 0).sum() > 400
    used = StarflatMap.of_table(cells, TINY).map.ravel()
    assert np.isnan(used[flag > 0]).all()
    np.testing.assert_array_equal(np.isfinite(used), np.isfinite(cells["map"].to_numpy()) & (flag == 0))


def test_a_superpixel_of_one_star_does_not_make_the_exposures_uncertain():
    effects = Effects(map_cells=2, colour_map=0, airmass=0, outliers=0.01, variables=0)
    table, _ = star_measurements(TINY, dithered_sequence(6, TINY), 4000, effects, seed=1)
    table = table.filter(np.isin(table["ccd"].to_numpy(), [5, 6, 7]))
    recipe = StarflatRecipe(superpixels=2, model="zp", error_floor=0.0003)
    nothing = dataclasses.replace(recipe, robust=RobustRecipe(outlier_scale=1e-9))
    told, plain = (fit_starflat(table, TINY, each).fit for each in (recipe, nothing))
    # An outlier of such a star is taken by its superpixel, whose error says so.
    assert np.nanmax(told["zero_point"].sigma / plain["zero_point"].sigma) < 1.1
    few = told["map"].count == 1
    assert few.any() <= bool((told["map"].sigma[few] > 1.5 * plain["map"].sigma[few]).any())
