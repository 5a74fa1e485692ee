"""Zero points that are sums of terms, each with its own error, and what can hold their level."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from tests.lib.fit.test_uncertainty import assert_unit, independent_pulls
from ztf_in2p3.camera import TINY
from ztf_in2p3.fit import gauge, normal, solver, uncertainty
from ztf_in2p3.fit.robust import fit
from ztf_in2p3.fit.table import Anchors
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, Pointings, dithered_sequence, star_measurements, survey
from ztf_in2p3.starflat.model import starflat_model
from ztf_in2p3.ubercal.model import fit_ubercal, ubercal_model, zero_point_sums

SEEDS = range(4)
CLEAN = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0.12, outliers=0, variables=0)
HIERARCHY = UbercalRecipe(
    zero_points="hierarchical", residual_sigma=0.004, airmass=True, airmass_prior=None, held_out=0
)  # fmt: skip


@pytest.fixture(scope="module")
def surveys():
    """Errors, covariance, spans of the families and of the sums, of surveys that differ in everything random."""
    found = []
    for seed in SEEDS:
        pointings = survey(2, 7, TINY, seed=seed)
        table, truth = star_measurements(TINY, pointings, 1200, CLEAN, seed=50 + seed)
        model, _, known = ubercal_model(table, TINY, HIERARCHY)
        labels, sums = zero_point_sums(model, HIERARCHY, known)
        result = fit(model, HIERARCHY.robust, sums=sums)
        at = np.searchsorted(np.sort(pointings.exposure), labels[:, 0])
        order = np.argsort(pointings.exposure)
        true = np.zeros(model.n_param)
        true[model.span("zero_point")] = truth.zero_point[order]
        true[model.span("residual")] = truth.quadrant_zero_point[order][at, labels[:, 1]]
        true[model.span("airmass")] = truth.airmass_coefficient
        off = result.vector - result.gauge.project(true)
        covariance = uncertainty.covariance(model, normal.diagonals(model), result.gauge)
        found.append((model, result, off, covariance, sums))
    return found


@pytest.mark.parametrize("family", ["zero_point", "quadrant_epoch", "residual", "airmass"])
def test_pulls_of_every_family_of_a_hierarchy_are_one(surveys, family):
    pulls = []
    for model, result, off, covariance, _ in surveys:
        at = np.arange(model.n_param)[model.span(family)]
        at = at[np.isfinite(result[family].value)]
        pulls.append(independent_pulls(off[at], covariance[np.ix_(at, at)]))
    assert_unit(np.concatenate(pulls))


def test_the_error_of_a_sum_of_terms_is_its_own(surveys):
    pulls = []
    for _, result, off, covariance, sums in surveys:
        of_sum = sums @ covariance @ sums.T
        known = np.isfinite(result.sum_sigma)
        np.testing.assert_allclose(result.sum_sigma[known], np.sqrt(of_sum.diagonal())[known], rtol=1e-4)
        pulls.append(independent_pulls((sums @ off)[known], of_sum[np.ix_(known, known)]))
    assert_unit(np.concatenate(pulls))


def test_drawn_errors_of_sums_agree_with_the_inverse_of_the_matrix(surveys):
    model, result, _, covariance, sums = surveys[0]
    diag = normal.diagonals(model)
    unseen = gauge.exact_gauge(model, diag, gauge.labelled(model, diag)).direction
    n = 48
    _, drawn, _ = uncertainty.drawn(
        model, diag, result.gauge, solver.preconditioner(model, diag, unseen, "iterative"), n, 1, sums
    )
    ratio = drawn / np.asarray((sums @ covariance @ sums.T).diagonal())
    # Variances from n draws scatter by sqrt(2 / n), neighbours alike.
    assert abs(np.median(ratio) - 1) < 4 * np.sqrt(2 / n)


def test_every_family_says_in_which_gauge_it_is(surveys):
    told = {name: family.gauge for name, family in surveys[0][1].parameters.items()}
    assert told["zero_point"] == "mean zero_point of each connected part is zero"
    assert told["quadrant_epoch"] == "mean quadrant_epoch of each connected part is zero"
    assert told["residual"] == "drawn to its prior"
    assert told["airmass"] == "absolute"


def test_pulls_of_gains_and_airmasses_of_two_nights_are_one():
    recipe = StarflatRecipe(superpixels=2, colour_cells=1, gain=True, robust=RobustRecipe(clip=np.inf, variable=np.inf))
    effects = Effects(gain=0.01, map_cells=2, colour_cells=1, outliers=0, variables=0)
    pulls = {"gain": [], "airmass": []}
    for seed in range(6):
        nights = [dithered_sequence(12, TINY, seed=seed + k, mjd=58578.2 + 12 * k) for k in (0, 1)]
        both = Pointings(*(np.concatenate([getattr(one, k) for one in nights]) for k in Pointings.__slots__))
        table, truth = star_measurements(TINY, both, 700, effects, seed=seed)
        model, _, _ = starflat_model(table, TINY, recipe)
        result = fit(model, recipe.robust)
        parts = [truth.zero_point, truth.map.ravel(), truth.gain.ravel(), truth.colour_map.ravel(),
                 np.full(2, truth.airmass_coefficient)]  # fmt: skip
        off = result.vector - result.gauge.project(np.concatenate(parts))
        covariance = uncertainty.covariance(model, normal.diagonals(model), result.gauge)
        for family, some in pulls.items():
            at = np.arange(model.n_param)[model.span(family)]
            at = at[np.isfinite(result[family].value)]
            some.append(independent_pulls(off[at], covariance[np.ix_(at, at)]))
    for some in pulls.values():
        assert_unit(np.concatenate(some))


@pytest.fixture(scope="module")
def two_skies():
    """Two surveys that share no star; true zero points by exposure."""
    tables, zero, stars = [], {}, {}
    for k in (0, 1):
        pointings = survey(2, 5, TINY, seed=k, mjd=58578.2 + 0.4 * k)
        effects = dataclasses.replace(CLEAN, airmass=0, quadrant_zero_point=0)
        table, truth = star_measurements(TINY, pointings, 1000, effects, seed=k)
        star_id = table["star_id"].to_numpy() + k * 10**6
        tables.append(table.set_column(0, "star_id", pa.array(star_id)))
        zero |= dict(zip(pointings.exposure, truth.zero_point, strict=True))
        stars |= dict(zip(4_000_000_000 + 7 * np.arange(1000) + k * 10**6, truth.star_mag, strict=True))
    return pa.concat_tables(tables), zero, stars


def test_stars_of_known_magnitude_bring_skies_that_do_not_touch_to_one_level(two_skies):
    table, zero, stars = two_skies
    rng = np.random.default_rng(2)
    known = rng.choice(np.array(list(stars)), 400, replace=False)
    sigma = 0.01
    anchors = Anchors(known, np.array([stars[one] for one in known]) + rng.normal(0, sigma, 400), np.full(400, sigma))
    recipe = UbercalRecipe(zero_points="quadrant", held_out=0)

    free = fit_ubercal(table, TINY, recipe)
    held = fit_ubercal(table, TINY, recipe, anchors=anchors)

    level = {}
    for name, result in (("free", free), ("held", held)):
        z = result.zero_points
        off = z.value - np.array([zero[one] for one in z.exposure])
        parts = [c for c in np.unique(z.component) if c >= 0 and (z.component == c).sum() > 100]
        assert len(parts) == 2
        level[name] = [np.mean(off[z.component == c]) for c in parts]
    # Zero points are not of zero mean: free, each sky is off by its own mean; held, by the mean of 200 anchors,
    # and a mean of zero points weighs stars unevenly: twice that.
    error = 2 * sigma / np.sqrt(200)
    assert max(np.abs(level["held"])) < 4 * error
    assert max(np.abs(level["free"])) > 4 * error
    assert free.fit["zero_point"].gauge.startswith("mean zero_point of each connected part")
    # The level is as uncertain as the anchors: so are all zero points at least.
    assert np.nanmin(held.zero_points.sigma) > sigma / np.sqrt(400)


def shifted_by_night(table, pointings, step):
    """The table, fainter by what each night (ascending) is said to be."""
    night = np.unique(np.floor(pointings.mjd), return_inverse=True)[1]
    order = np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], table["exposure"].to_numpy())]
    changed = pa.array(table["mag"].to_numpy() + step[night[at]])
    return table.set_column(table.column_names.index("mag"), "mag", changed)


@pytest.fixture(scope="module")
def photometric():
    """Errors and covariances by family, of surveys whose exposures keep to their night's zero point."""
    recipe = UbercalRecipe(
        zero_points="hierarchical", residual_sigma=0.004, photometric_sigma=0.002, held_out=0,
        robust=RobustRecipe(draws=0),
    )  # fmt: skip
    effects = dataclasses.replace(CLEAN, zero_point=0.002, airmass=0)
    found = []
    for seed in range(12):
        pointings = survey(2, 8, TINY, seed=seed)
        table, truth = star_measurements(TINY, pointings, 500, effects, seed=80 + seed)
        step = np.random.default_rng(seed).normal(0, 0.05, 8)
        model, _, known = ubercal_model(shifted_by_night(table, pointings, step), TINY, recipe)
        labels, _ = zero_point_sums(model, recipe, known)
        result = fit(model, recipe.robust)
        order = np.argsort(pointings.exposure)
        at = np.searchsorted(np.sort(pointings.exposure), labels[:, 0])
        true = np.zeros(model.n_param)
        true[model.span("night")] = step
        true[model.span("zero_point")] = truth.zero_point[order]
        true[model.span("residual")] = truth.quadrant_zero_point[order][at, labels[:, 1]]
        off = result.vector - result.gauge.project(true)
        covariance = uncertainty.covariance(model, normal.diagonals(model), result.gauge)
        for name, family in result.parameters.items():
            members = np.arange(model.n_param)[model.span(name)][np.isfinite(family.value)]
            found.append((name, off[members], covariance[np.ix_(members, members)]))
    return found


