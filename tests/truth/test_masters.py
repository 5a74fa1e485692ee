"""Master calibrations against what the detector was made of."""

import numpy as np
import pytest

from tests.truth.reduction import QIDS, median_variance, offset_variance
from ztf_in2p3.detrend.stack import clipped_median
from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.simulate import chain

FILTERS = (Filter.ZG, Filter.ZR)


def stage(night, ccdid, qid):
    return chain.amplifier(night.plan, Quadrant(ccdid, qid))


def test_bias_is_the_pattern_and_its_noise_that_of_a_median(night):
    n, rows = len(night.plan.biases), night.plan.camera.shape[0]
    for ccdid in night.plan.ccdids:
        for qid in QIDS:
            amplifier, master = stage(night, ccdid, qid), night.bias[ccdid]
            noise = amplifier.read_noise / amplifier.gain
            error = master.data[qid].astype(float) - night.truth.bias(ccdid, qid)
            variance = median_variance(n) * noise**2
            # The pixels' noise, and the offsets of the frames, averaged.
            assert abs(error.mean()) < 4 * np.sqrt(variance / error.size + offset_variance(noise, rows) / n)
            # Known to 1/sqrt(2m), the variance of a median to 0.3 %; whole ADU and the offset's shape over the rows
            # (three more terms like its mean) add their own.
            shape = 3 * offset_variance(noise, rows) / n
            assert error.std() == pytest.approx(np.sqrt(variance + shape), rel=4 / np.sqrt(2 * error.size) + 0.03)
            assert np.sqrt(np.mean(master.variance[qid])) == pytest.approx(error.std(), rel=0.04)
            assert (master.count[qid] > n // 2).all()


def test_bias_has_no_stripes_along_the_columns(night):
    # Each column has a level of its own to find, 1.5 ADU from its neighbours'.
    for ccdid in night.plan.ccdids:
        for qid in QIDS:
            error = night.bias[ccdid].data[qid].astype(float) - night.truth.bias(ccdid, qid)
            rows, columns = error.shape
            # Means of independent pixels scatter by their noise over sqrt(rows), 0.035 ADU, and no more.
            expected = error.std() / np.sqrt(rows)
            assert error.mean(axis=0).std() == pytest.approx(expected, rel=4 / np.sqrt(2 * columns))


def test_a_median_of_ten_digitised_frames_is_unbiased():
    """Whole numbers have a whole median, but the noise dithers it."""
    noise, draw = 1.5, np.random.default_rng(1)
    for level in (0.0, 0.25, 0.5):
        frames = np.rint(level + noise * draw.standard_normal((10, 1, 200_000), np.float32))
        median, _ = clipped_median(frames, clip=3.0)
        # 4 sigma of a mean: 0.005 ADU.
        assert abs(median.mean(dtype=float) - level) < 4 * median.std() / np.sqrt(median.size)


def test_flats_are_the_response_of_the_pixels(night):
    truth = night.truth
    for filter in FILTERS:
        n_flat = sum(frame.exposure.filter == filter for frame in night.plan.flats) // 2
        for ccdid in night.plan.ccdids:
            for qid in QIDS:
                gain, pairs = stage(night, ccdid, qid).gain, [(night.flat[filter, ccdid], None)]
                pairs += [(master, led) for (*key, led), master in night.leds.items() if key == [filter, ccdid]]
                for master, led in pairs:
                    true = truth.flat(filter, ccdid, qid) if led is None else truth.led_flat(filter, led, ccdid, qid)
                    medians = truth.levels(filter).led_medians[ccdid]
                    level = np.mean(list(medians.values())) if led is None else medians[led]
                    seen = np.isfinite(true)
                    error = (master.data[qid].astype(float) / true - 1)[seen]
                    # Photons of the frames; a hundredth for the LEDs' different levels.
                    expected = np.sqrt(median_variance(n_flat) / (gain * level * true[seen] * (1 if led else 2)))
                    pull = error / expected
                    assert pull.std() == pytest.approx(1, rel=4 / np.sqrt(2 * pull.size) + 0.01)
                    # The CCD's median, by which all its flats are divided, is itself known as that of 245 000 pixels,
                    # and noise s moves the median of a distribution f by s^2 f' / (2 f): 1e-6 / 2 / 0.02 here.
                    mean = np.median(expected) * np.sqrt(1 + 1.57 / 4) / np.sqrt(pull.size)
                    assert abs(error.mean()) < 4 * mean + 4e-5
                    relative = np.sqrt(master.variance[qid][seen].astype(float)) / true[seen]
                    assert np.median(relative / expected) == pytest.approx(1, rel=0.03)


def test_levels_of_flats_and_focal_plane(night):
    for filter in FILTERS:
        levels = night.truth.levels(filter)
        for ccdid in night.plan.ccdids:
            # The lamps' median level is that of frame levels of 16 in 256 rows, whose response is the same in all
            # frames and whose noise is 0.003: 0.003 x 1.25 / sqrt(16 000) = 3e-5; 4 sigma, and 4e-5 of the medians.
            measured = float(night.flat[filter, ccdid].value("FLTNORM"))
            assert measured == pytest.approx(levels.fltnorm(ccdid), rel=4 * 3e-5 + 4e-5)
        assert night.level[filter] == pytest.approx(levels.focal_plane, rel=4 * 3e-5 + 4e-5)
