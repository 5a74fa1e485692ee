"""What cannot be known is named, and the rest is solved for."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.superpixels import Superpixels
from ztf_in2p3.fit.table import Anchors
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, Pointings, dithered_sequence, star_measurements, survey
from ztf_in2p3.starflat.model import fit_starflat
from ztf_in2p3.ubercal.model import fit_ubercal

MILLI = 1e-3
RECIPE = StarflatRecipe(superpixels=2, colour_cells=1)
CLEAN = Effects(map_cells=2, colour_cells=1, outliers=0, variables=0)
BOTH = ["direct", "iterative"]


def with_method(recipe, method):
    return dataclasses.replace(recipe, robust=RobustRecipe(method=method))


def rms(values):
    return np.sqrt(np.nanmean(np.square(values)))


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, pa.array(values))


@pytest.fixture(scope="module")
def sequence():
    return star_measurements(TINY, dithered_sequence(20, TINY), 1200, CLEAN, seed=4)


@pytest.mark.parametrize("method", BOTH)
def test_two_skies_that_do_not_touch_are_told_apart_and_each_is_solved(method):
    here = survey(2, 8, TINY, seed=1)
    pointings = Pointings(
        centre=np.concatenate([here.centre, here.centre + 1e5]),
        mjd=np.concatenate([here.mjd, here.mjd + 0.4]),
        zenith=np.tile(here.zenith, 2),
        parallactic=np.tile(here.parallactic, 2),
    )
    n = len(here)
    effects = Effects(map=0, colour_map=0, airmass=0, outliers=0, variables=0)
    tables = []
    for k, part in enumerate((slice(0, n), slice(n, 2 * n))):
        chosen = Pointings(*(getattr(pointings, name)[part] for name in Pointings.__slots__))
        table, truth = star_measurements(TINY, chosen, 1500, effects, seed=k)
        tables.append((replaced(table, "star_id", table["star_id"].to_numpy() + k * 10**6), truth, chosen))
    table = pa.concat_tables([t for t, _, _ in tables])

    result = fit_ubercal(table, TINY, with_method(UbercalRecipe(zero_points="quadrant", held_out=0), method))

    zero = result.zero_points
    large = [c for c in np.unique(zero.component) if c >= 0 and (zero.component == c).sum() > 100]
    assert len(large) == 2
    exact = [d for d in result.fit.degeneracies if d.exact and d.family == "zero_point"]
    assert sum(d.count for d in exact) == zero.component.max() + 1
    for component, (_, truth, chosen) in zip(large, tables, strict=True):
        of = zero.component == component
        order = np.argsort(chosen.exposure)
        at = order[np.searchsorted(chosen.exposure[order], zero.exposure[of])]
        off = zero.value[of] - truth.zero_point[at]
        assert abs(zero.value[of].mean()) < 1e-9  # each part in a gauge of its own
        # Errors in the gauge of zero mean, correlated over the sky: twice their sigma is far off.
        assert rms(off - off.mean()) < 2 * rms(zero.sigma[of])
        assert np.flatnonzero(of)[0] <= result.fit["zero_point"].references[int(component)] <= np.flatnonzero(of)[-1]


@pytest.mark.parametrize("method", BOTH)
def test_an_empty_quadrant_and_cells_without_stars_are_reported_and_the_rest_is_unharmed(sequence, method):
    table, truth = sequence
    dead = table["rcid"].to_numpy() == 17

    starflat = fit_starflat(table.filter(pa.array(~dead)), TINY, with_method(RECIPE, method))

    cells = Superpixels(TINY, 2).index(17, [10, 200, 10, 200], [10, 10, 200, 200])
    assert set(cells) <= set(starflat.fit["map"].undetermined)
    assert np.isnan(starflat.map[17]).all()
    assert np.isnan(starflat.correction(17, 50.0, 50.0))
    assert (starflat.fit["map"].count[cells] == 0).all()
    off = np.delete(starflat.map - truth.map, 17, axis=0)
    u, v = (np.delete(c.reshape(64, 2, 2), 17, axis=0).ravel() for c in Superpixels(TINY, 2).centres())
    shapes = np.column_stack([np.ones(len(u)), u, v])
    known = np.isfinite(off.ravel())
    left = off.ravel()[known] - shapes[known] @ np.linalg.lstsq(shapes[known], off.ravel()[known], rcond=None)[0]
    sigma = np.delete(starflat.map_sigma, 17, axis=0).ravel()[known]
    assert abs(rms(left / sigma) - 1) < 4 / np.sqrt(2 * known.sum())


@pytest.mark.parametrize("method", BOTH)
def test_an_exposure_of_three_stars_has_its_zero_point_and_a_large_error(sequence, method):
    table, _ = sequence
    exposure = table["exposure"].to_numpy()
    names = np.unique(exposure)
    rows = np.flatnonzero(exposure == names[7])
    _, star, count = np.unique(table["star_id"].to_numpy(), return_inverse=True, return_counts=True)
    often = rows[count[star[rows]] > 5]
    drop = np.setdiff1d(rows, often[:3])
    recipe = dataclasses.replace(RECIPE, model="color")

    fit = fit_starflat(table.take(np.setdiff1d(np.arange(table.num_rows), drop)), TINY, with_method(recipe, method)).fit

    zero = fit["zero_point"]
    assert zero.count[7] == 3
    others = np.delete(zero.sigma, 7)
    assert 0.003 / np.sqrt(3) < zero.sigma[7] < 0.03
    assert zero.sigma[7] > 2 * np.median(others)
    assert np.isfinite(zero.value).all()


def test_grey_nights_are_solved_for_and_recognised():
    pointings = survey(2, 12, TINY, seed=2)
    effects = Effects(zero_point=0.01, map=0, colour_map=0, airmass=0, outliers=0, variables=0)
    table, truth = star_measurements(TINY, pointings, 3000, effects, seed=2)
    grey = np.sort(pointings.exposure)[[3, 11]]
    exposure, rcid = table["exposure"].to_numpy(), table["rcid"].to_numpy()
    patchy = np.random.default_rng(0).uniform(0.2, 0.5, 64)
    cloud = np.where(np.isin(exposure, grey), patchy[rcid], 0)

    result = fit_ubercal(
        replaced(table, "mag", table["mag"].to_numpy() + cloud), TINY, UbercalRecipe(zero_points="quadrant")
    )

    quality = result.exposures
    np.testing.assert_array_equal(np.sort(quality.exposure[~quality.photometric]), grey)
    zero, order = result.zero_points, np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
    off = zero.value - truth.zero_point[at] - np.where(np.isin(zero.exposure, grey), patchy[zero.rcid], 0)
    off = np.where(zero.component == 0, off, np.nan)
    assert rms(off - np.nanmean(off)) < 2 * rms(zero.sigma[zero.component == 0])


def test_rows_that_cannot_serve_are_counted_by_reason_and_change_nothing(sequence):
    table, _ = sequence
    clean = fit_starflat(table, TINY, RECIPE).fit
    bad = {
        "mag": table.slice(0, 3), "mag_e": table.slice(10, 2),
        "colour": table.slice(20, 1), "airmass": table.slice(30, 4),
    }  # fmt: skip
    spoilt = [replaced(rows, name, np.full(rows.num_rows, np.nan).astype(rows[name].type.to_pandas_dtype()))
              for name, rows in bad.items()]  # fmt: skip
    outside = replaced(table.slice(50, 5), "x", np.full(5, 4000, np.float32))
    nowhere = replaced(table.slice(60, 6), "rcid", np.full(6, 99, np.int8))
    nameless = replaced(table.slice(70, 2), "star_id", np.full(2, -1))
    at = table.column_names.index("exposure")
    never = table.slice(80, 3).set_column(at, table.schema.field(at), pa.nulls(3, table.schema.field(at).type))
    again = table.slice(100, 7)

    fit = fit_starflat(pa.concat_tables([table, *spoilt, outside, nowhere, nameless, never, again]), TINY, RECIPE).fit

    assert fit.intake.dropped == {
        "mag not finite": 3, "mag_e not finite": 2, "colour not finite": 1, "airmass not finite": 4,
        "outside its quadrant": 5, "no such quadrant": 6, "no star": 2, "no exposure": 3,
        "the same row again": 7,
    }  # fmt: skip
    assert fit.intake.used == table.num_rows
    for name, family in clean.parameters.items():
        np.testing.assert_allclose(fit[name].value, family.value, atol=1e-2 * MILLI)


def test_a_table_without_a_needed_column_or_any_good_row_is_bad_data(sequence):
    table, _ = sequence
    with pytest.raises(BadData, match="no column airmass"):
        fit_starflat(table.drop_columns(["airmass"]), TINY, RECIPE)
    fit_starflat(table.drop_columns(["airmass", "mjd", "colour"]), TINY, StarflatRecipe(model="zp", superpixels=2))
    with pytest.raises(BadData, match="mag not finite"):
        fit_starflat(replaced(table, "mag", np.full(table.num_rows, np.nan)), TINY, RECIPE)


def test_degeneracies_of_a_sequence_are_named_with_what_was_done(sequence):
    table, _ = sequence
    fit = fit_starflat(table, TINY, dataclasses.replace(RECIPE, gain=True)).fit

    named = {d.name: d for d in fit.degeneracies}
    assert named["mean zero_point against star magnitudes"].exact
    assert named["mean colour_map against star magnitudes"].family == "colour_map"
    # In one sequence every quadrant's gain is its mean response; one of the 64 already follows from the stars.
    assert named["gain against map"].count == 63
    np.testing.assert_allclose(fit["gain"].value, 0, atol=1e-9)
    assert not named["plane over the focal plane, to the east"].exact
    # Were zero points and stars known, independent cells would give the plane to this:
    u, _ = Superpixels(TINY, 2).centres()
    alone = np.nanmedian(fit["map"].sigma) / np.sqrt(np.sum((u / u.max()) ** 2))
    assert named["plane over the focal plane, to the east"].sigma > 2 * alone
    (correlated,) = fit.correlations.values()
    assert all(0 < abs(c) <= 1 for _, c in correlated)
    assert all(family.gauge for family in fit.parameters.values())


def test_stars_of_known_magnitude_anchor_level_and_plane(sequence):
    table, truth = sequence
    tilt = np.array([0.05, -0.03])
    x, y, rcid = (table[name].to_numpy() for name in ("x", "y", "rcid"))
    u, v = Superpixels(TINY, 2).centres()
    cell = Superpixels(TINY, 2).index(rcid, x, y)
    plane = (tilt[0] * u / u.max() + tilt[1] * v / v.max())[cell]
    tilted = replaced(table, "mag", table["mag"].to_numpy() + plane)
    star_id = 4_000_000_000 + 7 * np.arange(len(truth.star_mag))
    known = np.random.default_rng(1).random(len(star_id)) < 0.5
    anchors = Anchors(star_id[known], truth.star_mag[known], np.full(known.sum(), 0.002))

    fit = fit_starflat(tilted, TINY, RECIPE, anchors=anchors).fit

    expected = truth.map.ravel() + tilt[0] * u / u.max() + tilt[1] * v / v.max()
    for name in ("east", "north"):
        assert not any(name in d.name for d in fit.degeneracies)
    # Level: only the sum of map and zero points is anchored; the plane is found where it is.
    off = fit["map"].value - expected
    shapes = np.column_stack([np.ones(len(u)), u / u.max(), v / v.max()])
    good = np.isfinite(off)
    _, east, north = np.linalg.lstsq(shapes[good], off[good], rcond=None)[0]
    assert max(abs(east), abs(north)) < 3 * MILLI  # a plane of 50 mmag is found to a tenth of the anchors' spread
    stars = dict(zip(fit.stars.star_id, fit.stars.mag, strict=True))
    level = [stars[i] - mag for i, mag in zip(anchors.star_id, anchors.mag, strict=True) if i in stars]
    assert abs(np.mean(level)) < 4 * 0.002 / np.sqrt(known.sum()) + 0.2 * MILLI


def test_a_photometric_night_holds_the_plane():
    effects = dataclasses.replace(CLEAN, zero_point=0.002, airmass=0.0)
    table, truth = star_measurements(TINY, dithered_sequence(20, TINY), 1200, effects, seed=4)
    recipe = dataclasses.replace(RECIPE, model="color", photometric_sigma=0.002)

    fit = fit_starflat(table, TINY, recipe).fit

    u, v = Superpixels(TINY, 2).centres()
    off = fit["map"].value - truth.map.ravel()
    shapes = np.column_stack([np.ones(len(u)), u / u.max(), v / v.max()])
    good = np.isfinite(off)
    _, east, north = np.linalg.lstsq(shapes[good], off[good], rcond=None)[0]
    # Twenty zero points that scatter by 2 mmag over pointings a tenth of the field apart.
    assert max(abs(east), abs(north)) < 4 * 0.002 / np.sqrt(20) / 0.1
    assert not any("plane" in d.name for d in fit.degeneracies)
