"""One CCD of real size: 3080 x 3072 pixels a quadrant, from raw files to images and stars."""

import numpy as np
import pytest

from tests.truth.comparison import compare
from tests.truth.photometry import BRIGHT, MMAG, RADII, RECIPE, mean_and_error, photometry
from tests.truth.reduction import QIDS, measure, reduce_night, write_raws
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import CcdExposure, Quadrant
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.readout import Readout
from ztf_in2p3.simulate import chain, files
from ztf_in2p3.simulate.exposures import real_size_night
from ztf_in2p3.simulate.reference import write_reference
from ztf_in2p3.simulate.survey import reference_cones


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Few frames: the noise of the calibrations is large, and expected."""
    plan = real_size_night(3, n_bias=2, n_led=1, n_flat=1, n_object=1)
    tree = tmp_path_factory.mktemp("real")
    write_raws(plan, tree)
    return reduce_night(tree, plan)


def test_image_is_the_truth_within_a_twentieth_of_an_adu_and_3_percent_of_its_noise(real):
    for _, _, one in compare(real, (2, 4)):  # one read from the right, one from the top
        # The mean is known to 0.02 ADU, most of it the offset's.
        assert one.mean_error < 0.025
        assert abs(one.error.mean()) < 0.05
        assert one.error.std() == pytest.approx(np.sqrt(one.variance.mean()), rel=0.03)
        # And far better where every pixel has its own expectation: 4 sigma, and the offset's shape.
        assert one.pull.std() == pytest.approx(1, rel=4 / np.sqrt(2 * one.pull.size) + 2e-3)


def test_offset_is_found_to_a_tenth_of_an_adu_on_all_amplifiers(real):
    for frame in real.plan.frames:
        ccd = CcdExposure(frame.exposure, 3)
        with RawCcd.open(real.tree / files.raw_path(ccd), real.plan.camera) as raw:
            for qid in QIDS:
                drift = real.truth.offset_drift(ccd, qid)
                true = chain.amplifier(real.plan, Quadrant(3, qid)).offset + drift
                error = Readout.of(raw, qid, SensorRecipe()).offset - true
                # Expected: 2 x 0.016 ADU, the error of four coefficients.
                assert np.sqrt(np.mean(error**2)) < 0.1
                assert 1 < np.abs(drift).max() < 10


def test_fluxes_of_a_quadrant_are_unbiased_and_their_errors_true(real):
    [(ccd, images)] = real.images.items()
    write_reference(real.plan.sky, real.tree / "reference", reference_cones(real.plan))
    catalogue = measure(real.tree, real.plan, ccd, {2: images[2]}, RECIPE)
    # Without the archive's mask, what is hot is not known to be: stars on such pixels are left out here.
    hot = chain.dark_rate(real.plan, Quadrant(3, 2)) > 0
    stars = photometry(real.truth, {ccd: catalogue}, {ccd: real.truth.stars(ccd)}, spoilt={2: hot})
    assert len(stars.total) > 1500
    bright = stars.total > BRIGHT
    for chosen in (bright, ~bright):
        some = stars.take(chosen)
        n = len(some.total)
        assert n > 300
        np.testing.assert_allclose(some.pull.std(axis=0), 1, atol=4 / np.sqrt(2 * n))
        for k in range(len(RADII)):
            mean, error = mean_and_error(some.pull[:, k], some.group)
            relative = np.average((some.flux / some.true - 1)[:, k], weights=(some.true / some.error)[:, k] ** 2)
            assert abs(mean) < 4 * error or abs(MMAG * relative) < 1
