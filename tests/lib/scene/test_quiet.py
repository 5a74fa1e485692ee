"""What the exposures without the source say of it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.scene.reduce import with_noise
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import ExposureFlag, FitFlag


def test_a_quiet_flux_is_what_the_whole_fit_gives_with_that_exposure_free(clean):
    simulated, series = clean
    noisy = with_noise(simulated, series, 5)
    fit = fit_scene(noisy)
    quiet = np.flatnonzero(~series.active)
    assert (np.isfinite(fit.quiet_flux) == ~series.active).all()
    for i in quiet[:3]:
        active = series.active.copy()
        active[i] = True
        whole = fit_scene(replace(noisy, active=active))
        # Place and pixels' weights are found anew: a hundredth of the error, two of the error itself.
        assert abs(fit.quiet_flux[i] - whole.flux[i]) < 0.01 * whole.error[i]
        assert fit.quiet_error[i] == pytest.approx(whole.error[i], rel=0.02)


def test_quiet_fluxes_scatter_around_nothing_as_they_say(clean):
    simulated, series = clean
    pulls = []
    for seed in range(8):
        fit = fit_scene(with_noise(simulated, series, 100 + seed))
        pulls.append((fit.quiet_flux / fit.quiet_error)[~series.active])
        assert not (fit.exposure_flag & ExposureFlag.SHINES).any()
    pull = np.concatenate(pulls)
    # Those of one fit share the galaxy; four standard deviations of a mean and a width of so many are generous.
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * len(pull))


def test_a_source_that_shines_before_its_window_is_told(clean):
    simulated, series = clean
    noisy = with_noise(simulated, series, 7)
    brightest = int(np.argmax(np.where(series.active, simulated.flux, 0)))
    active = series.active.copy()
    active[brightest] = False
    fit = fit_scene(replace(noisy, active=active))
    assert fit.exposure_flag[brightest] & (ExposureFlag.SHINES | ExposureFlag.TROUBLE | ExposureFlag.DROPPED)
    late = np.argsort(simulated.flux)[::-1][: series.active.sum() // 2]  # half of the window is missing
    active = series.active.copy()
    active[late] = False
    fit = fit_scene(replace(noisy, active=active))
    assert fit.flag.fails
    assert FitFlag.SHINES_EARLY_OR_LATE in fit.flag or FitFlag.POOR in fit.flag
