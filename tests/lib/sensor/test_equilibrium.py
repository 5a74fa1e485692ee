"""The equilibrium pocket is undone, its function found in what it releases; the forward model is the simulator's."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lib.errors import BadData
from lib.identifiers import Quadrant
from lib.sensor.equilibrium import NODES, Equilibrium
from lib.sensor.pocket_fit import Profiles, block_profiles, fit_equilibrium
from lib.simulate.pocket import equilibrium_charge, pocket_of

QUADRANT, KELVIN = Quadrant(6, 1), 173.0
POCKET = Equilibrium(equilibrium_charge(NODES.astype(float), KELVIN, QUADRANT).astype(np.float32))
COLUMNS = 30


def read(true, kelvin=KELVIN):
    return pocket_of("equilibrium", date(2020, 1, 1), QUADRANT, kelvin).read(true, COLUMNS)


def recovered(observed, *, backwards=False):
    light = observed.astype(np.float32)
    left, n_lost = POCKET.recover(light, np.zeros(light.shape, bool), backwards=backwards)
    assert n_lost == 0
    return light, left


@settings(max_examples=60, deadline=None)
@given(rows=arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=st.floats(20, 60_000)))
def test_any_row_comes_back_with_its_overscan(rows):
    observed, behind = read(rows)
    light, left = recovered(observed)
    # The table is straight between nodes 1/64 of an octave apart: 1e-5 of 300 ADU, and float32 of 60 000.
    np.testing.assert_allclose(light, rows, atol=0.02)
    np.testing.assert_allclose(POCKET.trail(left, COLUMNS), behind, atol=0.01)


@settings(max_examples=40, deadline=None)
@given(rows=arrays(np.float32, (2, 40), elements=st.floats(-1e4, 7e4, width=32)))
def test_charge_is_kept_and_sides_do_not_matter(rows):
    light, left = recovered(rows)
    # What a row lacks is in the pocket: float32 sums of 40 values of up to 7e4.
    np.testing.assert_allclose(light.sum(axis=1, dtype=float) - rows.sum(axis=1, dtype=float), left, atol=1.0)
    mirrored, left_there = recovered(rows[:, ::-1], backwards=True)
    np.testing.assert_array_equal(mirrored[:, ::-1], light)
    np.testing.assert_array_equal(left_there, left)


def test_a_missing_pixel_leaves_the_pocket_as_it_was():
    observed, _ = read(np.full((1, 100), 400.0))
    whole, _ = recovered(observed)
    observed[:, 50] = np.nan
    for backwards in (False, True):
        part = observed[:, ::-1] if backwards else observed
        light = recovered(part, backwards=backwards)[0]
        light = light[:, ::-1] if backwards else light
        np.testing.assert_allclose(np.delete(light, 50, 1), np.delete(whole, 50, 1), atol=0.01)


def test_a_pocket_that_empties_with_the_level_is_none():
    with pytest.raises(ValueError, match="not fall with the level"):
        Equilibrium(POCKET.charge[::-1].copy())


@pytest.fixture(scope="module")
def measured():
    """300 blocks of 128 rows: skies of 80 to 1500 ADU, flats, four kelvins, floors of their own, a few spoilt."""
    rng, n = np.random.default_rng(4), 300
    kelvin, level = rng.uniform(171, 175, n), np.exp(rng.uniform(np.log(80), np.log(1500), n))
    level[::10] = np.exp(rng.uniform(np.log(15_000), np.log(40_000), n // 10))
    error = np.full(n, 1.5 / np.sqrt(128))
    behind = np.array([read(np.full((1, 60), s), k)[1][0] for s, k in zip(level, kelvin, strict=True)])
    behind += rng.normal(0, error[0], behind.shape) + rng.normal(0, 1, (n, 1))
    behind[5::50] += rng.exponential(8, (6, COLUMNS))
    return Profiles(level, kelvin, behind, error)


def test_the_function_is_found_within_its_errors(measured):
    fit = fit_equilibrium(measured)
    assert not fit.used[5::50].any()
    assert fit.used.mean() > 0.95
    # 8700 degrees of freedom: chi2 known to 1.5 %.
    assert fit.chi2 == pytest.approx(1, abs=4 * 0.015)
    level = np.geomspace(1, 40_000, 30)
    for kelvin in (171.5, 173.0, 174.5):
        truth = equilibrium_charge(level, kelvin, QUADRANT)
        pull = (fit.charge(level, kelvin) / truth - 1) / fit.relative_error(level, kelvin)
        assert np.abs(pull).max() < 4  # thirty correlated values
        sky = (level > 80) & (level < 1500)
        assert fit.relative_error(level, kelvin)[sky].max() < 0.05  # most of it is what never leaves in 30 columns
    # A sum over a floor of the last five columns would be low by what these still hold.
    truth = equilibrium_charge(measured.level, measured.kelvin, QUADRANT)
    naive = (measured.overscan - measured.overscan[:, -5:].mean(axis=1, keepdims=True)).sum(axis=1)
    assert np.median((naive / truth)[measured.level < 1500]) < 0.95


def test_a_fitted_pocket_undoes_the_effect(measured):
    fit = fit_equilibrium(measured)
    pocket = fit.pocket(172.0)
    true = np.random.default_rng(1).poisson(400 * 6, (50, 300)) / 6
    light = read(true, 172.0)[0].astype(np.float32)
    pocket.recover(light, np.zeros(light.shape, bool), backwards=False)
    error = light.mean(axis=0) - true.mean(axis=0)
    # The first pixel fills the pocket, and shows all of its error; behind it only differences count.
    level = np.array([400.0])
    assert abs(error[0]) < 4 * (fit.relative_error(level, 172.0) * fit.charge(level, 172.0))[0]
    assert np.abs(error[1:]).max() < 0.05


def test_blocks_leave_out_rows_that_end_on_a_star():
    rng = np.random.default_rng(2)
    true = np.full((512, 64), 400.0) + rng.normal(0, 8, (512, 64))
    true[100:110, 58:] += 5000
    image, behind = read(true)
    image, behind = image + rng.normal(0, 1.5, image.shape), behind + rng.normal(0, 1.5, behind.shape)
    blocks = block_profiles(image, behind, KELVIN, 1.5)
    assert blocks.level.shape == (4,)
    # Noise of the mean over 128 rows and 8 columns; the pocket keeps nothing of an even sky.
    np.testing.assert_allclose(blocks.level, 400, atol=4 * 8.2 / np.sqrt(118 * 8))
    expected = read(np.full((1, 64), 400.0))[1]
    np.testing.assert_allclose(blocks.overscan[:, 0], expected[0, 0], atol=4 * blocks.error.max() + 0.5)


def test_too_few_profiles_are_refused(measured):
    few = Profiles(measured.level[:5], measured.kelvin[:5], measured.overscan[:5], measured.error[:5])
    with pytest.raises(BadData, match="5 overscan profiles for 10 parameters"):
        fit_equilibrium(few)