@pytest.mark.parametrize("family", ["night", "zero_point", "quadrant_epoch"])
def test_pulls_of_photometric_nights_and_of_what_they_hold_are_one(photometric, family):
    assert_unit(np.concatenate([independent_pulls(off, c) for name, off, c in photometric if name == family]))


def test_photometric_nights_have_one_zero_point_and_hold_their_exposures():
    pointings = survey(2, 6, TINY, seed=4)
    effects = dataclasses.replace(CLEAN, zero_point=0.002, airmass=0)
    table, truth = star_measurements(TINY, pointings, 900, effects, seed=4)
    night = np.unique(np.floor(pointings.mjd), return_inverse=True)[1]
    order = np.argsort(pointings.exposure)
    step = np.random.default_rng(3).normal(0, 0.05, night.max() + 1)
    table = shifted_by_night(table, pointings, step)
    free = UbercalRecipe(zero_points="hierarchical", residual_sigma=0.004, held_out=0)
    held = dataclasses.replace(free, photometric_sigma=0.002)

    errors = {}
    for name, recipe in (("free", free), ("held", held)):
        zero = fit_ubercal(table, TINY, recipe).zero_points
        at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
        true = truth.zero_point[at] + truth.quadrant_zero_point[at, zero.rcid] + step[night[at]]
        off = np.where(zero.component == 0, zero.value - true, np.nan)
        errors[name] = np.nanstd(off), np.sqrt(np.nanmean(zero.sigma[zero.component == 0] ** 2))
        # Correlated over the sky.
        assert errors[name][0] < 2 * errors[name][1]
    assert errors["held"][1] < errors["free"][1]
    assert "night" in fit_ubercal(table, TINY, held).fit.parameters
    with pytest.raises(ValueError, match="hierarchical"):
        fit_ubercal(table, TINY, UbercalRecipe(zero_points="quadrant", photometric_sigma=0.002))
