"""Outliers, wrong errors and clouds: zero points stay right within their errors, or are flagged."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.recipes import PhotometricLimits, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.ubercal.model import fit_ubercal
from ztf_in2p3.ubercal.photometricity import cut_clouds

EFFECTS = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0, outliers=0.01, variables=0.01)


def replaced(table, name, values):
    column = table.schema.field(name)
    return table.set_column(table.column_names.index(name), name, pa.array(values).cast(column.type))


def pulls(solved, pointings, truth):
    """Of the zero points, each connected part's own level taken out."""
    zero, order = solved.zero_points, np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
    off = zero.value - truth.zero_point[at] - truth.quadrant_zero_point[at, zero.rcid]
    for component in range(zero.component.max() + 1):
        off[zero.component == component] -= np.median(off[zero.component == component])
    return off / zero.sigma


def star_pulls(solved, truth):
    stars = solved.fit.stars
    number = (stars.star_id - 4_000_000_000) // 7
    good = (stars.component == 0) & (stars.count >= 3) & ~stars.variable & ~truth.variable[number] & ~stars.contested
    off = (stars.mag - truth.star_mag[number])[good]
    return (off - np.median(off)) / stars.sigma[good]


def robust_scatter(values):
    values = values[np.isfinite(values)]
    return 1.4826 * np.median(np.abs(values - np.median(values)))


@pytest.mark.parametrize(("outliers", "n_star"), [(0.01, 3600), (0.05, 3600), (0.05, 4500)])
def test_zero_points_of_sixteen_to_twenty_measurements_are_within_their_errors_or_flagged(outliers, n_star):
    pointings = survey(2, 12, TINY, seed=1)
    effects = dataclasses.replace(EFFECTS, outliers=outliers)
    table, truth = star_measurements(TINY, pointings, n_star, effects, seed=1)

    solved = fit_ubercal(table, TINY, UbercalRecipe(zero_points="quadrant"))

    good = solved.zero_points.flag == 0
    pull = pulls(solved, pointings, truth)[good]
    assert np.nanmax(np.abs(pull)) < 5
    assert np.nanstd(pull) < 1.1
    assert good.mean() > 0.99


@pytest.fixture(scope="module")
def healthy():
    pointings = survey(2, 12, TINY, seed=2)
    return pointings, *star_measurements(TINY, pointings, 3000, EFFECTS, seed=2)


def test_errors_that_are_right_are_left_alone(healthy):
    pointings, table, truth = healthy
    solved = fit_ubercal(table, TINY, UbercalRecipe())
    assert solved.fit.errors.is_unchanged
    assert abs(robust_scatter(star_pulls(solved, truth)) - 1) < 0.1
    assert np.nanstd(pulls(solved, pointings, truth)) < 1.1


@pytest.mark.parametrize("trouble", ["half of the errors", "a floor of 12 mmag", "exposures twice as noisy"])
def test_errors_that_are_too_small_are_found_and_changed(healthy, trouble):
    pointings, table, truth = healthy
    rng, mag = np.random.default_rng(1), table["mag"].to_numpy()
    sigma = np.hypot(table["mag_e"].to_numpy(), 0.005)
    names = np.sort(pointings.exposure)
    noisy = np.isin(table["exposure"].to_numpy(), names[::3])
    recipe = UbercalRecipe()
    match trouble:
        case "half of the errors":
            table = replaced(table, "mag_e", table["mag_e"].to_numpy() / 2)
            recipe = dataclasses.replace(recipe, error_floor=0.0025)
        case "a floor of 12 mmag":
            table = replaced(table, "mag", mag + rng.normal(0, 0.012, len(mag)))
        case _:
            table = replaced(table, "mag", mag + noisy * rng.normal(0, 1, len(mag)) * sigma * np.sqrt(3))

    solved = fit_ubercal(table, TINY, recipe)

    assert not solved.fit.errors.is_unchanged
    assert 0.8 < solved.fit.chi2 / solved.fit.dof < 1.2
    # Some 1500 stars: a robust scatter is known to 3 %.
    assert abs(robust_scatter(star_pulls(solved, truth)) - 1) < 0.1
    assert 0.8 < np.nanstd(pulls(solved, pointings, truth)) < 1.1
    if "exposures" in trouble:
        factor = np.exp(solved.fit.errors.exposure / 2)
        ratio = np.median(factor[::3]) / np.median(np.delete(factor, slice(None, None, 3)))
        assert abs(ratio - 2) < 0.2


def test_exposures_through_uneven_clouds_do_not_move_the_others():
    pointings = survey(2, 16, TINY, seed=4)
    table, _ = star_measurements(TINY, pointings, 2500, dataclasses.replace(EFFECTS, zero_point=0.008), seed=4)
    names, rng = np.sort(pointings.exposure), np.random.default_rng(4)
    clouded = rng.choice(len(names), 5, replace=False)
    at, rcid = np.searchsorted(names, table["exposure"].to_numpy()), table["rcid"].to_numpy()
    cloud = np.zeros((len(names), 64))
    cloud[clouded] = 0.15 + 0.1 * np.sin(rng.uniform(0, 6, (5, 1)) + np.arange(64) / rng.uniform(3, 9, (5, 1)))
    clear = fit_ubercal(table, TINY, UbercalRecipe()).zero_points

    spoilt = fit_ubercal(replaced(table, "mag", table["mag"].to_numpy() + cloud[at, rcid]), TINY, UbercalRecipe())

    zero, others = spoilt.zero_points, ~np.isin(clear.exposure, names[clouded])
    moved = (zero.value - clear.value)[others]
    # The clouded ones count for less: others move by a part of their own errors.
    assert np.max(np.abs(moved - np.median(moved))) < np.median(clear.sigma)
    assert not spoilt.exposures.photometric[clouded].any()
    found = zero.value - clear.value - cloud[np.searchsorted(names, zero.exposure), zero.rcid] - np.median(moved)
    assert np.max(np.abs(found / zero.sigma)) < 5
    # And the errors of the others are their own.
    assert np.median(zero.sigma[others]) < 1.2 * np.median(clear.sigma)


@pytest.mark.parametrize("seed", range(3))
def test_grey_extinction_of_a_twentieth_is_no_clear_sky_whatever_the_airmass(seed):
    rng = np.random.default_rng(seed)
    n = 60
    airmass = rng.uniform(1, 1.8, n)
    cloud = np.zeros(n)
    cloud[:12] = rng.uniform(0.03, 0.11, 12)
    level = rng.normal(0, 0.006, n) + 0.1 * (airmass - 1) + cloud

    extinction, clear = cut_clouds(level, airmass, PhotometricLimits())

    # Of 6 mmag scatter, 3.5 are 21; a cloud of 30 mmag is beyond it but for a fluctuation of 1.5 standard deviations.
    assert clear[:12].sum() <= 1
    assert clear[12:].all()
    assert np.std((extinction - cloud)[12:]) < 0.008
