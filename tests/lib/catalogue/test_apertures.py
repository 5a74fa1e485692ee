"""Fluxes and errors of apertures, against known stars and slow sums."""

import numpy as np
import pytest
import sep
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.lib.catalogue.skies import (
    GAIN,
    READ_NOISE,
    SKY,
    expose,
    grid,
    moffat_growth,
    stars_without_sky,
)
from ztf_in2p3.catalogue.apertures import (
    aperture_photometry,
    bits_within,
    fill_bad_pixels,
    poisson_variance,
)
from ztf_in2p3.catalogue.background import mask_sources, measure_background
from ztf_in2p3.catalogue.mesh import Mesh
from ztf_in2p3.catalogue.sky_noise import SkyNoise, measure_noise

RADII = (1.0, 2.5, 4.0, 7.0)


def slow_aperture(data, x, y, radius, fine=40, power=1):
    """Sum of pixels times the part (to a power) that lies in a circle; each is cut in fine x fine."""
    total = 0.0
    offset = (np.arange(fine) + 0.5) / fine - 0.5
    for j in range(data.shape[0]):
        for i in range(data.shape[1]):
            inside = (i + offset - x) ** 2 + (j + offset[:, None] - y) ** 2 < radius**2
            total += data[j, i] * inside.mean() ** power
    return total


def measure(data, variance, x, y, radii=RADII, bad=None, **how):
    bad = np.zeros(data.shape, dtype=bool) if bad is None else bad
    return aperture_photometry(data, variance, bad, np.array(x), np.array(y), radii, **how)


