"""Pixels that are hot in long exposures only are found in the exposures of a period, and no star is taken for one."""

from dataclasses import replace

import numpy as np
import pytest

from tests.truth.reduction import QIDS, reduce_night, write_raws
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.bad_pixels import bad_pixel_masks
from ztf_in2p3.detrend.hot_pixels import mark_hot_pixels
from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.recipes import BadPixelMapRecipe, BadPixelRecipe
from ztf_in2p3.simulate import chain, files
from ztf_in2p3.simulate.detector import USUAL
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.sky import Sky

CCDID, N_EXPOSURE = 6, 12
CAMERA = replace(TINY, shape=(240, 220))
RECIPE = BadPixelMapRecipe()
NOISY = np.uint16(MaskBit.NOISY)


@pytest.fixture(scope="module", params=["dithered", "undithered"])
def night(request, tmp_path_factory):
    """Plan, masks by qid from the bias and flat frames, those masks with hot pixels, and what else it takes."""
    effects = replace(USUAL, warm_pixels=True, cosmic_rays=True)
    counts = {"n_bias": 4, "n_led": 1, "n_flat": 2, "n_object": N_EXPOSURE, "n_field": 1}
    plan = tiny_night(ccdids=(CCDID,), filters=(Filter.ZR,), **counts, effects=effects, sky=Sky(density=6000.0))
    objects = plan.objects
    if request.param == "undithered":
        objects = tuple(replace(frame, ra=objects[0].ra, dec=objects[0].dec) for frame in objects)
    plan = replace(plan, camera=CAMERA, objects=objects)
    tree = tmp_path_factory.mktemp("hot")
    write_raws(plan, tree)
    reduced = reduce_night(tree, replace(plan, objects=()), filters=(Filter.ZR,))
    bias, flat = reduced.bias[CCDID], reduced.flat[Filter.ZR, CCDID]

    def paths(frames):
        return [tree / files.raw_path(CcdExposure(frame.exposure, CCDID)) for frame in frames]

    before = bad_pixel_masks(paths(plan.biases), bias, flat, CAMERA, RECIPE)
    after = {qid: mask.copy() for qid, mask in before.items()}
    n = mark_hot_pixels(after, paths(plan.objects), bias, flat, CAMERA, RECIPE)
    return plan, before, after, n, (paths(plan.objects), bias, flat)


def test_hot_pixels_that_no_bias_shows_are_found(night):
    plan, before, after, n, _ = night
    assert n == N_EXPOSURE
    new = hidden = 0
    for qid in QIDS:
        quadrant = Quadrant(CCDID, qid)
        gain = chain.amplifier(plan, quadrant).gain
        excess = chain.dark_rate(plan, quadrant) * 30 / gain
        # The noise of an exposure: photons of the brightest sky of the plan, and 1.5 ADU of the amplifier.
        noise = np.sqrt(max(frame.sky_adu for frame in plan.objects) * 1.1 / gain + 1.5**2)
        clear = (excess > 4.5 * noise) & ~chain.dead_pixels(plan, quadrant)
        hidden += ((before[qid][clear] & NOISY) == 0).sum()
        new += ((after[qid][clear] & NOISY) != 0).sum() - ((before[qid][clear] & NOISY) != 0).sum()
    assert hidden > 12
    # Beyond 4.5 sigma a pixel stands out (2 sigma) in 99.4 % of the exposures; what hides one is a star upon it or
    # beside it in most of them, or a second hot pixel: one in thirty.
    assert new > 0.9 * hidden


def test_no_good_pixel_is_called_hot(night):
    plan, _, after, _, _ = night
    for qid in QIDS:
        quadrant = Quadrant(CCDID, qid)
        good = ~chain.dead_pixels(plan, quadrant) & (chain.dark_rate(plan, quadrant) == 0)
        assert np.count_nonzero(after[qid][good] & NOISY) == 0


def test_few_exposures_or_files_that_cannot_be_read_mark_nothing(night, tmp_path):
    _, before, _, _, (paths, bias, flat) = night
    limits = BadPixelRecipe()
    broken = tmp_path / paths[0].name
    broken.write_bytes(paths[0].read_bytes()[:5000])
    for given, expected in ((paths[: limits.least_light - 1], 0), ([broken, *paths[1 : limits.least_light]], 5)):
        masks = {qid: mask.copy() for qid, mask in before.items()}
        assert mark_hot_pixels(masks, given, bias, flat, CAMERA, RECIPE) == expected
        for qid in QIDS:
            np.testing.assert_array_equal(masks[qid], before[qid])
