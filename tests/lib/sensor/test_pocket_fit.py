"""The function of a pocket is found in what it shows; the forward model is the simulator's."""

from dataclasses import fields, replace

import numpy as np
import pytest

from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.sensor.pocket_fit import compare, fit_equilibrium
from ztf_in2p3.sensor.pocket_profiles import Profiles, block_profiles
from ztf_in2p3.simulate.pocket import EquilibriumPocket, equilibrium_charge

KELVIN, COLUMNS, NOISE, GAIN, ROWS = 173.0, 30, 1.5, 6.0, 128
"""Kelvin; of the overscan; ADU of read noise; electrons per ADU; rows of a block."""
N_BLOCK = 4
LEVELS = np.geomspace(50, 1500, 6)
SEEDS = range(12)


def of_simulator(observed, kelvin):
    return equilibrium_charge(observed, kelvin, Quadrant(6, 1))


def no_power(observed, kelvin):
    """Bends in the logarithm, which the fit must follow."""
    o = np.maximum(observed, 0)
    return 30 * (1 - 0.01 * (kelvin - KELVIN)) * np.log1p(o / 8) * (1 + (o / 4000) ** 0.8) ** 0.3


def profiles_of(function, seed, *, n_sky=40, n_flat=6):
    """Means of the blocks of many exposures, with the noise of means; first pixels of a block respond in their way."""
    rng = np.random.default_rng(seed)
    sky, flat = np.exp(rng.uniform(np.log(80), np.log(1500), n_sky)), rng.uniform(15_000, 40_000, n_flat)
    block = np.tile(np.arange(N_BLOCK), n_sky + n_flat)
    level, kelvin = np.repeat(np.append(sky, flat), N_BLOCK), np.repeat(rng.uniform(171, 175, n_sky + n_flat), N_BLOCK)
    true = np.repeat(level[:, None], 40, axis=1)
    true[:, 0] *= 1 + rng.normal(0, 0.01 / np.sqrt(ROWS), N_BLOCK)[block] + rng.normal(0, 0.003)
    image, behind = EquilibriumPocket(lambda observed: function(observed, kelvin)).read(true, COLUMNS)
    error, of_light = np.full(len(level), NOISE / np.sqrt(ROWS)), np.sqrt((level / GAIN + NOISE**2) / ROWS)
    floor = rng.normal(0, 1, len(level))  # what the plain offset has wrong
    behind += rng.normal(0, 1, behind.shape) * error[:, None] + floor[:, None]
    first = image[:, 0] + of_light * rng.normal(0, 1, len(level)) + floor
    return Profiles(
        block, np.full_like(block, ROWS), kelvin, level + floor, behind, error, first, level + floor, of_light
    )


@pytest.fixture(scope="module", params=[of_simulator, no_power])
def fits(request):
    return request.param, [fit_equilibrium(profiles_of(request.param, seed)) for seed in SEEDS]


def test_the_function_is_found_within_its_errors(fits):
    function, found = fits
    pulls = np.array([
        (fit.charge(LEVELS, kelvin) / function(LEVELS, kelvin) - 1) / fit.relative_error(LEVELS, kelvin)
        for fit in found for kelvin in (171.5, 174.5)
    ])  # fmt: skip
    assert np.abs(pulls).max() < 4.5
    # Levels and temperatures of a fit are wrong together, so there are as many independent ones as fits.
    assert abs(pulls.mean()) < 4 / np.sqrt(len(found))
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=4 / np.sqrt(2 * len(found)))


def test_a_few_exposures_tell_it_to_a_tenth_of_an_adu(fits):
    function, found = fits
    # 184 first pixels, each known to 0.4 to 1.4 ADU, fix the constant: weighted, 0.06 ADU.
    errors = np.array([fit.relative_error(LEVELS, KELVIN) * fit.charge(LEVELS, KELVIN) for fit in found])
    assert errors.max() < 0.15
    wrong = np.array([fit.charge(LEVELS, KELVIN) - function(LEVELS, KELVIN) for fit in found])
    assert np.sqrt(np.mean(wrong**2)) < 0.15
    # 1300 degrees of freedom or more in each of the fits.
    freedom = 5000 * len(found)
    assert np.mean([fit.chi2 for fit in found]) == pytest.approx(1, abs=4 * np.sqrt(2 / freedom) + 0.01)


def test_the_overscan_alone_does_not_know_a_constant():
    """f and f + constant release alike: without the first pixels the fit must say how little it knows."""
    profiles = profiles_of(no_power, 1)
    fit = fit_equilibrium(replace(profiles, first=np.full(len(profiles), np.nan)))
    wrong = fit.charge(LEVELS, KELVIN) - no_power(LEVELS, KELVIN)
    known = fit_equilibrium(profiles).relative_error(LEVELS, KELVIN)
    assert (fit.relative_error(LEVELS, KELVIN) > 4 * known).all()
    # The same at all levels, to the error of a profile's sum over that of 184: 1.5 x sqrt(30 / (128 x 184)).
    assert np.ptp(wrong) < 4 * NOISE * np.sqrt(COLUMNS / (ROWS * 184)) + 0.1