def test_sums_are_those_of_cut_pixels():
    rng = np.random.default_rng(1)
    data, variance = rng.normal(10, 3, (20, 22)).astype(np.float32), rng.uniform(1, 2, (20, 22)).astype(np.float32)
    found = measure(data, variance, [9.3, 11.0], [8.8, 10.5])
    for star, (x, y) in enumerate([(9.3, 8.8), (11.0, 10.5)]):
        for k, radius in enumerate(RADII):
            # Pixels cut in 1600 leave an error of the order of the boundary's length / 1600.
            assert found.flux[star, k] == pytest.approx(slow_aperture(data, x, y, radius), rel=3e-3)
            # A part w of a pixel adds w^2 of its variance.
            assert found.error[star, k] ** 2 == pytest.approx(slow_aperture(variance, x, y, radius, power=2), rel=3e-3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.75, 14), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_sep(radii, seed):
    """Not below 0.71 pixels: a circle that leaves a pixel across its sides alone, sep overlooks."""
    rng = np.random.default_rng(seed)
    data = rng.normal(10, 3, (40, 44)).astype(np.float32)
    x, y = rng.uniform(-0.5, 43.49, 20), rng.uniform(-0.5, 39.49, 20)
    x[:3], y[1:4] = np.rint(x[:3]), np.rint(y[1:4]) - 0.5 * (y[1:4] > 1)  # on the centres and corners of pixels too
    found = measure(data, data, x, y, radii=radii)
    for k, radius in enumerate(radii):
        theirs = sep.sum_circle(data, x, y, radius, subpix=0)[0]
        np.testing.assert_allclose(found.flux[:, k], theirs, rtol=1e-6, atol=1e-6)


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.05, 5))
def test_parts_of_a_circle_make_the_whole(x, y, radius):
    ones = np.ones((15, 15), dtype=np.float32)
    found = measure(ones, ones, [7 + x], [7 + y], radii=(radius,))
    assert found.flux[0, 0] == pytest.approx(np.pi * radius**2, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_bad_pixels_count_as_what_their_neighbours_say(seed):
    rng = np.random.default_rng(seed)
    data, variance = (rng.uniform(1, 2, (40, 44)).astype(np.float32) for _ in range(2))
    bad = rng.random(data.shape) < rng.uniform(0, 0.5)
    x, y = rng.uniform(0, 43, 20), rng.uniform(0, 39, 20)
    spoilt = np.where(bad, np.float32(1e9), data)
    found = measure(spoilt, variance, x, y, bad=bad)
    filled = measure(fill_bad_pixels(data, bad), fill_bad_pixels(variance, bad), x, y)
    np.testing.assert_allclose(found.flux, filled.flux, rtol=1e-5)
    np.testing.assert_allclose(found.error, filled.error, rtol=1e-5)
    unknown = measure(np.where(bad, np.float32(np.nan), data), variance, x, y)
    np.testing.assert_array_equal(unknown.flux, found.flux)
    np.testing.assert_array_equal(unknown.flag, found.flag)
    # The point of each pixel's square that is nearest to the star decides whether the circle touches it.
    gaps = (np.abs(np.arange(n) - at[:, None]) for n, at in zip(data.shape, (y, x), strict=True))
    square_y, square_x = (np.clip(gap - 0.5, 0, None) ** 2 for gap in gaps)
    for k, radius in enumerate(RADII):
        touched = (square_y[:, :, None] + square_x[:, None, :] < radius**2) & bad
        np.testing.assert_array_equal((found.flag[:, k] & sep.APER_HASMASKED) > 0, touched.any(axis=(1, 2)))


@pytest.mark.parametrize("flux", [30.0, 600.0, 60_000.0])
def test_flux_is_unbiased_and_its_error_is_the_scatter(flux):
    """Faint stars are lost in the sky; for bright ones photons and the flat's noise are all.  Response falls
    by a third across the image, so that the effective gain does too."""
    rng = np.random.default_rng(int(flux))
    shape = (1000, 960)
    x, y = grid(shape, 26, rng)
    stars = stars_without_sky(shape, x, y, np.full(x.size, flux))
    response = 1 - np.linspace(0, 0.33, shape[1]) + np.zeros(shape)
    image = expose(SKY + stars, rng, response=response, flat_noise=0.003)

    masked = mask_sources(shape, x, y, np.full(x.size, flux), 5.3)
    background = measure_background(image.data, masked, box=128)
    above = image.data - background.level
    sky = measure_noise(above, image.variance, background, masked, box=128)
    found = measure(above, image.variance, x, y, sky=sky)
    truth = np.stack([sep.sum_circle(stars, x, y, radius, subpix=0)[0] for radius in RADII], axis=1)

    pull = (found.flux - truth) / found.error
    n = len(x)
    assert n > 1000
    for k, radius in enumerate(RADII):
        # The background's own error, that of a mean over the sky, moves all stars together.
        together = np.pi * radius**2 * background.rms.cells.mean() / np.sqrt((~masked).sum())
        allowed = np.hypot(4 * found.error[:, k].mean() / np.sqrt(n), 4 * together)
        assert np.mean(found.flux[:, k] - truth[:, k]) == pytest.approx(0, abs=max(allowed, 1e-3 * flux))
        assert np.std(pull[:, k]) == pytest.approx(1, abs=4 / np.sqrt(2 * n))
    # Wings beyond 7 pixels hold 0.8 % of a Moffat star: what the circle holds is the profile's own integral.
    assert truth[:, 3].mean() / flux == pytest.approx(moffat_growth(7.0), abs=1e-3)


def test_the_photons_of_a_bright_star_are_in_its_error():
    rng = np.random.default_rng(7)
    shape, centre = (300, 300), np.array([150.0])
    stars = stars_without_sky(shape, centre, centre, [50_000.0])
    image = expose(SKY + stars, rng)
    background = measure_background(image.data, mask_sources(shape, centre, centre, np.array([5e4]), 5.3), box=100)
    above = image.data - background.level
    sky = measure_noise(above, image.variance, background, stars > 0.1, box=100)
    found = measure(above, image.variance, centre, centre, radii=(7.0,), sky=sky)
    of_sky = np.pi * 49 * (SKY / GAIN + (READ_NOISE / GAIN) ** 2)
    # Four correlations, each known to 1 / 300, count twice: 1.3 % of the sky's part, a third of the variance.
    expected = np.sqrt(moffat_growth(7.0) * 50_000 / GAIN + of_sky)
    assert found.error[0, 0] == pytest.approx(expected, rel=4 * 0.013 / 3 / 2 + 0.003)


def test_the_level_s_error_grows_as_the_area():
    flat = np.zeros((40, 40), dtype=np.float32)
    nothing = Mesh(np.zeros((1, 1)), flat.shape, cubic=False)
    sky = SkyNoise(nothing, nothing, np.zeros(2), level_error=0.1)
    found = measure(flat, flat, [20.0], [20.0], radii=(3.0, 6.0), sky=sky)
    np.testing.assert_allclose(found.error[0], [0.1 * np.pi * 9, 0.1 * np.pi * 36], rtol=1e-6)


def test_a_bad_pixel_in_the_wings_is_filled_and_flagged():
    x, y, flux = [30.0], [30.0], 10_000.0
    data = stars_without_sky((61, 61), x, y, [flux]).astype(np.float32)
    clean = measure(data, np.ones_like(data), x, y, radii=(4.0, 7.0, 10.0))
    bad = np.zeros(data.shape, dtype=bool)
    bad[30, 36] = True
    data[30, 36] = 1e7
    found = measure(data, np.ones_like(data), x, y, radii=(4.0, 7.0, 10.0), bad=bad)
    np.testing.assert_allclose(found.flux, clean.flux, rtol=1e-3)
    np.testing.assert_array_equal(found.flag[0], [0, sep.APER_HASMASKED, sep.APER_HASMASKED])
    np.testing.assert_allclose(found.error, clean.error, rtol=1e-6)


def test_nan_pixels_count_as_bad():
    data = np.ones((30, 30), dtype=np.float32)
    data[15, 15] = np.nan
    found = measure(data, np.ones_like(data), [15.0, 5.0], [15.0, 5.0], radii=(3.0,))
    np.testing.assert_allclose(found.flux[:, 0], np.pi * 9, rtol=1e-5)
    np.testing.assert_array_equal(found.flag[:, 0], [sep.APER_HASMASKED, 0])


def test_apertures_without_a_good_pixel_and_over_the_border_say_so():
    data, bad = np.ones((40, 40), dtype=np.float32), np.zeros((40, 40), dtype=bool)
    bad[10:31, 10:31] = True
    found = measure(data, data, [20.0, 0.0], [20.0, 5.0], radii=(4.0,), bad=bad)
    assert found.flag[0, 0] & sep.APER_ALLMASKED
    assert found.flag[1, 0] == sep.APER_TRUNC
    assert np.isfinite(found.flux).all()


@given(x=st.floats(-0.5, 29.49), y=st.floats(-0.5, 24.49), radius=st.floats(1, 9))
def test_the_border_is_crossed_by_every_circle_that_leaves_the_image_and_by_no_other(x, y, radius):
    room = min(x + 0.5, 29.5 - x, y + 0.5, 24.5 - y)
    assume(abs(room - radius) > 1e-5)  # sep's own margin
    flat = np.ones((25, 30), dtype=np.float32)
    found = aperture_photometry(flat, flat, flat < 0, np.array([x]), np.array([y]), (radius,))
    assert found.flag[0, 0] == (sep.APER_TRUNC if room < radius else 0)


def test_big_endian_pixels_give_the_same():
    rng = np.random.default_rng(2)
    data = rng.normal(0, 1, (30, 30)).astype(np.float32)
    native = measure(data, np.ones_like(data), [12.0], [13.0])
    swapped = measure(data.astype(">f4"), np.ones_like(data).astype(">f4"), [12.0], [13.0])
    np.testing.assert_array_equal(native.flux, swapped.flux)
    np.testing.assert_array_equal(native.error, swapped.error)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-0.5, 29.49), st.floats(-0.5, 24.49), st.floats(0.5, 9), st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_bits_are_those_of_every_pixel_the_circle_touches(x, y, radius, seed):
    rng = np.random.default_rng(seed)
    mask = (1 << rng.integers(0, 16, (25, 30))).astype(np.uint16) * (rng.random((25, 30)) < 0.05)
    expected = 0
    for j in range(25):
        for i in range(30):
            nearest = (np.clip(x, i - 0.5, i + 0.5) - x) ** 2 + (np.clip(y, j - 0.5, j + 0.5) - y) ** 2
            if nearest < radius**2 - 1e-4:
                expected |= int(mask[j, i])
            elif nearest < radius**2 + 1e-4:  # on the circle to the last digit: either is right
                mask[j, i] = 0
    assert bits_within(mask.astype(np.uint16), np.array([x]), np.array([y]), radius)[0] == expected


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_filled_pixel_is_the_mean_of_its_good_neighbours(seed):
    rng = np.random.default_rng(seed)
    data, bad = rng.normal(size=(9, 8)).astype(np.float32), rng.random((9, 8)) < rng.random()
    filled = fill_bad_pixels(data, bad)
    np.testing.assert_array_equal(filled[~bad], data[~bad])
    for j, i in zip(*np.nonzero(bad), strict=True):
        near = [(b, a) for b in range(j - 1, j + 2) for a in range(i - 1, i + 2) if 0 <= b < 9 and 0 <= a < 8]
        good = [(b, a) for b, a in near if not bad[b, a]]
        weight = [1.0 / ((b - j) ** 2 + (a - i) ** 2) for b, a in good]
        expected = np.average([data[p] for p in good], weights=weight) if good else 0.0
        assert filled[j, i] == pytest.approx(expected, abs=1e-5)


def test_variance_of_counts_knows_a_gain_that_varies():
    gain = np.linspace(4, 6, 12).reshape(3, 4)
    variance = poisson_variance(np.full((3, 4), 100.0), gain, read_noise=9.0)
    np.testing.assert_allclose(variance, 100 / gain + 81 / gain**2, rtol=1e-6)
    np.testing.assert_allclose(poisson_variance(np.array([[-50.0]]), 6.0, 9.0), 2.25)
