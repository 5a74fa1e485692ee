"""Robust numbers are those of the undisturbed sample, and a fit forgets its outliers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.robust_statistics import (
    MEDIAN_PER_MEAN,
    SIGMA_PER_MAD,
    SIGMA_PER_MEAN_DEVIATION,
    clipped_rms,
    finite_median,
    refit,
    robust_sigma,
    robust_sigmas,
)

N = 40_000


@pytest.fixture(scope="module")
def sample():
    return np.random.default_rng(11).normal(3.0, 2.0, N)


def test_the_constants_are_those_of_a_gaussian(sample):
    deviation = np.abs(sample - 3.0)
    # A median absolute deviation is known to 1.17 / sqrt(n) of itself, a mean one to 0.75 / sqrt(n): five of those.
    assert SIGMA_PER_MAD * np.median(deviation) == pytest.approx(2.0, rel=5 * 1.17 / np.sqrt(N))
    assert SIGMA_PER_MEAN_DEVIATION * np.mean(deviation) == pytest.approx(2.0, rel=5 * 0.75 / np.sqrt(N))
    medians = np.median(sample.reshape(-1, 100), axis=1)
    # 400 medians of 100: their scatter is known to 1 / sqrt(800), and n = 100 is within 0.4 % of very many.
    assert medians.std() == pytest.approx(MEDIAN_PER_MEAN * 2.0 / 10, rel=5 / np.sqrt(2 * 400))


@given(share=st.floats(0, 0.2), far=st.floats(100, 1e6))
def test_a_minority_of_outliers_hardly_moves_the_scatter(sample, share, far):
    hit = sample[:4000].copy()
    hit[: int(share * len(hit))] += far
    # With a fifth of the values beyond, the median deviation is the quantile 0.625 of the others: 1.315 times.
    assert 0.9 < robust_sigma(hit) / 2.0 < 1.4


def test_columns_are_as_each_for_itself(sample):
    columns = sample[:1000].reshape(100, 10).astype(np.float32)
    expected = [robust_sigma(column) for column in columns.T]
    np.testing.assert_allclose(robust_sigmas(columns), expected, rtol=1e-6)
    np.testing.assert_allclose(
        robust_sigmas(columns, 3.0), [robust_sigma(column, 3.0) for column in columns.T], rtol=1e-6
    )
    assert robust_sigmas(columns).dtype == np.float32


def test_the_median_of_what_is_known():
    assert finite_median([3.0, np.nan, 1.0, np.inf, 2.0]) == 2.0
    assert np.isnan(finite_median([]))
    assert np.isnan(finite_median([np.nan]))


def test_a_clipped_scatter_forgets_hits_and_keeps_steps_of_whole_numbers(sample):
    hit = np.append(sample - 3.0, np.full(400, 1e4))
    # Clipped at 4 standard deviations a Gaussian loses 0.05 % of its scatter; known to 1 / sqrt(2 n), five of those.
    assert clipped_rms(hit, 3.0, clip=4.0, rounds=5, least=0.0) == pytest.approx(2.0, rel=5 / np.sqrt(2 * N) + 6e-4)
    steps = np.tile([-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 100)
    assert clipped_rms(steps, 0.1, clip=4.0, rounds=5, least=1.0) == pytest.approx(np.sqrt(0.2))
    assert np.isnan(clipped_rms(np.array([5.0]), 0.1, clip=4.0, rounds=2, least=1.0))


def line(x, y, limit):
    def fit(used):
        coefficients = np.polynomial.polynomial.polyfit(x[used], y[used], 1)
        return coefficients, np.abs(y - np.polynomial.polynomial.polyval(x, coefficients)) < limit

    return fit


def test_a_fit_forgets_its_outliers_and_takes_back_what_they_had_pushed_out():
    x = np.arange(20.0)
    y = 1 + 2 * x
    y[-1] += 200  # drags the line: good points are rejected along with it at first
    first = line(x, y, 15.0)(np.ones(20, bool))[1]
    assert not first[:-1].all()

    coefficients, used = refit(line(x, y, 15.0), np.ones(20, bool), 20)

    np.testing.assert_allclose(coefficients, [1, 2], atol=1e-12)
    np.testing.assert_array_equal(used, np.arange(20) < 19)


def test_a_search_ends_with_its_rounds_or_when_nothing_changes():
    masks = []

    def undecided(used):
        masks.append(used)
        return len(masks), ~used

    result, used = refit(undecided, np.zeros(3, bool), 4)
    assert (result, used.tolist()) == (4, [False] * 3)
    assert refit(lambda used: ("as it is", used), np.ones(2, bool), 4)[0] == "as it is"
    with pytest.raises(ValueError, match="at least one"):
        refit(undecided, np.zeros(3, bool), 0)
