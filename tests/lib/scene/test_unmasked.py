"""What no mask knows of: a light curve is right within its errors, or says which exposure it does not trust."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.scene.reduce import with_noise
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import ExposureFlag, FitFlag, Series
from ztf_in2p3.scene.trouble import plateaux, worst_shape


def trail(side: int, peak: float, angle: float, offset: float) -> np.ndarray:
    """A satellite's, straight across a stamp, 2.5 pixels wide."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    away = x * np.sin(angle) - y * np.cos(angle) - offset
    return peak * np.exp(-0.5 * (away / (2.5 / 2.355)) ** 2)


@pytest.fixture(scope="module")
def five_quiet(clean) -> tuple[np.ndarray, Series]:
    """True fluxes and a series with noise, five of its exposures before the transient."""
    simulated, series = clean
    noisy = with_noise(simulated, series, 21)
    kept = np.arange(3, len(series))
    names = ("mjd", "data", "bad", "variance", "gain", "origin", "matrix", "shift_error", "throughput",
             "throughput_error", "active", "flux_floor")  # fmt: skip
    parts = {name: getattr(noisy, name)[kept] for name in names}
    return simulated.flux[kept], replace(noisy, psf=tuple(noisy.psf[i] for i in kept), **parts)


def worst_pull(fit, plain) -> float:
    """Largest change of a flux that is still measured, in its error."""
    both = fit.measured & plain.measured
    return float(np.max(np.abs(fit.flux - plain.flux)[both] / fit.error[both]))


@pytest.mark.parametrize("peak", [30.0, 100.0, 400.0])
@pytest.mark.parametrize(("angle", "offset"), [(0.4, 0.0), (1.9, 3.0)])
def test_a_trail_in_one_of_five_quiet_exposures_moves_no_flux(five_quiet, peak, angle, offset):
    true, series = five_quiet
    data = series.data.copy()
    data[2] += trail(series.side, peak, angle, offset)
    plain, fit = fit_scene(series), fit_scene(replace(series, data=data))
    assert fit.exposure_flag[2] & (ExposureFlag.TROUBLE | ExposureFlag.DROPPED)
    # Without the pixels of one of five quiet exposures the galaxy changes by half of its own noise, or so.
    assert worst_pull(fit, plain) < 1
    some = fit.measured
    chi2 = (fit.flux - true)[some] @ np.linalg.solve(fit.covariance, (fit.flux - true)[some])
    assert chi2 < some.sum() + 4 * np.sqrt(2 * some.sum())


@pytest.mark.parametrize("peak", [30.0, 100.0, 400.0])
def test_a_trail_over_the_transient_costs_that_flux_and_no_other(five_quiet, peak):
    _, series = five_quiet
    data = series.data.copy()
    data[9] += trail(series.side, peak, 1.0, 0.3)
    plain, fit = fit_scene(series), fit_scene(replace(series, data=data))
    assert fit.exposure_flag[9] & (ExposureFlag.TROUBLE | ExposureFlag.DROPPED)
    assert not fit.measured[9] or abs(fit.flux[9] - plain.flux[9]) < 3 * fit.error[9]
    others = replace_measured(fit, 9)
    assert np.max(np.abs(fit.flux - plain.flux)[others] / fit.error[others]) < 1


def replace_measured(fit, left_out: int) -> np.ndarray:
    """(exposure,): measured, but for one."""
    return fit.measured & (np.arange(len(fit.measured)) != left_out)


@pytest.mark.parametrize("light", [4e5, 2e6])
def test_a_saturated_core_gives_no_flux(five_quiet, light):
    _, series = five_quiet
    data = series.data.copy()
    source = series.psf[8].draw(*series.origin[8], (series.side, series.side))[0]
    data[8] = np.minimum(data[8] + light * source, 30000.0)
    plain, fit = fit_scene(series), fit_scene(replace(series, data=data))
    assert not fit.measured[8]
    assert fit.exposure_flag[8] & (ExposureFlag.MASKED | ExposureFlag.DROPPED)
    others = replace_measured(fit, 8)
    assert np.max(np.abs(fit.flux - plain.flux)[others] / fit.error[others]) < 1


def test_an_exposure_of_another_sky_is_left_out(five_quiet):
    _, series = five_quiet
    data = series.data.copy()
    data[1] = np.rot90(data[1] - np.median(data[1])) * 1.5 + np.median(data[1])
    plain, fit = fit_scene(series), fit_scene(replace(series, data=data))
    assert fit.exposure_flag[1] & ExposureFlag.DROPPED
    assert worst_pull(fit, plain) < 1.5


def test_healthy_exposures_are_not_suspected(clean):
    simulated, series = clean
    flags, fits = [], []
    for seed in range(4):
        fit = fit_scene(with_noise(simulated, series, 100 + seed))
        flags.append(fit.exposure_flag & ~ExposureFlag.QUIET)
        fits.append(fit)
    assert not np.any(flags)
    assert not any(fit.flag.fails or fit.flag & FitFlag.INFLUENCED for fit in fits)
    # chi2 over its degrees of freedom, the galaxy's parameters counted: 1, with sqrt(2 / n) of 64 exposures of 289
    # pixels, and as much as the number of the galaxy's parameters that its light can tell is uncertain.
    found = np.sum([fit.chi2 for fit in fits]) / np.sum([fit.freedom for fit in fits])
    assert abs(found - 1) < 0.06


def test_a_star_between_four_pixels_has_no_plateau_and_a_clipped_one_has():
    y, x = np.mgrid[:19, :19]
    star = 300 + 60000 * np.exp(-0.5 * ((x - 8.5) ** 2 + (y - 8.5) ** 2) / 1.5**2)
    star += np.random.default_rng(8).normal(0, np.sqrt(star / 6))
    stamps, bad = np.array([star, np.minimum(star, 20000.0)]), np.zeros((2, 19, 19), bool)
    found = plateaux(stamps, bad, np.full(2, 60.0))
    assert not found[0].any()
    assert found[1][star > 20000].all()
    assert found[1].sum() < 60


def test_noise_has_no_trails():
    rng = np.random.default_rng(4)
    keep = np.ones(289, bool)
    worst = max(worst_shape(rng.standard_normal(289), keep, np.zeros(289), 17)[0] for _ in range(300))
    assert worst < 5.5  # 500 shapes, 300 draws: 4.5 once, 6.5 never
