"""A PSF from stars as they are: wider when bright, unlike one another, unlike from place to place."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.scene.reduce import stamps_of
from ztf_in2p3.psf.fit import choose_stars, fit_psf
from ztf_in2p3.psf.model import Psf
from ztf_in2p3.psf.size import intrinsic_scatter
from ztf_in2p3.psf.stars import measure_stars
from ztf_in2p3.recipes import PsfRecipe
from ztf_in2p3.simulate.transient import TransientPlan, simulate_transient

MODEL = Psf.round_moffat(2.0, 3.0)
MMAG = 2500 / np.log(10)
CAUSES = TransientPlan(
    n_exposure=1, n_quiet=0, n_star=450, star_mags=(12.5, 17.5), star_slope=0.15, seeing=(1.4, 1.6), gradient=0.03,
    curvature=0.04, brighter_fatter=1.6e-7, width_scatter=0.01, sky=(200.0, 250.0), side=19,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    simulated = simulate_transient(CAUSES)
    stamps = replace(stamps_of(simulated, 0), full_well=58000.0)
    order = np.argsort(-simulated.star_flux)
    stamps, flux = stamps.only(order), simulated.star_flux[order]
    model, used, _ = fit_psf(stamps.only(np.arange(len(flux)) % 2 == 0))
    others = np.flatnonzero(np.arange(len(flux)) % 2)
    inner = stamps.only(others).inner(PsfRecipe().margin)
    return stamps, model, used, flux[others], measure_stars(inner, model)


def test_stars_scatter_around_the_truth_by_what_their_widths_do(found):
    _, model, _, true, fluxes = found
    magnitude = 26.2 - 2.5 * np.log10(true)
    off = MMAG * np.log(fluxes.flux / true)
    off -= np.median(off[(magnitude > 14) & (magnitude < 16)])
    # 1 % of width is 8 mmag; the aims of real images are 7, 7, 9 mmag.
    for middle, allowed in ((14.0, 10.0), (15.0, 10.0), (16.0, 12.0)):
        some = np.abs(off[np.abs(magnitude - middle) < 0.5])
        assert 1.4826 * np.median(some) < allowed, f"magnitude {middle}"
    # The floor that is said is what they scatter beyond photons.
    bright = (magnitude > 13.5) & (magnitude < 15.5)
    beyond = intrinsic_scatter(off[bright], MMAG * (fluxes.error / fluxes.flux)[bright])
    assert 0.6 * beyond < MMAG * model.flux_floor < 1.6 * beyond


def test_stars_near_full_well_do_not_show_the_psf(found):
    stamps, _, used, _, _ = found
    shown = stamps.only(np.arange(len(stamps)) % 2 == 0).peak[used]
    assert shown.max() <= PsfRecipe().max_peak
    assert used.sum() > 100


def test_the_sum_over_the_phases_is_the_same(found):
    _, model, _, _, _ = found
    psf = model.at(model.middle)
    sums = [psf.draw(20 + x, 20 + y, (41, 41))[0].sum() for x in (-0.4, -0.15, 0.1, 0.35) for y in (-0.3, 0.0, 0.3)]
    assert MMAG * np.std(sums) / np.mean(sums) < 1
    assert MMAG * model.phase_error < 4


def test_stars_of_the_psf_come_from_the_whole_field():
    simulated = simulate_transient(replace(CAUSES, noise=False))
    stamps = stamps_of(simulated, 0)
    fluxes = measure_stars(stamps.inner(4), lambda place: MODEL)
    chosen = choose_stars(stamps, fluxes, PsfRecipe(most_stars=100))
    place = stamps.expected[chosen]
    quarters = np.histogram2d(*place.T, bins=2)[0]
    assert quarters.min() > 15


def test_scatter_beyond_the_errors_is_found_and_none_where_there_is_none():
    rng = np.random.default_rng(2)
    error = rng.uniform(0.002, 0.01, 400)
    value = rng.normal(0, np.hypot(error, 0.01))
    value[:5] += 1.0
    # 400 values know a scatter, of which half is errors, to 8 %: four of those.
    assert intrinsic_scatter(value, error) == pytest.approx(0.01, rel=0.3)
    assert intrinsic_scatter(rng.normal(0, error), error) < 0.003
