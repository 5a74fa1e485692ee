"""Zero points of a survey: against plain least squares, against the truth, and against stars held out."""

import numpy as np
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.rejection import restore
from ztf_in2p3.fit.robust import fit
from ztf_in2p3.recipes import RobustRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.ubercal.model import fit_ubercal, ubercal_model

MILLI = 1e-3
PLAIN = {"clip": np.inf, "variable": np.inf, "draws": 0}
CLEAN = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0, outliers=0, variables=0)


def true_zero_points(zero, pointings, truth):
    order = np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
    return truth.zero_point[at] + truth.quadrant_zero_point[at, zero.rcid]


def rms(values):
    return np.sqrt(np.nanmean(np.square(values)))


@pytest.mark.parametrize("method", ["direct", "iterative"])
def test_zero_points_are_the_least_squares_solution(method):
    table, _ = star_measurements(TINY, survey(2, 4, TINY), 700, CLEAN)
    recipe = UbercalRecipe(zero_points="quadrant", held_out=0, robust=RobustRecipe(method=method, **PLAIN))

    zero = fit_ubercal(table, TINY, recipe).zero_points

    star = np.unique(table["star_id"].to_numpy(), return_inverse=True)[1]
    code = table["exposure"].to_numpy() * 100 + table["rcid"].to_numpy()
    label = zero.exposure * 100 + zero.rcid
    design = np.zeros((table.num_rows, len(label) + star.max() + 1))
    design[np.arange(len(star)), np.searchsorted(label, code)] = 1
    design[np.arange(len(star)), len(label) + star] = 1
    root = 1 / np.hypot(table["mag_e"].to_numpy(), 0.005)
    expected = np.linalg.lstsq(design * root[:, None], table["mag"].to_numpy() * root, rcond=1e-12)[0][: len(label)]
    for component in range(zero.component.max() + 1):
        of = zero.component == component
        off = zero.value[of] - expected[of]
        assert np.ptp(off) < 1e-3 * MILLI  # the level of a connected part is nobody's to know
        assert abs(zero.value[of].mean()) < 1e-9
    assert np.isnan(zero.value[zero.component < 0]).all()


@pytest.fixture(scope="module")
def month():
    pointings = survey(2, 12, TINY, seed=5)
    effects = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0)
    return pointings, *star_measurements(TINY, pointings, 5000, effects, seed=5)


@pytest.fixture(scope="module")
def solved(month):
    return fit_ubercal(month[1], TINY, UbercalRecipe(zero_points="quadrant"))


def test_a_month_is_solved_within_its_errors(month, solved):
    pointings, _, truth = month
    zero = solved.zero_points
    off = np.where(zero.component == 0, zero.value - true_zero_points(zero, pointings, truth), np.nan)
    # Errors of neighbours are correlated, and rare stars hide some outliers: half as large again is not excluded.
    assert rms(off - np.nanmean(off)) < 1.5 * rms(zero.sigma[zero.component == 0])
    assert solved.exposures.photometric.all()
    assert solved.fit.converged


