"""What real data do, and what the fit says of it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.scene.reduce import amplitude, star_series, widened, with_noise
from ztf_in2p3.errors import BadData
from ztf_in2p3.scene.errors import DegenerateScene, NothingToFit
from ztf_in2p3.scene.fit import fit_scene, fit_star
from ztf_in2p3.scene.model import ExposureFlag, FitFlag
from ztf_in2p3.simulate.transient import simulate_transient


def test_without_a_quiet_date_the_degeneracy_is_explained(clean):
    _, series = clean
    with pytest.raises(DegenerateScene, match=r"constant more in all fluxes.*before the transient"):
        fit_scene(replace(series, active=np.ones(len(series), bool)))
    assert issubclass(DegenerateScene, BadData)


def test_a_quiet_date_whose_pixels_are_masked_does_not_count(clean):
    _, series = clean
    bad = series.bad.copy()
    bad[~series.active] = True
    with pytest.raises(DegenerateScene):
        fit_scene(replace(series, bad=bad))


def test_when_nothing_is_left_it_is_said(clean):
    _, series = clean
    with pytest.raises(NothingToFit, match="16 unusable"):
        fit_scene(replace(series, bad=np.ones(series.bad.shape, bool)))
    with pytest.raises(NothingToFit, match="16 before or after"):
        fit_scene(replace(series, active=np.zeros(len(series), bool)))


def test_a_masked_position_gives_no_flux_and_leaves_the_others_alone(clean):
    _, series = clean
    bad = series.bad.copy()
    bad[10, 5:10, 5:10] = True
    data = series.data.copy()
    data[10, 5:10, 5:10] = np.nan
    whole, fit = fit_scene(series), fit_scene(replace(series, bad=bad, data=data))
    assert np.isnan(fit.flux[10])
    assert not fit.measured[10]
    assert fit.exposure_flag[10] & ExposureFlag.MASKED
    others = series.active & (np.arange(len(series)) != 10)
    np.testing.assert_allclose(fit.flux[others], whole.flux[others], atol=0.05 * np.nanmin(fit.error))


def test_hot_pixels_are_found_and_cost_no_flux(clean):
    simulated, series = clean
    rng = np.random.default_rng(5)
    noisy = with_noise(simulated, series, 11)
    data, hit = noisy.data.copy(), np.zeros(noisy.data.shape, bool)
    for i in range(len(series)):
        x, y = rng.integers(1, 14, 2)
        if i in (9, 12):
            x, y = 8, 7  # beside the source
        hit[i, y, x] = True
        data[i, y, x] += 3000
    plain, fit = fit_scene(noisy), fit_scene(replace(noisy, data=data))
    assert fit.rejected[hit].all()
    # A pixel less moves a flux by a part of its error; a pixel of 3000 ADU kept would move it by twenty.
    shifts = (fit.flux - plain.flux)[series.active] / plain.error[series.active]
    assert np.abs(shifts).max() < 1.5
    # 5 sigma: one good pixel in two million.
    assert fit.rejected.sum() - hit.sum() <= 3


@pytest.mark.parametrize("off", [(1.0, 0.0), (-0.7, 0.7)])
def test_a_catalogue_position_wrong_by_an_arcsecond_is_corrected(clean, off):
    simulated, series = clean
    noisy = with_noise(simulated, series, 7)
    right = fit_scene(noisy)
    moved = replace(noisy, origin=series.origin + np.einsum("iab,b->ia", series.matrix, np.array(off)))
    fit = fit_scene(moved)
    sigma = np.sqrt(np.diag(fit.position_covariance))
    # The nodes and the prior moved along: the positions agree within a small part of their error.
    assert np.all(np.abs(fit.position + off - right.position) < 0.3 * sigma + 0.01)
    shifts = (fit.flux - right.flux)[series.active] / right.error[series.active]
    assert np.abs(shifts).max() < 0.5


def test_a_nucleus_under_the_transient_is_told_from_it(clean):
    simulated, series = clean
    plan = replace(simulated.plan, nucleus=0.1, noise=False)
    nuclear = simulate_transient(plan)
    fit = fit_scene(with_noise(nuclear, series, 3))
    some = series.active
    pulls = (fit.flux - nuclear.flux)[some] / fit.error[some]
    d = (fit.flux - nuclear.flux)[some]
    chi2 = d @ np.linalg.solve(fit.covariance, d)
    assert abs(chi2 - some.sum()) < 4 * np.sqrt(2 * some.sum())
    assert np.abs(pulls).max() < 4


def test_stars_are_measured_by_the_same_fit_with_their_proper_motion(noisy):
    simulated = noisy.simulated
    chi2, freedom, motion = 0.0, 0, []
    for s in np.argsort(-simulated.star_flux)[::4]:
        fit = fit_star(star_series(noisy, int(s)))  # as a catalogue without proper motions has it
        chi2, freedom = chi2 + fit.constant()[2], freedom + len(fit.covariance) - 1
        if FitFlag.POSITION_KEPT not in fit.flag:
            off = fit.position[2:] - simulated.star_motion[s]
            motion.append(off / np.sqrt(np.diag(fit.position_covariance))[2:])
    # Stars do not vary: chi2 within four standard errors, and 20 % for errors of the PSF that stars share.
    assert abs(chi2 / freedom - 1) < 4 * np.sqrt(2 / freedom) + 0.2
    pulls = np.concatenate(motion)
    assert abs(np.std(pulls) - 1) < 4 / np.sqrt(2 * len(pulls)) + 0.2


def test_a_psf_too_wide_takes_the_same_share_of_every_star(clean):
    _, series = clean
    side = series.side
    wide = replace(series, psf=tuple(psf.widened(1.03) for psf in series.psf))
    biases = []
    for flux in 10 ** np.linspace(3, 5, 6):  # five magnitudes of stars with the PSF that was right
        data = np.array([300 + r * flux * p.draw(7.2, 6.9, (side, side))[0]
                         for r, p in zip(series.throughput, series.psf, strict=True)])  # fmt: skip
        star = replace(wide, data=data, active=np.ones(len(wide), bool), origin=np.tile([7.2, 6.9], (len(wide), 1)))
        biases.append(fit_star(star, motion=False).flux / flux)
    # The same share of every star, 1.7 % in all (by flat weights 3 %); Poisson weights would make it depend on
    # the magnitude.
    magnitudes = -2.5 * np.log10(np.mean(biases, axis=1))
    assert abs(magnitudes.mean()) > 0.015
    assert np.ptp(magnitudes) * 1000 / 5 < 0.05  # mmag per magnitude


@pytest.mark.parametrize("host_mag", [None, 20.0, 18.0, 16.5])
def test_a_psf_too_wide_harms_neither_stars_nor_transient(quiet_stars, host_mag):
    wide = widened(quiet_stars, 1.03)
    simulated = wide.simulated
    # To second order: a thousandth.
    np.testing.assert_allclose([one.width for one in wide.local], 1 / 1.03 - 1, atol=2e-4)
    flux = np.array([f.flux / one.flux_fraction for f, one in zip(wide.fluxes, wide.local, strict=True)])
    residual = -2500 * np.log10(flux / wide.ratios.ratio[:, None] / simulated.star_flux).mean(axis=0)
    slope, _ = np.polyfit(-2.5 * np.log10(simulated.star_flux), residual, 1)
    assert abs(slope) < 0.05  # mmag per magnitude, over five magnitudes
    exact = simulate_transient(replace(simulated.plan, host_mag=host_mag, n_star=1))
    # Through PSFs that are too wide, host and all, it would be 0.6, 0.6, 0.9 and 1.9 mmag (60 exposures: 3.4).
    assert abs(amplitude(exact, fit_scene(replace(wide.series, data=exact.data)))) < 1
