"""Pixels that the simulated detector has bad are found bad on its bias and flat frames, and no others are."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2, norm

from tests.truth.reduction import QIDS, median_variance, reduce_night, write_raws
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.bad_pixels import bad_pixel_masks
from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.recipes import BadPixelMapRecipe
from ztf_in2p3.simulate import chain, files
from ztf_in2p3.simulate.detector import IDLE_S, USUAL, hot_pixels
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.seeds import generator

N_BIAS, CCDID = 8, 6
SIGMA = 8.0
"""Of the recipe's limits, stated again."""
CAMERA = replace(TINY, shape=(320, 300))


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Plan, the simulated truth and the masks found, by qid."""
    effects = replace(USUAL, noisy_pixels=True)
    plan = tiny_night(ccdids=(CCDID,), filters=(Filter.ZR,), n_bias=N_BIAS, n_led=2, n_flat=2, n_object=1, n_field=1,
                      effects=effects)  # fmt: skip
    plan = replace(plan, camera=CAMERA, objects=())
    tree = tmp_path_factory.mktemp("bad")
    write_raws(plan, tree)
    # Masters without exposures: the reduction wants to know for which filter.
    reduced = reduce_night(tree, plan, filters=(Filter.ZR,))
    biases = [tree / files.raw_path(CcdExposure(frame.exposure, CCDID)) for frame in plan.biases]
    masks = bad_pixel_masks(biases, reduced.bias[CCDID], reduced.flat[Filter.ZR, CCDID], CAMERA, BadPixelMapRecipe())
    return plan, masks


def of_ccd(planes):
    return np.stack([planes(qid) for qid in QIDS])


@pytest.fixture(scope="module")
def found(night):
    _, masks = night
    return of_ccd(lambda qid: masks[qid])


@pytest.fixture(scope="module")
def true(night):
    """Dead pixels, rate of hot ones (e-/s), factor of noisy ones, read noise over gain."""
    plan, _ = night
    quadrants = {qid: Quadrant(CCDID, qid) for qid in QIDS}
    dead = of_ccd(lambda qid: chain.dead_pixels(plan, quadrants[qid]))
    rate = of_ccd(lambda qid: hot_pixels(CAMERA.shape, generator(plan.seed, "hot", quadrants[qid].rcid)))
    factor = of_ccd(lambda qid: chain.noise_factor(plan, quadrants[qid]))
    stages = {qid: chain.amplifier(plan, quadrants[qid]) for qid in QIDS}
    return dead, rate, factor, stages


def test_every_dead_pixel_is_found_and_no_living_one(found, true):
    dead, *_ = true
    assert dead.sum() >= 60
    np.testing.assert_array_equal((found & np.uint16(MaskBit.DEAD)) > 0, dead)


def test_hot_pixels_are_found_from_eight_sigma_on(found, true):
    _, rate, factor, stages = true
    for i, qid in enumerate(QIDS):
        stage = stages[qid]
        # Of a master, and of the median of the 15 pixels around it.
        noise = stage.read_noise / stage.gain * np.sqrt(median_variance(N_BIAS) * (1 + median_variance(15)))
        sigma = rate[i] * IDLE_S / stage.gain / noise
        marked, usual = (found[i] & np.uint16(MaskBit.NOISY)) > 0, factor[i] == 1
        # The robust noise of 96 000 pixels is known to 0.5 %; the pixel itself to one sigma.
        assert marked[(sigma > SIGMA * 1.02 + 4.5)].all()
        assert not marked[(sigma < SIGMA / 1.02 - 4.5) & usual].any()
    assert (rate > 0).sum() > 30


def test_noisy_pixels_are_found_as_often_as_chance_lets_them(found, true):
    _, rate, factor, _ = true
    noisy = (factor > 1) & (rate == 0)
    marked = (found[noisy] & np.uint16(MaskBit.NOISY)) > 0
    # A sample variance of 8 frames against the limit that a usual pixel's passes once in 10^15.
    chance = chi2.sf(chi2.isf(norm.sf(SIGMA), N_BIAS - 1) / factor[noisy] ** 2, N_BIAS - 1)
    assert noisy.sum() > 60
    assert abs(marked.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum()) + 1
    assert chance.mean() > 0.5  # not an empty claim


def test_no_good_pixel_is_called_bad(found, true):
    dead, rate, factor, _ = true
    good = ~dead & (rate == 0) & (factor == 1)
    # Beyond eight sigma lies one pixel in 10^15; response differs by 1 %, the limits are 30 % away.
    assert np.count_nonzero(found[good]) == 0
