"""Stars carry the flux they are given."""

import numpy as np
import pytest
import sep
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.simulate.psf import alpha, aperture_fractions, draw_stars, enclosed, pixel_fluxes, stamp_radius


def slow_pixel(dx, dy, fwhm, n=200):
    """Mean of the profile over a pixel at (dx, dy) from the star, by brute force."""
    step = (np.arange(n) + 0.5) / n - 0.5
    r2 = (dx + step[None, :]) ** 2 + (dy + step[:, None]) ** 2
    return (2 / (np.pi * alpha(fwhm) ** 2) * (1 + r2 / alpha(fwhm) ** 2) ** -3.0).mean()


@pytest.mark.parametrize("fwhm", [1.6, 2.4])
def test_pixels_hold_the_integral_of_the_profile(fwhm):
    dx, dy, radius = 0.31, -0.44, 9
    stamp = pixel_fluxes(np.array([dx]), np.array([dy]), fwhm, radius)[0]
    for i in range(2 * radius + 1):
        for j in range(2 * radius + 1):
            # Brute force with 200 x 200 samples is itself good to 1e-5.
            core = abs(i - radius) <= 6 and abs(j - radius) <= 6
            assert stamp[i, j] == pytest.approx(
                slow_pixel(j - radius - dx, i - radius - dy, fwhm), rel=1e-4 if core else 6e-4
            )


def test_full_width_at_half_maximum_is_what_it_says():
    fwhm = 2.2
    peak, half = slow_pixel(0, 0, fwhm, 1), slow_pixel(fwhm / 2, 0, fwhm, 1)
    assert half / peak == pytest.approx(0.5)


@given(st.floats(20, 40), st.floats(20, 40), st.floats(1.6, 3.0))
def test_a_star_keeps_its_flux(x, y, fwhm):
    image = draw_stars((120, 120), np.array([x + 30]), np.array([y + 30]), np.array([1000.0]), fwhm)
    # All but 5e-5 is in the stamp (0.05 mmag), and nothing is added.
    assert 1 - 6e-5 < image.sum(dtype=float) / 1000 < 1 + 1e-5


@pytest.mark.parametrize("fwhm", [1.6, 2.5])
def test_apertures_sum_what_is_foretold(fwhm):
    x, y = np.array([60.2, 61.0, 59.5]), np.array([60.0, 60.4, 59.51])
    radii = [3.0, 4.5, 8.0, 12.0]
    foretold = aperture_fractions(x, y, radii, fwhm)
    for star in range(3):
        image = draw_stars((121, 121), x[[star]], y[[star]], np.array([1e5]), fwhm)
        for k, radius in enumerate(radii):
            flux, _, _ = sep.sum_circle(image, x[[star]], y[[star]], radius, subpix=0)
            # 0.1 mmag: float32 pixels and the far pixels' 5e-4 of little.
            assert flux.item() / 1e5 == pytest.approx(foretold[star, k], abs=1e-4)
    # Two pixel boxes, the light's and the aperture's, blur the profile I by 1/12 pixel^2 each way: on average over the
    # star's place in its pixel the aperture loses 2 pi r I'(r) / 12.  What is beyond that order and average is less.
    scale = alpha(fwhm)
    loss = 2 * np.pi * 3.0 / 12 * 12 * 3.0 / (np.pi * scale**4) * (1 + (3.0 / scale) ** 2) ** -4
    assert foretold[:, 0] == pytest.approx(enclosed(3.0, fwhm) - loss, abs=0.0025)


def test_a_star_beyond_the_edge_lends_its_wings():
    shape, fwhm = (50, 60), 2.0
    x, y, flux = np.array([-3.3, 70.0, 30.2]), np.array([25.0, 60.0, 48.9]), np.array([1e5, 2e5, 5e4])
    large = draw_stars((150, 160), x + 50, y + 50, flux, fwhm)[50:100, 50:110]
    np.testing.assert_allclose(draw_stars(shape, x, y, flux, fwhm), large, rtol=1e-4, atol=1e-4)


def test_the_stamp_is_as_large_as_promised():
    for fwhm in (1.6, 2.0, 3.0, 5.0):
        assert 1 - enclosed(stamp_radius(fwhm), fwhm) < 5e-5


def test_a_field_without_stars_is_dark():
    empty = np.zeros(0)
    assert not draw_stars((10, 12), empty, empty, empty, 2.0).any()