def test_variable_stars_and_outliers_are_recognised(month, solved):
    _, table, truth = month
    stars = solved.fit.stars
    variable = truth.variable[(stars.star_id - 4_000_000_000) // 7]
    often = (stars.count + stars.rejected >= 8) & ~stars.held_out
    # An amplitude of 50 mmag under the 16 mmag of the faintest is the hardest: eight in ten are found, few others.
    assert (stars.variable & variable & often).sum() > 0.8 * (variable & often).sum()
    assert (stars.variable & ~variable & often).sum() < 0.005 * often.sum()
    constant = np.isin(table["star_id"].to_numpy(), stars.star_id[often & ~variable])
    found = np.isin(np.arange(table.num_rows), solved.fit.rejected) & constant
    injected = truth.outlier & constant
    assert (found & injected).sum() > 0.9 * injected.sum()
    # Zero points of thirty measurements suffer from an outlier until it is gone, and so do their other stars.
    assert (found & ~injected).sum() < 0.1 * injected.sum()


def test_stars_held_out_repeat_as_their_errors_and_those_of_the_zero_points_say(month, solved):
    stars, repeat = solved.fit.stars, solved.repeatability
    assert abs(stars.held_out.mean() - 0.1) < 4 * np.sqrt(0.09 / len(stars.star_id))
    assert not np.isin(stars.star_id[stars.held_out], stars.star_id[stars.variable]).any()
    many = repeat.count > 200
    assert many.any()
    sigma = rms(solved.zero_points.sigma[solved.zero_points.component == 0])
    expected = np.hypot(repeat.expected, sigma)
    # Known to 1 / sqrt(2n), four of those; 1 % of variable stars among them adds up to a tenth.
    margin = 4 / np.sqrt(2 * repeat.count[many])
    assert np.all(repeat.rms[many] / expected[many] < 1.1 + margin)
    assert np.all(repeat.rms[many] / repeat.expected[many] > 1 - margin)


def test_stars_held_out_take_no_part(month):
    _, table, _ = month
    whole = fit_ubercal(table, TINY, UbercalRecipe(zero_points="quadrant", robust=RobustRecipe(**PLAIN)))
    out = whole.fit.stars.star_id[whole.fit.stars.held_out]
    without = table.filter(~np.isin(table["star_id"].to_numpy(), out))
    rest = fit_ubercal(without, TINY, UbercalRecipe(zero_points="quadrant", held_out=0, robust=RobustRecipe(**PLAIN)))
    both = np.intersect1d(
        whole.zero_points.exposure * 100 + whole.zero_points.rcid,
        rest.zero_points.exposure * 100 + rest.zero_points.rcid,
        return_indices=True,
    )
    assert len(both[0]) == len(rest.zero_points.value)
    np.testing.assert_allclose(rest.zero_points.value, whole.zero_points.value[both[1]], atol=1e-3 * MILLI)


def test_a_hierarchy_of_zero_points_does_better_where_it_is_true(month, solved):
    pointings, table, truth = month
    recipe = UbercalRecipe(zero_points="hierarchical", residual_sigma=0.004)
    hierarchical = fit_ubercal(table, TINY, recipe)

    off = {}
    for name, one in (("free", solved), ("hierarchical", hierarchical)):
        zero = one.zero_points
        error = np.where(zero.component == 0, zero.value - true_zero_points(zero, pointings, truth), np.nan)
        off[name] = rms(error - np.nanmean(error))
    assert off["hierarchical"] < 0.9 * off["free"]
    assert {"zero_point", "quadrant_epoch", "residual"} == set(hierarchical.fit.parameters)
    assert np.nanstd(hierarchical.fit["residual"].value) < 0.006


def test_a_change_of_the_camera_is_an_epoch():
    pointings = survey(2, 16, TINY, seed=6)
    table, _ = star_measurements(TINY, pointings, 3000, CLEAN, seed=6)
    change = float(np.median(pointings.mjd))
    step = np.random.default_rng(1).normal(0, 0.02, 64)
    mjd, rcid = table["mjd"].to_numpy(), table["rcid"].to_numpy()
    mag = table["mag"].to_numpy() + np.where(mjd >= change, step[rcid], 0)
    changed = table.set_column(table.column_names.index("mag"), "mag", [mag])
    recipe = UbercalRecipe(zero_points="hierarchical", residual_sigma=0.005, epochs=(change,), held_out=0)

    quadrant = fit_ubercal(changed, TINY, recipe).fit["quadrant_epoch"]

    before, after = quadrant.value[quadrant.labels[:, 0] == 0], quadrant.value[quadrant.labels[:, 0] == 1]
    found = after - before - np.mean(after - before)
    sigma = np.hypot(quadrant.sigma[:64], quadrant.sigma[64:])
    # Both epochs' errors are largely independent; correlations and priors leave half as much again.
    assert rms(found - (step - step.mean())) < 1.5 * rms(sigma)
    assert rms(sigma) < 0.005


def test_colour_terms_of_quadrants_are_found():
    effects = Effects(colour_cells=1, colour_map=0.02, map=0, airmass=0, outliers=0, variables=0)
    table, truth = star_measurements(TINY, survey(2, 12, TINY), 3000, effects)
    colour = fit_ubercal(table, TINY, UbercalRecipe(zero_points="quadrant", colour=True, held_out=0)).fit["colour_map"]
    expected = truth.colour_map.ravel() - truth.colour_map.mean()
    pull = (colour.value - expected) / colour.sigma
    assert abs(rms(pull) - 1) < 4 / np.sqrt(2 * 64)


def test_an_unknown_kind_of_zero_points_is_refused(month):
    with pytest.raises(ValueError, match="quadrant, hierarchical"):
        fit_ubercal(month[1], TINY, UbercalRecipe(zero_points="global"))


def test_an_outlier_takes_no_zero_point_over():
    # Ten measurements a zero point, one in a hundred of them off by 0.1 to 0.5 mag: hundreds of zero points have one.
    pointings = survey(4, 20, TINY, seed=3)
    effects = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0, outliers=0.01, variables=0.01)
    table, truth = star_measurements(TINY, pointings, 3000, effects, seed=3)
    recipe = UbercalRecipe(zero_points="quadrant", robust=RobustRecipe(draws=0))

    solved = fit_ubercal(table, TINY, recipe)

    zero = solved.zero_points
    off = zero.value - true_zero_points(zero, pointings, truth)
    for component in range(zero.component.max() + 1):
        off[zero.component == component] -= np.median(off[zero.component == component])
    # Errors of 5 to 20 mmag a measurement: with five and more, no zero point is off by 50 (an outlier's is 100 to 500).
    assert np.abs(off[zero.count >= 5]).max() < 50 * MILLI
    # The good measurements are never the ones that go: at most one in a thousand of them does.
    assert np.mean(~truth.outlier[solved.fit.rejected]) * len(solved.fit.rejected) < 1e-3 * table.num_rows


def test_a_zero_point_that_lost_most_of_its_measurements_begins_anew_at_their_median():
    pointings = survey(2, 6, TINY, seed=4)
    table, _ = star_measurements(TINY, pointings, 1500, CLEAN, seed=4)
    model, _, _ = ubercal_model(table, TINY, UbercalRecipe(zero_points="quadrant", held_out=0))
    (part,) = model.parts
    solved = fit(model, RobustRecipe(draws=0, variable=np.inf))
    concerned = int(np.argmax(solved["zero_point"].count))
    rows = np.flatnonzero(part.index[:, 0] == concerned)
    taken = solved.vector.copy()
    taken[concerned] += 0.3
    part.kept[rows[1:]] = 0

    fresh = restore(model, taken, np.arange(model.n_param) == concerned)

    assert part.kept[rows].all()
    # The median of n measurements with errors of at most 20 mmag.
    assert abs(fresh[concerned] - solved.vector[concerned]) < 5 * 0.02 / np.sqrt(len(rows))
    np.testing.assert_array_equal(np.delete(fresh, concerned), np.delete(taken, concerned))
