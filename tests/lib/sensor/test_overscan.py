"""What overscan subtraction must not depend on, and how well it must do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.camera import ZTF, flip_readout
from ztf_in2p3.errors import BadData
from ztf_in2p3.sensor.overscan import overscan_level, stored_overscan_level

READ_NOISE = 9 / 6
"""ADU."""
MEAN_OF_5 = np.sqrt(1 / 5)
"""Standard deviation of the mean of five values of 1."""

cubics = arrays(float, 4, elements=st.floats(-20, 20))
qids = st.integers(1, 4)


def drift_of(coefficients, n_row):
    return np.polynomial.Polynomial(coefficients)(np.linspace(-1, 1, n_row))


@given(cubics, qids)
def test_a_cubic_drift_shared_by_image_and_overscan_leaves_no_trace(coefficients, qid):
    """In the order of the image's rows, whichever amplifier: first with the charge the first columns read hold."""
    drift = drift_of(coefficients, 200)
    deferred = flip_readout(np.tile(200 * np.exp(-np.arange(30.0)), (200, 1)), qid)

    level = stored_overscan_level(1000 + drift[:, np.newaxis] + deferred, qid)

    # 25 columns on, 200 exp(-25) = 3e-9 ADU of the charge is left.
    np.testing.assert_allclose(level, 1000 + drift, atol=1e-8)


@given(qids, st.integers(0, 2**32 - 1))
def test_the_storage_order_of_an_amplifier_does_not_matter(qid, seed):
    read = np.random.default_rng(seed).normal(1000, READ_NOISE, (60, 30))
    stored = flip_readout(read, qid)
    expected = flip_readout(overscan_level(read)[:, np.newaxis], qid)[:, 0]
    np.testing.assert_allclose(stored_overscan_level(stored, qid), expected, rtol=0, atol=1e-9)


@given(st.floats(-1000, 1000), st.integers(0, 2**32 - 1))
def test_a_shift_in_gives_the_same_shift_out(shift, seed):
    overscan = np.random.default_rng(seed).normal(1000, READ_NOISE, (60, 30))
    np.testing.assert_allclose(overscan_level(overscan + shift), overscan_level(overscan) + shift, atol=1e-8)


@pytest.mark.parametrize("qid", [1, 2, 3, 4])
def test_the_residual_of_a_cubic_drift_is_that_of_four_coefficients(qid):
    n_row, n_trial = ZTF.shape[0], 40
    squares = []
    for trial in range(n_trial):
        rng = np.random.default_rng([qid, trial])
        drift = 3 * drift_of(rng.uniform(-1, 1, 4), n_row)
        read = rng.normal(drift[:, np.newaxis], READ_NOISE, (n_row, ZTF.overscan_columns))
        read[:, :10] += 100  # deferred charge
        stored = flip_readout(read, qid)
        truth = flip_readout(drift[:, np.newaxis], qid)[:, 0]
        squares.append(np.mean((stored_overscan_level(stored, qid) - truth) ** 2))

    # A least-squares fit of p parameters to n rows of noise s errs by s sqrt(p / n) rms: 0.024 ADU.
    expected = READ_NOISE * MEAN_OF_5 * np.sqrt(4 / n_row)
    # 40 trials of 4 squares each know a variance to sqrt(2/160); the clip at 3 sigma costs 3 % of the rows'
    # information (skipped mean: integral of x^2 phi over the square of 2 Phi - 1 - 2 k phi), 1.5 % of the noise.
    assert np.sqrt(np.mean(squares)) < expected * (1 + 4 * np.sqrt(2 / 160) / 2 + 0.015)
    assert np.sqrt(np.mean(squares)) > expected * (1 - 4 * np.sqrt(2 / 160) / 2)
    assert max(squares) < 0.1**2


@pytest.mark.parametrize("level", [1000.0, 1000.25, 1000.5])
def test_whole_numbers_without_drift_tell_as_much_as_fractions(level):
    """Where the offset lies half-way between two numbers of the converter, medians of a row are one or the other."""
    rng, n_row, errors = np.random.default_rng(round(4 * level)), ZTF.shape[0], []
    for _ in range(40):
        read = np.rint(rng.normal(level, np.sqrt(READ_NOISE**2 - 1 / 12), (n_row, 5)))
        errors.append(np.mean(overscan_level(read)) - level)
    expected = READ_NOISE * MEAN_OF_5 / np.sqrt(n_row)
    # 40 squares: their mean is known to sqrt(2/40), its root to half; 1.5 % for the clipping.
    assert np.sqrt(np.mean(np.square(errors))) < expected * (1.015 + 4 * np.sqrt(2 / 40) / 2)
    assert np.abs(errors).max() < 0.05


def test_rows_with_a_bright_star_in_the_overscan_do_not_count():
    rng = np.random.default_rng(7)
    drift = 3 * drift_of([0.3, -1, 0.5, 1], 1000)
    overscan = rng.normal(drift[:, np.newaxis], READ_NOISE, (1000, 30))
    overscan[880:] += 300  # twelve rows in a hundred, all at one end, where they pull most
    error = overscan_level(overscan) - drift
    # Beyond the last row used the cubic is extrapolated: compare where there are data.
    assert np.sqrt(np.mean(error[:880] ** 2)) < 4 * READ_NOISE * MEAN_OF_5 * np.sqrt(4 / 880)


def test_samples_without_data_are_left_out():
    overscan = np.tile(np.arange(100.0)[:, np.newaxis], (1, 30))
    overscan[:, -1] = np.nan
    overscan[10:20] = np.nan
    np.testing.assert_allclose(overscan_level(overscan), np.arange(100.0), atol=1e-9)


def test_an_overscan_without_data_is_refused():
    overscan = np.full((100, 30), np.nan)
    overscan[:3] = 1.0
    with pytest.raises(BadData, match="3 of 100 rows"):
        overscan_level(overscan)
