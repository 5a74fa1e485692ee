"""Flux scales: magnitudes of stars from elsewhere, and what they make of the stars of a light curve."""

from __future__ import annotations

import numpy as np
import pytest

from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.recipes import GaiaColours
from ztf_in2p3.scene.curve import SurveyStars, rescaled, synthetic_magnitude, zero_point
from ztf_in2p3.scene.local import photometric_ratios


def test_stars_of_a_survey_are_found_by_their_numbers():
    survey = SurveyStars(np.array([3, 7, 9]), np.array([15.0, 16.0, 17.0]))
    np.testing.assert_array_equal(survey.of(np.array([9, 1, 3, 100])), [17.0, np.nan, 15.0, np.nan])


def test_magnitudes_follow_the_colour_where_the_polynomial_holds():
    gaia = GaiaColours(zr=(0.1, -0.2, 0.3), range=(0.5, 2.0))
    found = synthetic_magnitude(np.array([15.0, 16.0, 16.0, 17.0]), np.array([1.0, 0.4, 2.1, np.nan]), "zr", gaia)
    np.testing.assert_allclose(found[0], 15.0 + 0.1 - 0.2 + 0.3)
    assert np.isnan(found[1:]).all()
    for unknown in ("B", "range"):
        assert np.isnan(synthetic_magnitude(np.array([15.0]), np.array([1.0]), unknown, gaia)).all()


def test_the_sdss_polynomials_of_gaia_give_the_colours_of_the_sun():
    """BP - RP = 0.82 and G = 4.67 (Casagrande & VandenBerg 2018, MNRAS 479, L102); Willmer 2018, ApJS 236, 47."""
    g, r, i = (synthetic_magnitude(np.array([4.67]), np.array([0.82]), band, GaiaColours())[0] for band in
               ("zg", "zr", "zi"))  # fmt: skip
    # SDSS (AB) of the Sun: g 5.11, r 4.65, i 4.53; the scatter of the relations is 0.07, 0.04 and 0.04 mag: twice that.
    assert np.all(np.abs(np.array([g, r, i]) - [5.11, 4.65, 4.53]) < [0.14, 0.08, 0.08])


def test_the_zero_point_is_that_of_most_stars_and_its_error_their_scatter():
    rng = np.random.default_rng(4)
    star, ratio = 10 ** rng.uniform(3.5, 5, 80), rng.uniform(0.02, 0.04, 12)
    flux = ratio[:, None] * star
    ratios = photometric_ratios(flux, 1e-3 * flux)
    scatter = 0.04  # mag, of the external catalogue
    reference = star * 10 ** (-0.4 * rng.normal(0, scatter, 80))
    reference[:8] *= 3  # wrong ones
    reference[8:20] = np.nan

    offset, error = zero_point(ratios, reference)

    # Median of 68 values, an eighth of them wrong on one side: shifted by 0.15 standard deviations, and its own error.
    found = rescaled(ratios, offset).ratio / ratio
    assert abs(2.5 * np.log10(np.median(found))) < 0.15 * scatter + 4 * error
    assert error == pytest.approx(1.2533 * scatter / np.sqrt(68), rel=4 * 1.17 / np.sqrt(68))
    with pytest.raises(NoStars, match="has a magnitude in the external catalogue"):
        zero_point(ratios, np.full(80, np.nan))
