"""Errors mean what they say."""

import dataclasses

import numpy as np
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.fit import gauge, normal, solver, uncertainty
from ztf_in2p3.fit.robust import fit
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements, survey
from ztf_in2p3.starflat.model import fit_starflat, planes, starflat_model
from ztf_in2p3.ubercal.model import ubercal_model

SEEDS = range(6)
RECIPE = StarflatRecipe(superpixels=2, colour_cells=1)
EFFECTS = Effects(map_cells=2, colour_cells=1)


def true_vector(truth):
    """Of the full starflat, in the order of its families."""
    parts = [truth.zero_point, truth.map.ravel(), truth.colour_map.ravel(), [truth.airmass_coefficient]]
    return np.concatenate(parts)


def independent_pulls(off, covariance):
    """Errors turned along the axes of their covariance, each over its own standard deviation."""
    variance, axes = np.linalg.eigh(covariance)
    known = variance > 1e-9 * variance[-1]
    return (axes.T @ off)[known] / np.sqrt(variance[known])


def assert_unit(pulls):
    # A root mean square of n is known to 1 / sqrt(2n): four of those.
    assert abs(np.sqrt(np.mean(np.square(pulls))) - 1) < 4 / np.sqrt(2 * len(pulls))


@pytest.fixture(scope="module")
def sequences():
    """Fits of one sequence seen with other noise, outliers and variable stars; errors and covariances by family."""
    found = []
    for seed in SEEDS:
        pointings = dithered_sequence(30, TINY, seed=seed)
        table, truth = star_measurements(TINY, pointings, 1500, EFFECTS, seed=100 + seed)
        model, _, _ = starflat_model(table, TINY, RECIPE)
        result = fit(model, RECIPE.robust, removed=planes(TINY, RECIPE))
        off = result.vector - result.gauge.project(true_vector(truth))
        covariance = uncertainty.covariance(model, normal.diagonals(model), result.gauge)
        known = np.concatenate([np.isfinite(result[family.name].value) for family in model.families])
        spans = {family.name: np.arange(model.n_param)[model.span(family.name)] for family in model.families}
        found.append((result, off, covariance, {name: span[known[span]] for name, span in spans.items()}, truth))
    return found


@pytest.mark.parametrize("family", ["zero_point", "map", "colour_map", "airmass"])
def test_pulls_of_every_family_of_a_starflat_are_one(sequences, family):
    pulls = []
    for result, off, covariance, members, _ in sequences:
        at = members[family]
        pulls.append(independent_pulls(off[at], covariance[np.ix_(at, at)]))
        sigma = result[family].sigma[np.isfinite(result[family].value)]
        # What outliers may add unseen is on top: next to nothing where there are many measurements.
        ratio = sigma / np.sqrt(covariance[at, at])
        assert ratio.min() > 1 - 1e-4
        assert np.median(ratio) < 1.02
    assert_unit(np.concatenate(pulls))


@pytest.mark.parametrize("family", ["map", "colour_map"])
def test_each_error_alone_means_what_it_says_where_errors_are_nearly_independent(sequences, family):
    assert_unit(
        np.concatenate([off[at[family]] / np.sqrt(c[at[family], at[family]]) for _, off, c, at, _ in sequences])
    )


def test_pulls_of_star_magnitudes_are_one(sequences):
    """A star is as uncertain as its own measurements and as the mean of the parameters that these touch."""
    pulls = []
    for result, _, covariance, _, truth in sequences[:2]:
        model, stars = result.model, result.stars
        truly = (stars.star_id - 4_000_000_000) // 7
        true = true_vector(truth)
        moved = true - result.gauge.project(true)
        mean, clean, own = [], [], []
        for part in model.parts:
            design = np.zeros((len(part.y), model.n_param))
            value = np.column_stack([np.ones((len(part.y), len(model.units))), part.value])
            np.put_along_axis(design, part.index.astype(int), value, axis=1)
            weight = part.weight * part.kept.astype(float)
            total = np.add.reduceat(weight, part.first[:-1])
            with np.errstate(invalid="ignore"):
                mean.append(np.add.reduceat(weight[:, None] * design, part.first[:-1]) / total[:, None])
                own.append(1 / total)
            # What is off by less than the clip is noise of another kind, for which no error is told.
            hidden = truth.outlier[part.origin_of(np.arange(len(part.y)))] & (part.kept > 0)
            clean.append((total > 0) & ~np.logical_or.reduceat(hidden, part.first[:-1]))
        good = np.concatenate(clean) & ~truth.variable[truly] & ~stars.variable & (stars.component == 0)
        mean = np.concatenate(mean)[good]
        off = stars.mag[good] - truth.star_mag[truly[good]] - mean @ moved
        whole = np.diag(np.concatenate(own)[good]) + mean @ covariance @ mean.T
        pulls.append(independent_pulls(off, whole))
        # Its error has all of that; the part of the parameters is from a hundred draws, and scatters by a seventh.
        told = stars.sigma[good & ~stars.contested] / np.sqrt(whole.diagonal()[~stars.contested[good]])
        assert abs(np.median(told) - 1) < 4 * np.sqrt(2 / 100) / 2
        assert np.std(told) < 0.1
    assert_unit(np.concatenate(pulls))


