"""The width of the PSF around a target, by its stars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.model import Psf, PsfModel
from ztf_in2p3.psf.size import FLOOR, refine_psf
from ztf_in2p3.psf.stars import StarStamps, measure_stars

SIDE, HALF = 17, 1000.0
MIDDLE = np.array([HALF, HALF])
MMAG = 2500 / np.log(10)


def model_of(fwhm: float, beta: float = 3.0) -> PsfModel:
    """The same round profile everywhere."""
    shape = np.zeros((4, 6))
    shape[:, 0] = -np.log(Psf.round_moffat(fwhm, beta).moffat[0]), 0, 0, np.log(beta - 1)
    return PsfModel(shape, MIDDLE, HALF, np.zeros((1, 1)), 1.0)


def places(n: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 2 * HALF, (n, 2))


@settings(max_examples=10, deadline=None)
@given(
    fwhm=st.floats(2, 3.5), beta=st.floats(2.5, 5), mean=st.floats(-0.03, 0.03), bend=st.floats(-0.01, 0.01),
    x=st.floats(300, 1700),
)  # fmt: skip
def test_the_psf_becomes_as_wide_as_the_stars_are_where_the_target_is(fwhm, beta, mean, bend, x):
    model, at, place = model_of(fwhm, beta), np.array([x, 800.0]), places(30)

    def wider(place):
        return mean + bend * (((place - MIDDLE) / HALF) ** 2).sum(axis=-1)

    corner = np.rint(place).astype(int) - SIDE // 2
    flux = 10 ** np.linspace(3, 5, len(place))  # five magnitudes
    images = [model.at(p).widened(1 + wider(p)).draw(*(p - c), (SIDE, SIDE))[0] for p, c in
              zip(place, corner, strict=True)]  # fmt: skip
    data = 200 + flux[:, None, None] * images
    stamps = StarStamps(data, np.zeros(data.shape, bool), corner, place, 0.01, 1e4)
    stars = measure_stars(stamps, model, clip=1e9)

    found = refine_psf(model, at, SIDE, stars.place, stars.width, stars.width_error)

    # What is not corrected of a small bend does not stand out of the floor of the stars' errors, 0.2 % each.
    assert found.psf.fwhm / model.at(at).fwhm - 1 == pytest.approx(wider(at), abs=FLOOR)
    np.testing.assert_allclose(stars.flux / found.flux_fraction, flux, rtol=FLOOR)
    assert found.n_star == len(place)


def test_the_width_of_a_star_does_not_depend_on_its_flux():
    model, flux = model_of(2.4), 10 ** np.linspace(3, 5, 6)
    data = 200 + flux[:, None, None] * model.at(MIDDLE).widened(1.03).draw(8.3, 7.9, (SIDE, SIDE))[0]
    n = len(flux)
    stamps = StarStamps(
        data, np.zeros(data.shape, bool), np.zeros((n, 2), int), np.tile([8.3, 7.9], (n, 1)), 100.0, 6.0
    )
    assert np.ptp(measure_stars(stamps, model).width) < 1e-6


def test_widths_of_stars_have_the_errors_they_say(noisy):
    pulls = np.array([f.width / f.width_error for f in noisy.fluxes])
    faint = noisy.simulated.star_flux < 3000  # bright ones also show the PSF, which they decide
    assert abs(pulls[:, faint].std() - 1) < 4 / np.sqrt(2 * pulls[:, faint].size)


@pytest.mark.parametrize("bend", [0.0, 0.02])
def test_a_bend_counts_for_what_stands_out_of_the_noise(bend):
    """Widths of 100 stars drawn 300 times, each known to 2 %."""
    model, place, at, sigma = model_of(2.4), places(100), np.array([400.0, 500.0]), 0.02
    terms, here = model.terms(place), model.terms(at)
    true = np.array([0.0, 0.0, 0.0, bend, 0.0, bend])
    rng = np.random.default_rng(3)
    off, plain, error = [], [], []
    for _ in range(300):
        width = terms @ true + rng.normal(0, sigma, len(place))
        found = refine_psf(model, at, SIDE, place, width, np.full(len(place), sigma))
        # Against the mean of the stars, which cancels between them and the target.
        mean = np.mean(terms @ true) + np.mean(width - terms @ true)
        off.append(found.width - mean - (here - terms.mean(axis=0)) @ true)
        free = np.linalg.lstsq(terms, width, rcond=None)[0]
        plain.append(here @ free - mean - (here - terms.mean(axis=0)) @ true)
        error.append(found.flux_error)
    rms, without = (float(np.sqrt(np.mean(np.square(one)))) for one in (off, plain))
    # The rule never loses; where nothing bends it leaves 2/5 of the variance (5 terms), an error of 2/3.
    noise = 1 + 4 / np.sqrt(2 * 300)
    assert rms < (1.0 if bend else 0.4**0.5) * noise * without
    assert abs(np.mean(off)) < 4 * rms / np.sqrt(300) + 0.05 * bend
    # What is said of the flux is the width's error times what a flux loses by it: 0.6 to 0.8 of it for a Moffat whose
    # pixels weigh 1 / (P + 0.1).
    assert 0.5 * rms < np.sqrt(np.mean(np.square(error))) < 1.4 * rms


def test_galaxies_are_not_asked_for_the_width():
    model, place = model_of(2.4), places(40)
    width = np.random.default_rng(2).normal(0.01, 0.003, 40)
    width[[3, 17]] = 0.5
    found = refine_psf(model, MIDDLE, SIDE, place, width, np.full(40, 0.003))
    assert found.n_star == 38
    # The mean of 38 widths of 0.3 %, and a bend of which little counts.
    assert found.width == pytest.approx(0.01, abs=4 * 0.003 / np.sqrt(38) * 1.5)


def test_without_stars_it_is_told():
    model, nothing = model_of(2.4), np.full(5, np.nan)
    with pytest.raises(NoStars, match="0 of 5 stars are as wide as the others; 4 are needed"):
        refine_psf(model, MIDDLE, SIDE, places(5), nothing, nothing)
