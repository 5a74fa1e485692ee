"""Detrended images against the sky and stars they show."""

import numpy as np
import pytest

from tests.truth.comparison import compare
from tests.truth.reduction import QIDS, offset_variance
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.image import MaskBit, is_bad
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.readout import Readout
from ztf_in2p3.simulate import chain, files


@pytest.fixture(scope="module")
def compared(night):
    """By CCD exposure and qid."""
    return {(ccd, qid): one for ccd, qid, one in compare(night)}


def test_image_is_the_truth_and_its_noise_the_expected_one(compared):
    means = []
    for one in compared.values():
        assert abs(one.error.mean()) < 4 * one.mean_error
        means.append(one.error.mean() / one.mean_error)
        # 4 sigma of a standard deviation; the offset's shape over the rows adds half a permille.
        assert one.pull.std() == pytest.approx(1, rel=4 / np.sqrt(2 * one.pull.size) + 2e-3)
    # Four exposures share a bias and a flat, which are a small part of the error; 20 % is granted for that.
    assert abs(np.mean(means)) < 4 * 1.2 / np.sqrt(len(means))
    assert np.std(means) == pytest.approx(1, rel=4 / np.sqrt(2 * len(means)))


def test_variance_plane_is_the_variance(compared):
    for one in compared.values():
        assert np.isfinite(one.image.data[one.used]).all()
        pull = one.error / np.sqrt(one.image.variance[one.used].astype(float))
        # The plane is made of noisy counts n: the mean of its inverse is 1 / n (1 + 1 / n) high, 1 permille at 200 ADU;
        # the read noise of the header is exact, the masters' is measured to 1 % and is a tenth.
        assert pull.std() == pytest.approx(1, rel=4 / np.sqrt(2 * pull.size) + 4e-3)


def test_offset_follows_the_drift_of_each_amplifier(night):
    # Error of four coefficients of a cubic, in each of 256 rows: 4 times that of a mean.
    rows = night.plan.camera.shape[0]
    for frame in (*night.plan.biases[:3], *night.plan.flats[:2], *night.plan.objects[:3]):
        for ccd in (one for one in night.plan.ccd_exposures if one.exposure == frame.exposure):
            with RawCcd.open(night.tree / files.raw_path(ccd), night.plan.camera) as raw:
                for qid in QIDS:
                    stage = chain.amplifier(night.plan, Quadrant(ccd.ccdid, qid))
                    error = Readout.of(raw, qid, SensorRecipe()).offset - (
                        stage.offset + night.truth.offset_drift(ccd, qid)
                    )
                    expected = 4 * offset_variance(stage.read_noise / stage.gain, rows)
                    # The sum of four squares of Gaussians is below 23.5 of them in all but 1e-4 of the cases.
                    assert np.mean(error**2) < 23.5 / 4 * expected
                    assert np.abs(night.truth.offset_drift(ccd, qid)).max() > 1


def test_dead_and_hot_pixels_are_flagged_and_hardly_any_other(night, compared):
    for (ccd, qid), one in compared.items():
        quadrant, mask = Quadrant(ccd.ccdid, qid), one.image.mask
        dead = chain.dead_pixels(night.plan, quadrant)
        np.testing.assert_array_equal((mask & np.uint16(MaskBit.DEAD)) > 0, dead)
        assert np.isnan(one.image.data[dead]).all()
        hot = chain.dark_rate(night.plan, quadrant) > 0
        assert is_bad(mask)[hot].all()
        # Neither dead, hot, nor at the top of a star.
        assert is_bad(mask)[one.used & ~hot].sum() == 0
