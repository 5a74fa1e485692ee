"""The light curve against what was simulated, with another PSF than the fitted one."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.scene.reduce import amplitude, with_noise
from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import FitFlag
from ztf_in2p3.simulate.transient import light_curve, simulate_transient

MMAG = 2.5 / np.log(10) * 1000


@pytest.mark.parametrize(("step", "limit"), [(1.0, 0.3), (0.75, 0.15)])
def test_without_noise_the_light_curve_is_the_true_one(clean, step, limit):
    simulated, series = clean
    fit = fit_scene(series, SceneRecipe(step=step))
    assert abs(amplitude(simulated, fit)) < limit
    off = np.abs(fit.flux - simulated.flux)[fit.measured]
    assert MMAG * off.max() / simulated.flux.max() < 0.5
    # The transient lies elsewhere on its pixels than the stars that say where the PSF has its centre: 5e-3 pixels.
    np.testing.assert_allclose(fit.position, simulated.plan.offset, atol=6e-3)


@pytest.mark.parametrize("host_mag", [None, 18.0])
def test_noise_of_the_stars_goes_no_further_than_the_throughputs_errors(noisy, host_mag):
    exact = simulate_transient(replace(noisy.simulated.plan, noise=False, host_mag=host_mag, n_star=1))
    fit = fit_scene(replace(noisy.series, data=exact.data))
    true = exact.flux[fit.measured]
    error = MMAG * noisy.ratios.error[fit.measured]
    # An amplitude is the mean of flux ratios weighted by flux^2; the PSF's noise counts as much as the throughput's.
    sigma = np.sqrt(2 * np.sum((error * true**2) ** 2)) / np.sum(true**2)
    assert abs(amplitude(exact, fit)) < 4 * sigma


def test_seeing_below_the_pixel_is_still_modelled(clean_sharp):
    simulated, series = clean_sharp
    assert simulated.seeing.min() < 1.6
    fit = fit_scene(series, SceneRecipe(step=0.5))
    # The host's light through the PSF that sharp stars tell: 0.1 mmag at 18 mag, none without; 0.3 here, 0.4 at step 1.
    assert abs(amplitude(simulated, fit)) < 0.5
    off = np.abs(fit.flux - simulated.flux)[fit.measured]
    assert MMAG * off.max() / simulated.flux.max() < 0.5


@pytest.mark.parametrize("peak", [18.0, 20.0, 22.0, None])
def test_errors_are_right_at_any_brightness_and_without_a_transient(clean, peak):
    """Pulls of many noise draws: mean 0, deviation 1, chi2 its expectation, each within four standard errors."""
    simulated, series = clean
    scale = 0.0 if peak is None else 10 ** (0.4 * (simulated.plan.peak_mag - peak))
    at = series.origin + np.einsum("iab,b->ia", series.matrix, simulated.plan.offset)
    data = simulated.data.copy()
    flux = scale * simulated.flux
    for i in np.flatnonzero(simulated.active):
        change = series.throughput[i] * (flux[i] - simulated.flux[i])
        data[i] += change * series.psf[i].draw(at[i, 0], at[i, 1], data.shape[1:])[0]
    changed = replace(simulated, data=data, flux=flux)

    fits = [fit_scene(with_noise(changed, series, seed)) for seed in range(6)]

    some = simulated.active
    off = np.array([fit.flux[some] - flux[some] for fit in fits])
    pulls = off / np.array([fit.error[some] for fit in fits])
    chi2 = np.array([d @ np.linalg.solve(fit.covariance, d) for d, fit in zip(off, fits, strict=True)])
    n = some.sum()
    mean = np.array([np.mean(p) for p in pulls])
    # Dates share the galaxy's noise: the mean over dates has the variance that the covariance says.
    expected = [np.mean(f.covariance / np.outer(f.error[some], f.error[some])) for f in fits]
    assert abs(mean.mean()) < 4 * np.sqrt(np.mean(expected) / len(fits))
    assert abs(chi2.mean() - n) < 4 * np.sqrt(2 * n / len(fits))
    # Correlated pulls count as fewer: n_eff = (sum of eigenvalues)^2 / sum of their squares.
    correlation = fits[0].covariance / np.outer(fits[0].error[some], fits[0].error[some])
    n_eff = n**2 / np.sum(correlation**2) * len(fits)
    assert abs(np.sqrt(np.mean(pulls**2)) - 1) < 4 / np.sqrt(2 * n_eff)
    if peak is None:
        assert sum(FitFlag.POSITION_KEPT in fit.flag for fit in fits) >= len(fits) - 1


@pytest.mark.parametrize("n_quiet", [8, 2, 1])
def test_few_dates_without_the_transient_still_give_the_right_covariance(clean, n_quiet):
    simulated, series = clean
    rows = np.r_[np.arange(8 - n_quiet, 8), np.arange(8, 16)]
    some = replace(series, **{
        name: (tuple(series.psf[i] for i in rows) if name == "psf" else getattr(series, name)[rows])
        for name in series.__slots__
    })  # fmt: skip
    cut = replace(simulated, data=simulated.data[rows])
    true = simulated.flux[rows][some.active]

    chi2 = []
    for seed in range(6):
        fit = fit_scene(with_noise(cut, some, seed))
        d = fit.flux[some.active] - true
        chi2.append(d @ np.linalg.solve(fit.covariance, d))

    # The mean of 6 draws of chi2 with 8 degrees of freedom, within four standard errors.
    assert abs(np.mean(chi2) - len(true)) < 4 * np.sqrt(2 * len(true) / len(chi2))


def test_the_simulated_light_curve_peaks_at_one():
    assert light_curve(np.arange(0, 150, 0.1)).max() == pytest.approx(1, abs=1e-6)
    assert light_curve(np.array([-5.0, 0.0])).max() == 0