def test_chi2_is_that_of_the_measurements(sequences):
    chi2, dof = (sum(getattr(result, name) for result, *_ in sequences) for name in ("chi2", "dof"))
    # Four standard deviations of chi2, and up to 1 % for what hides below the clip: 1 % of variable stars, a few sigma.
    assert abs(chi2 / dof - 1) < 4 * np.sqrt(2 / dof) + 0.01


def test_drawn_errors_agree_with_the_inverse_of_the_matrix():
    table, _ = star_measurements(TINY, dithered_sequence(30, TINY), 1500, EFFECTS, seed=1)
    model, _, _ = starflat_model(table, TINY, RECIPE)
    diag = normal.diagonals(model)
    chosen = gauge.exact_gauge(model, diag, gauge.labelled(model, diag))
    precondition = solver.preconditioner(model, diag, chosen.direction, "iterative")

    exact = np.diag(uncertainty.covariance(model, diag, chosen))
    n = 48
    drawn, _, _ = uncertainty.drawn(model, diag, chosen, precondition, n, seed=3)

    # The plane of a free map is nearly unknown, so nothing of a variance is known without draws:
    # a variance from n draws scatters by sqrt(2 / n), the same for all that follow one plane.
    ratio = drawn / exact
    assert abs(np.median(ratio) - 1) < 4 * np.sqrt(2 / n)
    assert np.all(np.abs(ratio - 1) < 6 * np.sqrt(2 / n))


def test_drawn_errors_are_precise_where_a_parameter_owes_little_to_others():
    table, _ = star_measurements(TINY, dithered_sequence(30, TINY), 1500, EFFECTS, seed=1)
    plain = dataclasses.replace(RECIPE, robust=RobustRecipe(clip=np.inf, variable=np.inf))
    exact = fit_starflat(table, TINY, plain).fit
    model, _, _ = starflat_model(table, TINY, RECIPE)
    diag = normal.diagonals(model)
    unseen = gauge.exact_gauge(model, diag, gauge.labelled(model, diag)).direction
    precondition = solver.preconditioner(model, diag, unseen, "iterative")
    variance, _, _ = uncertainty.drawn(model, diag, exact.gauge, precondition, 48, seed=3)
    sigma = np.sqrt(variance[model.span("map")])
    # Plain draws would scatter by 1 / sqrt(2 * 48) = 10 %.
    assert np.std(sigma / exact["map"].sigma) < 0.07


def test_pulls_of_the_zero_points_of_a_survey_are_one():
    """With clean measurements: most stars of this small survey are seen too rarely to betray an outlier."""
    pulls = []
    for seed in range(2):
        pointings = survey(4, 5, TINY, seed=seed)
        effects = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0, outliers=0, variables=0)
        table, truth = star_measurements(TINY, pointings, 2500, effects, seed=seed)
        model, _, _ = ubercal_model(table, TINY, UbercalRecipe(zero_points="quadrant", held_out=0))
        result = fit(model)
        zero, order = result["zero_point"], np.argsort(pointings.exposure)
        at, rcid = order[np.searchsorted(pointings.exposure[order], zero.labels[:, 0])], zero.labels[:, 1]
        off = result.vector - result.gauge.project(truth.zero_point[at] + truth.quadrant_zero_point[at, rcid])
        known = np.isfinite(zero.value)
        covariance = uncertainty.covariance(model, normal.diagonals(model), result.gauge)
        pulls.append(independent_pulls(off[known], covariance[np.ix_(known, known)]))
    assert_unit(np.concatenate(pulls))
