"""Radiation hits are marked among stars, and no star is taken for one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.detrend.hit_fields import (
    RADIATION,
    SKY_ADU,
    draw_field,
    false_groups,
    hits_of,
    marked_pixels,
    marked_share,
)
from ztf_in2p3.catalogue.apertures import aperture_photometry, bits_within
from ztf_in2p3.detrend.hit_kernels import sharp_pixels
from ztf_in2p3.detrend.radiation_hits import MARGIN, mark_radiation_hits
from ztf_in2p3.image import Image, MaskBit, is_bad
from ztf_in2p3.simulate import psf

SHAPE = (640, 640)


@pytest.fixture(scope="module", params=[1.5, 2.0, 4.0])
def exposure(request):
    """Field of stars of so many pixels' width, and its marks; as many hits as in half an hour, a hundred."""
    field = draw_field(request.param, 20190405, shape=SHAPE)
    return field, marked_pixels(field.image), request.param


def test_hits_of_twenty_sigma_are_marked_with_all_their_pixels(exposure):
    field, marks, width = exposure
    hits = hits_of(field, marks)
    bright = hits.marked[hits.peak > 20]
    assert bright.size > 30
    # A hit's charge diffuses (0.3 pixels) and may fall between pixels: where the PSF is as narrow, a few per cent
    # of the hits could be stars.  Three standard deviations of a share of so many are allowed for.
    expected = 0.95 if width < 2 else 0.995
    assert bright.mean() > expected - 3 * np.sqrt(expected * (1 - expected) / bright.size)
    # What is left unmarked of a marked hit is a twentieth, at its faint rim.
    assert marked_share(field, marks) > 0.95


def test_no_star_is_taken_for_a_hit(exposure):
    field, marks, _ = exposure
    assert false_groups(field, marks) == 0


@pytest.mark.parametrize("width", [1.24, 1.5, 2.5, 4.0])
def test_without_hits_nothing_is_marked_and_photometry_is_what_it_was(width):
    # Crowded, 2000 stars from the noise to saturation: of 0.4 million pixels none is 6 sigma off by chance (1e-9 each).
    field = draw_field(width, 7, shape=SHAPE, star_density=5e-3, seconds=0.0)
    assert not marked_pixels(field.image).any()


@given(
    stars=st.lists(
        st.tuples(st.floats(5, 19), st.floats(5, 19), st.floats(1, 1e6)).map(lambda star: star), min_size=1, max_size=8
    ),
    width=st.floats(1.2, 4.0),
)
@settings(max_examples=60, deadline=None)
def test_no_sum_of_stars_is_sharper_than_a_star(stars, width):
    x, y, flux = (np.array(values) for values in zip(*stars, strict=True))
    light = psf.draw_stars((25, 25), x, y, flux, width)
    centred = (
        psf.pixel_fluxes(np.zeros(1), np.zeros(1), width, 1)[0]
        / psf.pixel_fluxes(np.zeros(1), np.zeros(1), width, 1)[0].max()
    )
    least = MARGIN * np.array([centred[1, 0], centred[0, 1], centred[0, 0], centred[0, 2]])
    # Without noise the smallest excess would be enormous: of a profile that is cut off at the stamp's edge, none.
    variance = np.full_like(light, 1e-6 * light.max() ** 2)
    assert not sharp_pixels(light, variance, np.arange(light.size), least, 1.0).any()


def test_a_hit_in_an_aperture_is_flagged_and_does_less_harm():
    field = draw_field(2.0, 3, shape=SHAPE, seconds=0.0)
    draw = np.random.default_rng(5)
    x, y = draw.uniform(30, 610, 40), draw.uniform(30, 610, 40)
    stars = psf.draw_stars(SHAPE, x, y, np.full(40, 3000.0), 2.0)
    column, row = np.rint(x + 4).astype(int), np.rint(y).astype(int)
    data = field.image.data + stars
    data[row, column] += 500.0
    image = Image(data, field.image.variance + stars / 6, field.image.mask.copy())
    clean = replace(image, data=field.image.data + stars)

    def fluxes(image, bad):
        return aperture_photometry(image.data - SKY_ADU, image.variance, bad, x, y, [6.0])

    before = fluxes(image, np.zeros(SHAPE, bool))
    mark_radiation_hits(image)
    after, truth = fluxes(image, is_bad(image.mask)), fluxes(clean, np.zeros(SHAPE, bool))
    # 500 ADU in one pixel are 80 sigma; a neighbouring star may hide one hit or two.
    flagged = (after.flag[:, 0] & 0x20) != 0
    assert flagged.mean() > 0.9
    assert ((bits_within(image.mask, x, y, 6.0) & RADIATION) != 0)[flagged].all()
    # Filled from its neighbours, a pixel is wrong by their noise and by the star's curvature: a fifth of the error.
    assert np.abs(before.flux - truth.flux).min() > 5 * truth.error.max()
    assert np.median(np.abs(after.flux - truth.flux)[flagged] / truth.error[flagged, 0][:, np.newaxis]) < 0.5


def test_pixels_beside_saturated_and_dead_ones_are_no_hits():
    field = draw_field(2.0, 11, shape=(200, 200), star_density=0.0, seconds=0.0)
    data, mask = field.image.data.copy(), field.image.mask.copy()
    data[50:150, 100], mask[50:150, 100] = 58_000, MaskBit.SATURATED
    data[49, 100] = data[150, 100] = 9_000  # where a bleed trail ends
    data[80, 20:24] = np.nan
    data[80, 25] = -140.0  # of a column that does not work, and is in no mask
    data[120, 30], mask[120, 30] = 3000, MaskBit.NOISY
    variance = np.clip(np.nan_to_num(data), 0, None) / 6 + 2
    assert not marked_pixels(Image(data, variance.astype(np.float32), mask)).any()


def test_data_are_left_as_they_are_and_so_are_the_bits_of_bad_pixels():
    field = draw_field(2.0, 4, shape=(300, 300))
    data, variance, mask = field.image.data.copy(), field.image.variance.copy(), field.image.mask.copy()
    row, column = np.argwhere(field.charge == field.charge.max())[0]
    data[row, column] = variance[row, column] = np.nan
    mask[row, column] = MaskBit.NAN
    image = Image(data.copy(), variance.copy(), mask.copy())
    n = mark_radiation_hits(image)
    assert n == ((image.mask & RADIATION) != 0).sum() > 0
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(image.mask & ~RADIATION, mask)
    assert image.mask[row, column] == MaskBit.NAN


def test_hits_of_the_archives_mask_stay_and_hide_nothing():
    field = draw_field(2.0, 4, shape=(300, 300))
    marks = marked_pixels(field.image)
    known = Image(field.image.data, field.image.variance, np.where(marks, RADIATION, field.image.mask))
    known.mask[0, 0] |= RADIATION
    mark_radiation_hits(known)
    again = (known.mask & RADIATION) != 0
    assert again[0, 0]
    assert again[marks].all()


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_an_image_without_data_or_noise_has_no_hits(value):
    nothing = np.full((40, 40), value, np.float32)
    assert mark_radiation_hits(Image(nothing, np.zeros_like(nothing) + value, np.zeros((40, 40), np.uint16))) == 0
