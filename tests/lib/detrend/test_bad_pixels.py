"""Pixels made bad are found bad, for what they are, and hardly any other."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.lib.detrend.raw_files import QIDS
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.bad_pixels import bad_pixel_masks, bad_pixels, read_masks, write_masks
from ztf_in2p3.detrend.running_median import running_median
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import MaskBit
from ztf_in2p3.recipes import BadPixelMapRecipe, BadPixelRecipe

SHAPE, N_FRAME = (150, 140), 20
LIMITS = BadPixelRecipe()
AT = ([3, 70, 149], [0, 66, 139])


@pytest.fixture
def planes():
    """Bias with a pattern of columns and a glow; vignetted flat; scatter of 20 frames of 1.5 ADU."""
    rng = np.random.default_rng(1)
    row = np.arange(SHAPE[0])[:, np.newaxis]
    bias = 60 + 20 * np.exp(-row / 50) + rng.normal(0, 5, SHAPE[1]) + rng.normal(0, 0.5, SHAPE)
    flat = 1 - 0.2 * ((row - 75) / 75) ** 2 + rng.normal(0, 0.01, SHAPE)
    scatter = 1.5**2 * rng.chisquare(N_FRAME - 1, SHAPE) / (N_FRAME - 1)
    return [*(plane.astype(np.float32) for plane in (bias, flat, scatter)), np.full(SHAPE, N_FRAME, np.uint16)]


@pytest.mark.parametrize(
    ("plane", "factor", "bit"),
    [
        (0, 2.0, MaskBit.NOISY),
        (1, 0.0, MaskBit.DEAD),
        (1, 0.4, MaskBit.LOW_RESPONSE),
        (1, 1.8, MaskBit.HIGH_RESPONSE),
        (2, 20.0, MaskBit.NOISY),
        (0, np.nan, MaskBit.NAN),
    ],
)
def test_each_kind_is_found(planes, plane, factor, bit):
    planes[plane][AT] *= factor
    assert (bad_pixels(*planes, LIMITS)[AT] == bit).all()


def test_a_dead_column_is_found_although_its_own_pixels_agree(planes):
    planes[1][:, 33] *= 0.01
    mask = bad_pixels(*planes, LIMITS)
    assert (mask[:, 33] == MaskBit.DEAD).all()


def test_good_pixels_are_left_in_peace(planes):
    # Eight sigma each, of 21 000 Gaussian or chi-square pixels: a chance of 1e-11 that one is beyond.
    assert np.count_nonzero(bad_pixels(*planes, LIMITS)) == 0


def test_few_frames_do_not_make_usual_pixels_noisy(planes):
    planes[2][...] = 2 * np.random.default_rng(4).chisquare(3, SHAPE) / 3
    planes[3][...] = 4
    assert np.count_nonzero(bad_pixels(*planes, LIMITS)) == 0


def test_planes_of_one_quadrant_have_one_shape(planes):
    with pytest.raises(ValueError, match="differ in shape"):
        bad_pixels(planes[0], planes[1][:-1], *planes[2:], LIMITS)


@settings(deadline=None)  # the first call compiles
@given(
    arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.floats(-100, 100, width=32)),
    st.sampled_from([1, 3, 7]),
)
def test_running_median_is_the_median_of_what_is_around(plane, width):
    mirrored = np.pad(np.arange(len(plane)), width // 2, mode="reflect")
    at = mirrored[np.arange(len(plane))[:, None] + np.arange(width)]
    np.testing.assert_array_equal(running_median(plane, width), np.median(plane[at], axis=1))


def test_running_median_leaves_out_what_has_no_data():
    draw = np.random.default_rng(5)
    plane = draw.normal(0, 1, (60, 300)).astype(np.float32)  # more columns than are computed at a time
    plane[draw.random(plane.shape) < 0.3] = np.nan
    plane[draw.random(plane.shape) < 0.01] = np.inf
    plane[:, 7], plane[10:30, 9] = np.nan, np.nan
    at = np.pad(np.arange(60), 3, mode="reflect")[np.arange(60)[:, None] + np.arange(7)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, where there is nothing
        expected = np.nanmedian(np.where(np.isfinite(plane), plane, np.nan)[at], axis=1)
    np.testing.assert_array_equal(running_median(plane, 7), expected)
    assert np.isnan(expected[:, 7]).all()


def test_masks_survive_their_file_and_are_counted(tmp_path):
    masks = {qid: np.zeros(TINY.shape, np.uint16) for qid in QIDS}
    masks[2][5, 6:9] = MaskBit.DEAD
    masks[3][1, 1] = MaskBit.DEAD | MaskBit.NOISY
    about = write_masks(tmp_path / "bad.fits", masks, {"CCDID": 3})
    assert (about["n_dead"], about["n_noisy"], about["n_low_response"]) == (4, 1, 0)
    assert about["share"] == 4 / (4 * np.prod(TINY.shape))
    for qid, mask in read_masks(tmp_path / "bad.fits", TINY).items():
        np.testing.assert_array_equal(mask, masks[qid])
    (tmp_path / "no.fits").write_bytes(b"")
    with pytest.raises(BadData, match=r"no\.fits: no bad-pixel masks"):
        read_masks(tmp_path / "no.fits", TINY)


def test_a_ccd_without_bad_pixels_has_none(bias_frames, bias, flat):
    masks = bad_pixel_masks(bias_frames, bias, flat, TINY, BadPixelMapRecipe())
    assert sum(np.count_nonzero(mask) for mask in masks.values()) == 0  # 8 sigma, as above
