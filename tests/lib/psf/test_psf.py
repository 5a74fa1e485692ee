"""The PSF, the stars measured with it, the WCS and the throughputs they give."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.scene.reduce import local_psf, stamps_of
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.fit import fit_psf
from ztf_in2p3.psf.goodness import growth_residual, magnitude_slope, width_slope
from ztf_in2p3.psf.model import Psf
from ztf_in2p3.psf.stars import StarStamps, measure_stars
from ztf_in2p3.scene.local import LocalWcs, photometric_ratios, refine_wcs
from ztf_in2p3.simulate.transient import simulate_transient

MMAG = 2500 / np.log(10)


@settings(max_examples=20, deadline=None)
@given(fwhm=st.floats(1.8, 4), beta=st.floats(2.5, 6), x=st.floats(29, 31), y=st.floats(29, 31))
def test_a_psf_has_unit_flux_and_its_slopes_are_its_derivatives(fwhm, beta, x, y):
    psf = Psf.round_moffat(fwhm, beta)
    value, by_x, by_y = psf.draw(x, y, (61, 61))
    beyond = (1 + (29 / (fwhm / 2)) ** 2 * (2 ** (1 / beta) - 1)) ** (1 - beta)  # flux outside 29 pixels
    # A profile sampled rather than integrated: aliases of 1 % at 1.8 pixels and steep wings.
    assert value.sum() == pytest.approx(1, abs=2 * beyond + 0.02)
    eps = 1e-5
    for slope, (dx, dy) in ((by_x, (eps, 0)), (by_y, (0, eps))):
        change = psf.draw(x + dx, y + dy, (61, 61))[0] - psf.draw(x - dx, y - dy, (61, 61))[0]
        np.testing.assert_allclose(slope, change / (2 * eps), atol=1e-7)


def test_the_psf_describes_stars_of_another_family(quiet_stars):
    simulated = quiet_stars.simulated
    stamps = stamps_of(simulated, 0)
    _, used, fluxes = fit_psf(stamps)
    assert used.all()
    ratio = fluxes.flux / simulated.star_flux
    # Of the 0.5 mmag that stars may scatter beyond their photons.
    assert MMAG * np.std(ratio) / np.mean(ratio) < 0.2
    radii, residual = growth_residual(stamps, fluxes, used)
    assert np.abs(residual[radii <= 5]).max() < 1e-3


def test_a_galaxy_among_the_stars_is_left_out(noisy):
    stamps = stamps_of(noisy.simulated, 0)
    data = stamps.data.copy()
    bright = np.argsort(-noisy.simulated.star_flux)[3]
    data[bright] += 0.7 * np.roll(data[bright], 2, axis=1) - 0.7 * np.median(data[bright])
    _, used, _ = fit_psf(StarStamps(data, stamps.bad, stamps.corner, stamps.expected, stamps.variance, stamps.gain))
    assert not used[bright]
    assert used.mean() > 0.8


def test_errors_of_star_fluxes_are_right(noisy):
    simulated = noisy.simulated
    flux = np.array([f.flux for f in noisy.fluxes])
    error = np.array([f.error for f in noisy.fluxes])
    faint = simulated.star_flux < 3000  # bright ones also show the PSF, which they decide
    pulls = ((flux / noisy.ratios.ratio[:, None] - simulated.star_flux) / error * noisy.ratios.ratio[:, None])[:, faint]
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)


def test_stars_repeat_as_well_as_their_photons_allow(noisy):
    off = off_by_noise_of_the_stars(noisy)
    bright = np.argsort(-noisy.simulated.star_flux)[:30]
    photons = np.sqrt(np.mean([(f.error / f.flux)[bright] ** 2 for f in noisy.fluxes]))
    added = np.sqrt(np.mean(off**2))
    assert MMAG * (np.hypot(photons, added) - photons) < 0.5
    # What is added comes from the photons of the stars: the throughput's error, and nearly twice that from how the
    # width changes over the quadrant (four seeds: 1.8 to 2.4 times in all).  More stars lower it, nothing else does.
    assert added < 2.5 * noisy.ratios.error.mean()


def test_noise_of_the_stars_makes_no_transient_fainter(noisy):
    """Sources without noise all over the quadrant, by PSFs and throughputs from noisy stars."""
    bias = off_by_noise_of_the_stars(noisy).mean(axis=1)
    assert np.std(bias) < 2 * noisy.ratios.error.mean()
    # Of one exposure 0.8 mmag, of their mean 0.25 (rms).  A PSF that has some of the noise of its stars finds less
    # light in all others, here 0.2 to 0.4 mmag (four seeds), and half of it from twice as many stars.
    assert MMAG * abs(bias.mean()) < 0.5


def local_source_psf(model, stars, plan, place):
    return local_psf(model, place, stars, plan).psf


def off_by_noise_of_the_stars(noisy) -> np.ndarray:
    """(exposure, source): relative error of fluxes."""
    plan = noisy.simulated.plan
    exact, some = simulate_transient(replace(plan, noise=False)), np.arange(0, plan.n_star, 3)
    own = []
    for i, (model, stars) in enumerate(zip(noisy.psf, noisy.fluxes, strict=True)):
        psf = partial(local_source_psf, model, stars, plan)
        own.append(measure_stars(stamps_of(exact, i).inner(plan.star_margin).only(some), psf).flux)
    return np.array(own) / noisy.ratios.ratio[:, None] / exact.star_flux[some] - 1


def test_residuals_that_depend_on_the_magnitude_raise_the_alarm(noisy):
    simulated = noisy.simulated
    fluxes = noisy.fluxes[0]
    ratio = noisy.ratios.ratio[0]
    slope, sigma = magnitude_slope(fluxes.flux / ratio, fluxes.error / ratio, simulated.star_flux)
    assert abs(slope) < 4 * sigma
    bent = fluxes.flux * (simulated.star_flux / 1e4) ** 0.015  # 15 mmag a magnitude
    slope, sigma = magnitude_slope(bent / ratio, fluxes.error / ratio, simulated.star_flux)
    assert abs(slope - 15) < 4 * sigma
    assert abs(slope) > 5 * sigma


def bright_field(fwhm, beta, ellipticity, seed, n=40, double=8):
    """Stars of 13th magnitude, the first ones double, on pixels whose noise is that of their light."""
    random, side = np.random.default_rng(seed), 27
    q = Psf.round_moffat(fwhm, beta).moffat[0]
    psf = Psf(np.array([q * (1 + ellipticity), 0.0, q * (1 - ellipticity), beta]), np.zeros((1, 1)), 1.0)
    place = random.uniform(100, 3000, (n, 2))
    corner = np.rint(place).astype(int) - side // 2
    flux = 10 ** random.uniform(5.5, 6.3, n)
    light = np.array([f * psf.draw(*at, (side, side))[0] for f, at in zip(flux, place - corner, strict=True)])
    for k in range(double):
        angle, at = random.uniform(0, 2 * np.pi), place[k] - corner[k]
        beside = at + fwhm * np.array([np.cos(angle), np.sin(angle)])
        light[k] += 0.5 * flux[k] * psf.draw(*beside, (side, side))[0]
    data = 300 + light + random.normal(size=light.shape) * np.sqrt(60 + light / 6)
    return StarStamps(data.astype(np.float32), np.zeros(data.shape, bool), corner, place, 60.0, 6.0)


@settings(max_examples=5, deadline=None)
@given(
    fwhm=st.floats(1.5, 5), beta=st.floats(2.5, 5), ellipticity=st.floats(-0.1, 0.1), seed=st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_a_fifth_of_double_stars_do_not_drive_out_the_others(fwhm, beta, ellipticity, seed):
    """In a star of 1e6 ADU a profile a tenth too wide is off by 50 standard deviations or more of a single pixel."""
    stamps = bright_field(fwhm, beta, ellipticity, seed)
    model, used, _ = fit_psf(stamps)
    assert used[8:].all()
    assert not used[:8].any()
    # The mean over directions of an ellipse of 0.1 is 0.25 % larger; photons know the width ten times better, and one
    # double star among those used would show as a per cent or more.
    assert model.at(model.middle).fwhm == pytest.approx(fwhm, rel=0.005)


@given(bent=st.floats(-0.02, 0.02), seed=st.integers(0, 2**32 - 1))
def test_stars_that_widen_with_their_light_raise_the_alarm_and_one_blended_star_does_not(bent, seed):
    random = np.random.default_rng(seed)
    magnitude, error = random.uniform(13, 18, 60), random.uniform(1e-3, 5e-3, 60)
    width = bent * (magnitude - 15) + random.normal(0, np.hypot(error, 1e-3))
    width[7] += 0.8
    slope, sigma = width_slope(magnitude, width, error)
    # Five standard errors: one in 2e6 draws, and none of the 100 of a run.
    assert abs(slope - bent) < 5 * sigma
    assert sigma < 5e-4  # the mean error, 3e-3, over the spread of 60 magnitudes, 1.4 sqrt(60)


def test_too_few_widths_are_an_error():
    with pytest.raises(NoStars, match="2 stars of known width: 3 are needed"):
        width_slope(np.arange(3.0), np.array([1.0, np.nan, 1.0]), np.ones(3))


def test_too_few_stars_are_an_error(noisy):
    with pytest.raises(NoStars, match=r"3 of 3 stars.*5 are needed"):
        fit_psf(stamps_of(noisy.simulated, 0).only(np.argsort(-noisy.simulated.star_flux)[:3]))


def test_a_star_on_bad_pixels_is_not_measured(noisy):
    stamps = stamps_of(noisy.simulated, 0)
    bad = stamps.bad.copy()
    bad[4] = True
    spoiled = StarStamps(stamps.data, bad, stamps.corner, stamps.expected, stamps.variance, stamps.gain)
    assert np.isnan(measure_stars(spoiled, noisy.psf[0]).flux[4])


def test_the_wcs_follows_the_stars_and_knows_its_error(noisy):
    simulated = noisy.simulated
    off = np.array([w.place for w in noisy.wcs]) - simulated.true_place
    # The PSF defines its own centre, coma and all: below 0.1 pixels, against 0.1 rms on both axes before.
    assert np.abs(off).max() < 0.1
    assert all(w.error < 0.01 for w in noisy.wcs)


def test_a_wrong_star_does_not_move_the_wcs():
    rng = np.random.default_rng(2)
    u = rng.uniform(-1000, 1000, (30, 2))
    true = LocalWcs(np.array([500.0, 600.0]), np.array([[1.0, 1e-4], [-1e-4, 1.0]]), 0.0, 0)
    sigma = np.full((30, 2), 0.02)
    place = true(u) + rng.normal(0, 0.02, (30, 2))
    place[7] += 3.0
    found = refine_wcs(LocalWcs(true.place + 0.5, np.eye(2), 0.0, 0), u, place, sigma)
    assert found.n_star == 29
    assert np.all(np.abs(found.place - true.place) < 4 * found.error)
    with pytest.raises(NoStars):
        refine_wcs(true, u[:3], place[:3], sigma[:3])


def test_throughputs_are_those_of_stars_that_do_not_vary():
    rng = np.random.default_rng(3)
    ratio, star = rng.uniform(0.5, 1.0, 20), 10 ** rng.uniform(3, 5, 40)
    error = np.sqrt(200.0**2 / 50 + ratio[:, None] * star / 6)
    flux = ratio[:, None] * star + error * rng.standard_normal((20, 40))
    flux[3, 5] *= 1.5  # one variable star
    flux[4, :] = np.nan
    found = photometric_ratios(flux, error, reference=star)
    seen = np.arange(20) != 4
    pulls = (found.ratio / ratio - 1)[seen] / found.error[seen]
    assert np.isnan(found.ratio[4])
    assert not found.used[3, 5]
    # Errors include a floor of 2 mmag a star that the noise here does not have: never too small.
    assert np.sqrt(np.mean(pulls**2)) < 1 + 4 / np.sqrt(2 * seen.sum())
    with pytest.raises(NoStars):
        photometric_ratios(np.full((2, 3), 1.0), np.full((2, 3), 1.0))
