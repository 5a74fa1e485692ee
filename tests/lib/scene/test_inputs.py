"""What is taken out of images, and why others are left out."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.catalogue.stars import Stars
from ztf_in2p3.directions import tangent_plane
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.periods import Period
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.recipes import LightCurveRecipe, PsfCatalogueRecipe, PsfRecipe
from ztf_in2p3.scene.dates import start_of_exposure
from ztf_in2p3.scene.images import band_of, find_images, image_facts, read_image
from ztf_in2p3.scene.inputs import (
    ExposureImage,
    chosen_stars,
    cut,
    how_far_inside,
    is_isolated,
    matrix_at,
    stamp_of,
    why_not,
)
from ztf_in2p3.scene.target import Target, read_targets

TARGET = Target("sn", 150.0, 33.0, ("zr",), Period(date(2019, 4, 1), date(2019, 7, 1)))


def header(scale: float = 1.0, turn: float = 0.3, flip: int = -1) -> fits.Header:
    """A tangent plane, turned, with a parity, the target in its middle; 60 x 50 pixels."""
    degree = scale / 3600
    c, s = np.cos(turn), np.sin(turn)
    cards = {
        "NAXIS": 2, "NAXIS1": 60, "NAXIS2": 50, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 30.5,
        "CRPIX2": 25.5, "CRVAL1": TARGET.ra, "CRVAL2": TARGET.dec, "CUNIT1": "deg", "CUNIT2": "deg",
        "CD1_1": flip * degree * c, "CD1_2": -degree * s, "CD2_1": flip * degree * s, "CD2_2": degree * c,
        "OBSMJD": 58600.25, "GAIN": 6.0, "FILTER": "ZTF_r",
    }  # fmt: skip
    return fits.Header(cards.items())


def exposure(data: np.ndarray | None = None, **how: float) -> ExposureImage:
    pixels = np.arange(50.0 * 60).reshape(50, 60).astype(np.float32) if data is None else data
    image = Image(pixels, np.full((50, 60), 4.0, np.float32), np.zeros((50, 60), np.uint16))
    image.mask[20, 30] = MaskBit.DEAD
    return ExposureImage.of(image, header(**how), WCS(header(**how)), "test")


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-20, 80), y=st.floats(-20, 70), side=st.sampled_from([7, 9, 15]))
def test_a_cut_has_the_pixels_that_are_there_and_says_which_are_not(x, y, side):
    one = exposure()
    data, bad, corner = cut(one, x, y, side)
    for row in range(side):
        for column in range(side):
            r, c = corner[1] + row, corner[0] + column
            if 0 <= r < 50 and 0 <= c < 60:
                assert data[row, column] == r * 60 + c
                assert bad[row, column] == ((r, c) == (20, 30))
            else:
                assert np.isnan(data[row, column])
                assert bad[row, column]
    assert np.all(np.abs(corner + side // 2 - np.array([x, y])) <= 0.5)


@pytest.mark.parametrize(("scale", "turn", "flip"), [(1.012, 0.0, -1), (1.0, 0.7, 1), (0.5, -2.0, -1)])
def test_a_stamp_knows_where_the_sky_is(scale, turn, flip):
    how = {"scale": scale, "turn": turn, "flip": flip}
    stamp = stamp_of(exposure(**how), TARGET, 11)
    # The middle of 60 x 50 pixels, counted from 0.
    np.testing.assert_allclose(stamp.place, [29.5, 24.5], atol=1e-6)
    # Inverse of the CD matrix, whose unit is the degree; east and north are its intermediate coordinates.
    cd = np.array([[header(**how)[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    np.testing.assert_allclose(stamp.matrix, np.linalg.inv(cd) / 3600, atol=1e-6)


def test_matrix_and_tangent_plane_agree_on_small_steps():
    wcs = WCS(header(scale=1.2))
    there = SkyCoord(TARGET.ra, TARGET.dec, unit="deg").directional_offset_by(37 * units.deg, 3 * units.arcsec)
    x, y = wcs.all_world2pix(there.ra.deg, there.dec.deg, 0)
    u = tangent_plane(np.array([there.ra.deg]), np.array([there.dec.deg]), TARGET.ra, TARGET.dec)[:, 0] * 3600
    step = matrix_at(wcs, TARGET.ra, TARGET.dec) @ u
    np.testing.assert_allclose(step, [x - 29.5, y - 24.5], atol=1e-4)


def stars(x: list[float], y: list[float], g: list[float]) -> Stars:
    n = len(x)
    some = np.array(g, np.float32)
    return Stars(np.arange(n), np.zeros(n), np.zeros(n), np.array(x), np.array(y), np.ones(n, bool), some, some, some)


def test_a_bright_star_is_not_disturbed_by_a_faint_one_but_disturbs_it():
    near = stars([0, 5, 100, 104, 300], [0, 0, 0, 0, 0], [14.0, 19.0, 15.0, 16.0, 17.0])
    assert is_isolated(near, 10.0, 4.0).tolist() == [True, False, False, False, True]
    unknown = stars([0, 5], [0, 0], [14.0, np.nan])
    assert is_isolated(unknown, 10.0, 4.0).tolist() == [False, False]


def test_stars_that_show_a_psf_are_whole_good_and_the_brightest_first():
    recipe = PsfCatalogueRecipe(side=9, max_stars=2, psf=PsfRecipe(margin=1, min_stars=2))
    one = exposure()
    some = stars([30.0, 10.0, 2.0, 45.0, 50.0], [20.0, 20.0, 20.0, 30.0, 8.0], [13.0, 15.0, 12.0, 14.0, 16.0])
    # The first is on a dead pixel, the third at the edge; two of the other three are asked for.
    chosen, alone = chosen_stars(one, some, 3.0, recipe)
    assert chosen.star_id.tolist() == [3, 1]
    assert alone.all()
    with pytest.raises(NoStars, match=r"0 of 4 reference stars on the image are alone.*2 are needed"):
        chosen_stars(one, some, 0.5, recipe)  # 18" are then 36 pixels


def test_how_far_a_target_is_inside():
    wcs = WCS(header())
    assert how_far_inside(wcs, (50, 60), TARGET) == pytest.approx(25.0, abs=1e-6)
    elsewhere = Target("sn", TARGET.ra, TARGET.dec + 1, ("zr",), TARGET.shines)
    assert how_far_inside(wcs, (50, 60), elsewhere) < 0


@pytest.mark.parametrize(
    ("about", "mjd", "reason"),
    [
        ({"wcs": True, "infobits": 0, "seeing": 2.0}, 58600.0, ""),
        ({"wcs": True, "infobits": (1 << 3) | (1 << 25), "seeing": 2.0}, 58600.0, "bits 3, 25 of its INFOBITS"),
        ({"wcs": True, "seeing": 6.5}, 58600.0, "seeing of 6.50 pixels, over the 5 that are taken"),
        ({"wcs": False}, 58600.0, "no astrometry"),
        ({"wcs": True}, 1e10, "its date cannot be: MJD 1e+10"),
        ({"wcs": True}, 58400.0, "not within the nights asked for, 20190101_20191231"),
        ({"wcs": True, "seeing": None, "infobits": None}, 58600.0, ""),
    ],
)
def test_why_an_exposure_is_left_out(about, mjd, reason):
    target = Target("sn", 150, 33, ("zr",), TARGET.shines, Period(date(2019, 1, 1), date(2019, 12, 31)))
    assert why_not(about, mjd, target, LightCurveRecipe()) == reason


def test_a_target_shines_from_midnight_to_midnight():
    assert [TARGET.may_shine(mjd) for mjd in (58573.9, 58574.0, 58665.99, 58666.0)] == [False, True, True, False]


@pytest.mark.parametrize(
    "shines", ["2019-04-05T06:00:00Z, 2019-04-05T09:00:00", "'2019-04-05 08:00:00+02:00', 2019-04-05T09:00:00"]
)
def test_a_flare_shines_for_hours(tmp_path, shines):
    path = tmp_path / "targets.toml"
    path.write_text(f"[[target]]\nname = 'a'\nra = 1\ndec = 2\nbands = ['zr']\nshines = [{shines}]")
    (flare,) = read_targets(path)
    assert [flare.may_shine(58578 + hour / 24) for hour in (5.99, 6.01, 8.99, 9.01)] == [False, True, True, False]


def test_a_window_may_end_with_a_day(tmp_path):
    path = tmp_path / "targets.toml"
    path.write_text(
        "[[target]]\nname = 'a'\nra = 1\ndec = 2\nbands = ['zr']\nshines = [2019-04-05T06:00:00, 2019-04-06]"
    )
    (target,) = read_targets(path)
    assert [target.may_shine(mjd) for mjd in (58578.24, 58578.26, 58579.99, 58580.01)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[[target]]\nname = 'a'\nra = 1\ndec = 2\nbands = ['zr']\nshines = [2019-02-01T05:00:00, 2019-01-01]",
            "before",
        ),
        ("", "no target; expected tables"),
        ("[[target]]\nname = 'a'", "target a: no bands, no dec, no ra, no shines"),
        ("[[target]]\nname = 'a b'\nra = 1\ndec = 2\nbands = ['zr']\nshines = [2019-01-01, 2019-02-01]", "letters"),
        ("[[target]]\nname = 'a'\nra = 361\ndec = 2\nbands = ['zr']\nshines = [2019-01-01, 2019-02-01]", "no place"),
        ("[[target]]\nname = 'a'\nra = 1\ndec = 2\nbands = []\nshines = [2019-01-01, 2019-02-01]", "at least one"),
        ("[[target]]\nname = 'a'\nra = 1\ndec = 2\nbands = ['zr']\nshines = 2019-01-01", "no span of nights"),
        ("[[target]]\nname = 'a'\nra = 1\ndec = 2\nbands = ['zr']\nshines = [2019-02-01, 2019-01-01]", "before"),
        ("[[target]", "expected a TOML file"),
    ],
)
def test_a_file_of_targets_says_what_is_wrong_with_it(tmp_path, text, message):
    path = tmp_path / "targets.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_targets(path)
    assert str(path) in str(error.value)


def test_the_operators_file_is_empty_and_its_example_can_be_read(tmp_path):
    text = (Path(__file__).parents[3] / "deployments/targets.toml").read_text()
    example = [re.split(r" {4,}", line.removeprefix("# "))[0] for line in text.splitlines()]
    start = example.index("[[target]]")
    path = tmp_path / "targets.toml"
    path.write_text("\n".join(example[start:]))
    assert [target.name for target in read_targets(path)] == ["ZTF18abc"]
    path.write_text(text)
    with pytest.raises(ValueError, match="no target"):
        read_targets(path)


def test_a_cutout_of_any_camera_is_read(tmp_path):
    """One file with a mask extension, no read noise, another name for the date: the noise is found in the pixels."""
    rng = np.random.default_rng(5)
    slope = np.linspace(0, 40, 60)
    data = (200 + slope + rng.normal(0, 7, (50, 60))).astype(np.float32)
    data[10:14, 10:14] += 600
    mask = np.zeros((50, 60), np.int16)
    mask[5, 5] = 64
    about = header()
    about.rename_keyword("OBSMJD", "MJD-OBS")
    about["FILTER"] = "SDSS r"
    path = tmp_path / "cut.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, about), fits.ImageHDU(mask, name="MASK")]).writeto(path)

    image, found = read_image(path, None)

    assert found["OBSMJD"] == 58600.25
    assert image.mask[5, 5]
    assert np.count_nonzero(image.mask) == 1
    # As in `test_the_noise_is_that_of_the_sky_between_the_stars`, with half of the pixels of 50 x 60.
    assert abs(image.variance.min() / 49 - 1) < 5 * 2.9 / np.sqrt(50 * 60 / 3)
    assert image.variance[12, 12] > 90  # 600 ADU at 6 electrons each
    facts = image_facts(path)
    assert (facts["mjd"], facts["band"], facts["wcs"]) == (58600.25, "SDSS r", True)
    assert facts["ra"] == pytest.approx(TARGET.ra, abs=1 / 3600)  # to a pixel


def test_masks_go_with_their_images(tmp_path):
    for name in ("ztf_x_sciimg.fits", "ztf_x_mskimg.fits", "b.fits", "b_mask.fits", "c.fits", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = {file.path.name: file.mask and file.mask.name for file in find_images(tmp_path)}
    assert found == {"ztf_x_sciimg.fits": "ztf_x_mskimg.fits", "b.fits": "b_mask.fits", "c.fits": None}
    with pytest.raises(ValueError, match="no folder"):
        list(find_images(tmp_path / "nowhere"))


def test_images_that_cannot_be_used_say_why(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"no FITS")
    with pytest.raises(BadData, match="not readable"):
        image_facts(path)
    about = header()
    del about["GAIN"]
    fits.PrimaryHDU(np.zeros((50, 60), np.float32), about).writeto(path, overwrite=True)
    with pytest.raises(BadData, match="the header lacks GAIN; expected electrons"):
        read_image(path, None)
    dark = Image(np.zeros((5, 5), np.float32), np.ones((5, 5), np.float32), np.full((5, 5), 512, np.uint16))
    with pytest.raises(BadData, match="none of its 25 pixels is good"):
        ExposureImage.of(dark, header(), WCS(header()), "dark")
    with pytest.raises(BadData, match="lacks OBSMJD"):
        ExposureImage.of(dark, fits.Header({"GAIN": 6.0}), WCS(header()), "timeless")


@pytest.mark.parametrize(
    ("cards", "band"), [({"FILTERID": 1}, "zg"), ({"FILTER": "ZTF_i"}, "zi"), ({"FILTER": "B"}, "B"), ({}, None)]
)
def test_bands_are_named(cards, band):
    assert band_of(fits.Header(cards)) == band


@pytest.mark.parametrize(
    "cards",
    [
        {"OBSMJD": 58600.25},
        {"MJD-OBS": "58600.25"},
        {"OBSMJD": 0.0, "OBSJD": 2458600.75},
        {"DATE-OBS": "2019-04-27T06:00:00.000"},
        {"DATE-OBS": "2019-04-27", "UT": "06:00:00.0"},
        {"DATE-OBS": "2019/04/27", "TIME-OBS": "6:0:0"},
        {"OBSMJD": "unknown", "DATE-BEG": "2019-04-27 06:00:00Z"},
    ],
)
def test_a_date_is_read_from_the_card_that_has_it(cards):
    assert start_of_exposure(fits.Header(cards.items())) == pytest.approx(58600.25, abs=1e-6)


@pytest.mark.parametrize(
    "cards",
    [{}, {"OBSMJD": 2458600.75}, {"MJD-OBS": -1.0}, {"DATE-OBS": "2019-04-27"}, {"DATE-OBS": "2019-13-27T06:00:00"}],
)
def test_a_date_that_cannot_be_is_none(cards):
    assert start_of_exposure(fits.Header(cards.items())) is None


def test_pixels_without_weight_and_chosen_bits_of_a_mask_are_bad(tmp_path):
    path = tmp_path / "coadd.fits"
    rng = np.random.default_rng(2)
    weight, bits = np.ones((50, 60), np.float32), np.zeros((50, 60), np.int16)
    weight[3, 4], weight[3, 5], bits[7, 8], bits[7, 9] = 0, np.nan, 1, 4
    hdus = [
        fits.PrimaryHDU(rng.normal(100, 5, (50, 60)).astype(np.float32), header()),
        fits.ImageHDU(weight, name="WHT"),
        fits.ImageHDU(bits, name="DQ"),
    ]
    fits.HDUList(hdus).writeto(path)
    every, chosen = read_image(path, None)[0].mask, read_image(path, None, bad_bits=4)[0].mask
    assert sorted(zip(*np.nonzero(every), strict=True)) == [(3, 4), (3, 5), (7, 8), (7, 9)]
    assert sorted(zip(*np.nonzero(chosen), strict=True)) == [(3, 4), (3, 5), (7, 9)]


def test_other_cameras_filters_stand_for_bands():
    recipe = LightCurveRecipe(filters=("SDSS-r = zr", "r=zr"))
    assert [recipe.band(name) for name in ("SDSS-r", "r", "zg", None)] == ["zr", "zr", "zg", None]
    with pytest.raises(ValueError, match="as 'SDSS-r=zr'"):
        LightCurveRecipe(filters=("zr",))