def test_spoilt_profiles_are_left_out():
    profiles = profiles_of(of_simulator, 3)
    spoilt = np.arange(5, len(profiles), 40)
    rng = np.random.default_rng(5)
    profiles.overscan[spoilt] += rng.exponential(8, (len(spoilt), COLUMNS))
    profiles.first[spoilt + 1] += 300  # a star at the beginning of the rows
    fit = fit_equilibrium(profiles)
    assert not fit.used[spoilt].any()
    assert fit.used.mean() > 0.95
    wrong = fit.charge(LEVELS, KELVIN) / of_simulator(LEVELS, KELVIN) - 1
    assert np.abs(wrong / fit.relative_error(LEVELS, KELVIN)).max() < 4


def test_a_sum_over_a_floor_of_the_last_columns_would_be_low():
    """What the fit is for."""
    profiles = profiles_of(of_simulator, 0)
    sky = profiles.level < 1500
    naive = (profiles.overscan - profiles.overscan[:, -5:].mean(axis=1, keepdims=True)).sum(axis=1)
    assert np.median((naive / of_simulator(profiles.level, profiles.kelvin))[sky]) < 0.95


def test_profiles_scatter_about_a_right_function_as_their_errors_say():
    profiles = profiles_of(no_power, 7)
    function = fit_equilibrium(profiles)
    shown = compare(function, profiles)
    n = len(profiles)
    # One number of each profile, and one of each first pixel; eleven of the parameters' are taken from them.
    for pull in ((shown.ratio - 1) / shown.ratio_error, _filled_pull(function, profiles, shown)):
        assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * n) + 11 / n)
    larger = replace(function, coefficients=function.coefficients + np.append(np.full(12, np.log(1.1)), 0.0))
    # A tenth too much charge, of which the overscan's release in so many columns takes part.
    assert np.median(compare(larger, profiles).ratio) < 0.95


def _filled_pull(function, profiles, shown):
    charge = np.array([function.charge(np.array([o]), k)[0] for o, k in zip(shown.first, profiles.kelvin, strict=True)])
    return (shown.filled - charge) / shown.filled_error


def test_a_fitted_pocket_undoes_the_effect(fits):
    function, found = fits
    pocket, true = found[0].pocket(172.0), np.random.default_rng(1).poisson(400 * GAIN, (50, 300)) / GAIN
    shown = EquilibriumPocket(lambda observed: function(observed, 172.0)).read(true, 0)[0]
    light = shown.astype(np.float32, order="C")
    pocket.recover(light, np.zeros(light.shape, bool), backwards=False)
    error = light.mean(axis=0) - true.mean(axis=0)
    # The first pixel fills the pocket, and shows all of its error; behind it only differences count.
    level = np.array([400.0])
    assert abs(error[0]) < 4 * (found[0].relative_error(level, 172.0) * found[0].charge(level, 172.0))[0]
    assert np.abs(error[1:]).max() < 0.05


def test_blocks_leave_out_rows_that_begin_or_end_on_a_star():
    rng = np.random.default_rng(2)
    true = 400.0 + rng.normal(0, 8, (512, 64))
    true[100:110, 58:] += 5000
    true[300:310, :5] += 5000
    pocket = EquilibriumPocket(lambda observed: of_simulator(observed, KELVIN))
    image, behind = pocket.read(true, COLUMNS)
    image, behind = image + rng.normal(0, NOISE, image.shape), behind + rng.normal(0, NOISE, behind.shape)
    behind[200, 12] += 500  # a cosmic ray
    blocks = block_profiles(image, behind, KELVIN, NOISE, rows=ROWS)
    assert list(blocks.rows) == [118, 127, 128, 128]
    shown, released = EquilibriumPocket(lambda observed: of_simulator(observed, KELVIN)).read(
        np.full((1, 64), 400.0), COLUMNS
    )
    # Noise of the mean over the rows, of 8 columns, of 1 (less than the sky's own), and of a line through 32.
    noise = 8.2 / np.sqrt(ROWS)
    np.testing.assert_allclose(blocks.level, 400, atol=4.5 * noise / np.sqrt(8))
    np.testing.assert_allclose(blocks.first, shown[0, 0], atol=4.5 * noise)
    np.testing.assert_allclose(blocks.start, 400, atol=4.5 * noise * np.sqrt(4 / 32))
    assert (blocks.start_error > noise * 0.9).all()
    # The last pixel's scatter of 8.2 ADU moves the first column by a tenth of it.
    np.testing.assert_allclose(
        blocks.overscan[:, 0], released[0, 0], atol=4.5 * np.hypot(0.1 * noise, blocks.error.max())
    )


def test_a_block_with_few_data_tells_nothing():
    rng = np.random.default_rng(3)
    image = rng.normal(400, 8, (256, 64))
    image[:100, -3] = np.nan
    blocks = block_profiles(image, rng.normal(0, NOISE, (256, COLUMNS)), KELVIN, NOISE, rows=ROWS)
    assert list(blocks.block) == [1]
    assert len(block_profiles(image[:100], image[:100, :COLUMNS], KELVIN, NOISE, rows=ROWS)) == 0


def test_too_few_profiles_are_refused():
    few = profiles_of(of_simulator, 0).take(np.arange(5))
    with pytest.raises(BadData, match="5 overscan profiles for 13 parameters"):
        fit_equilibrium(few)


def test_profiles_are_taken_whole():
    profiles = profiles_of(of_simulator, 0)
    chosen = profiles.take(profiles.block == 2)
    assert {len(getattr(chosen, field.name)) for field in fields(Profiles)} == {46}
