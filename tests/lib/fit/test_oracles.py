"""Fits agree with plain least squares of all parameters at once."""

import numpy as np
import pytest

from tests.lib.fit import oracle
from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.rejection import LONG_ENOUGH
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.model import fit_starflat

MILLI = 1e-3
NO_REJECTION = {"clip": np.inf, "variable": np.inf, "draws": 0}


def simulated(n_star, n_exposure, cells, seed=0, **effects):
    amplitudes = Effects(map_cells=cells, **({"outliers": 0, "variables": 0} | effects))
    table, _ = star_measurements(TINY, dithered_sequence(n_exposure, TINY, seed=seed), n_star, amplitudes, seed=seed)
    return table


def largest_difference(fit, expected):
    """Magnitudes, over all parameters that the measurements determine."""
    return max(np.nanmax(np.abs(fit[name].value - expected[name])) for name in fit.parameters)


@pytest.mark.parametrize("method", ["direct", "iterative"])
@pytest.mark.parametrize("model", ["simple", "zp", "color", "full"])
def test_every_starflat_is_the_least_squares_solution(model, method):
    table = simulated(400, 15, 2)
    recipe = StarflatRecipe(
        model=model, superpixels=2, colour_cells=1, robust=RobustRecipe(method=method, **NO_REJECTION)
    )

    starflat = fit_starflat(table, TINY, recipe)

    blocks = oracle.starflat_columns(table, TINY, superpixels=2, colour_cells=1, model=model)
    lines = oracle.constraints(blocks, TINY, 2, plane=model != "simple")
    expected = oracle.solve_dense(blocks, table["mag"].to_numpy(), oracle.weights(table), lines)
    assert largest_difference(starflat.fit, expected) < 1e-3 * MILLI
    np.testing.assert_allclose(starflat.fit.stars.mag, expected["star"], atol=1e-3 * MILLI)


def two_nights(n_star, cells):
    """Two sequences of one field on two nights, with gains that changed in between."""
    one, other = dithered_sequence(10, TINY, seed=1), dithered_sequence(10, TINY, seed=2, mjd=58590.2)
    both = type(one)(*(np.concatenate([getattr(one, k), getattr(other, k)]) for k in one.__slots__))
    return star_measurements(TINY, both, n_star, Effects(gain=0.01, outliers=0, variables=0, map_cells=cells), seed=3)


@pytest.mark.parametrize("method", ["direct", "iterative"])
def test_gains_of_two_nights_are_the_least_squares_solution(method):
    table, _ = two_nights(400, 2)
    recipe = StarflatRecipe(
        superpixels=2, colour_cells=1, gain=True, robust=RobustRecipe(method=method, **NO_REJECTION)
    )

    starflat = fit_starflat(table, TINY, recipe)

    blocks = oracle.starflat_columns(table, TINY, superpixels=2, colour_cells=1, gain=True)
    lines = oracle.constraints(blocks, TINY, 2)
    expected = oracle.solve_dense(blocks, table["mag"].to_numpy(), oracle.weights(table), lines)
    assert largest_difference(starflat.fit, expected) < 1e-3 * MILLI


@pytest.fixture(scope="module")
def larger():
    table = simulated(6000, 40, 3, outliers=0.01, variables=0.01)
    blocks = oracle.starflat_columns(table, TINY, superpixels=3, colour_cells=1)
    return table, blocks, oracle.constraints(blocks, TINY, 3)


def test_a_hundred_thousand_measurements_agree_with_a_sparse_direct_solution(larger):
    table, blocks, lines = larger
    assert table.num_rows > 1e5
    recipe = StarflatRecipe(superpixels=3, colour_cells=1, robust=RobustRecipe(method="iterative", **NO_REJECTION))

    fit = fit_starflat(table, TINY, recipe).fit

    expected = oracle.solve_sparse(blocks, table["mag"].to_numpy(), oracle.weights(table), lines)
    assert largest_difference(fit, expected) < 1e-3 * MILLI
    assert fit.converged


def test_a_hundred_thousand_measurements_lose_the_rows_that_the_plain_rule_rejects():
    table = simulated(6000, 40, 3, outliers=0.01, variables=0)
    assert table.num_rows > 1e5
    blocks = oracle.starflat_columns(table, TINY, superpixels=3, colour_cells=1)
    lines = oracle.constraints(blocks, TINY, 3)

    expected, rejected = oracle.reject_one_at_a_time(blocks, table["mag"].to_numpy(), oracle.weights(table), lines)
    fit = rejecting(table, None, variable=np.inf)

    # A row that stands at the clip itself may be on either side: no more than one in a thousand.
    assert len(np.setxor1d(fit.rejected, rejected)) <= 1
    assert largest_difference(fit, expected) < 0.4 * MILLI


def rejecting(table, steps, **how):
    """A fit in which a star may lose so many measurements between two solutions."""
    robust = RobustRecipe(draws=0, steps=steps, **how)
    return fit_starflat(table, TINY, StarflatRecipe(superpixels=3, colour_cells=1, robust=robust)).fit


def in_common(one, other):
    """Rejected by both, of those that either rejects (Jaccard)."""
    return len(np.intersect1d(one.rejected, other.rejected)) / len(np.union1d(one.rejected, other.rejected))


def test_many_rejections_between_solutions_end_where_one_at_a_time_does(larger):
    table, _, _ = larger
    many, one = rejecting(table, LONG_ENOUGH), rejecting(table, 1)
    assert in_common(many, one) >= 0.999  # one in a thousand may stand at the clip itself
    assert many.rounds < one.rounds / 2


def test_three_hundred_thousand_measurements_lose_what_they_lose_one_at_a_time():
    table = simulated(12000, 60, 3, outliers=0.01, variables=0.01)
    assert table.num_rows > 3e5
    usual, one = rejecting(table, None), rejecting(table, 1)
    assert in_common(usual, one) >= 0.999
    assert usual.rounds < one.rounds / 2
