"""Each effect of the detector alone, and all but each: none leaves a trace."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.truth.reduction import expected_variance, offset_variance, reduce_night, write_raws
from ztf_in2p3.camera import TINY
from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.image import MaskBit
from ztf_in2p3.simulate import chain
from ztf_in2p3.simulate.detector import Effects
from ztf_in2p3.simulate.exposures import tiny_night

SMALL = replace(TINY, shape=(160, 128))
EVERY = [field.name for field in fields(Effects)]
RANDOM = ("read_noise", "photon_noise", "digitisation", "cosmic_rays", "noisy_pixels")
"""Effects that no calibration undoes."""


def night_with(effects, folder, **how):
    """A CCD of few frames and raw files only: the reduction finds what is wrong with pixels without a mask."""
    given = {"ccdids": (6,), "filters": (Filter.ZR,), "n_bias": 2, "n_led": 1, "n_flat": 1, "n_object": 1, "n_field": 1}
    plan = replace(tiny_night(seed=11, effects=effects, **given | how), camera=SMALL)
    write_raws(plan, folder)
    return reduce_night(folder, plan)


def compared(reduced):
    """CCD exposure, qid, image, truth, and which pixels are not dead and not full."""
    for ccd, images in reduced.images.items():
        for qid, (image, _) in images.items():
            quadrant, frame = Quadrant(ccd.ccdid, qid), reduced.plan.frame(ccd.exposure)
            true = reduced.truth.detrended(ccd, qid)
            charge = chain.expected_charge(reduced.plan, frame, quadrant)
            yield ccd, qid, image, true, np.isfinite(true) & (charge < 0.98 * chain.full_well(reduced.plan))


@pytest.mark.parametrize("name", [name for name in EVERY if name not in RANDOM])
def test_an_effect_alone_is_undone(name, tmp_path, monkeypatch):
    monkeypatch.setattr("ztf_in2p3.simulate.raw.FRACTIONS", 1e4)  # steps a standard deviation: files as good as exact
    reduced = night_with(Effects.none(**{name: True}), tmp_path)
    for _, _, image, true, used in compared(reduced):
        # No noise: what is left is rounding of the files and of float32 (1e-6 of it), the flats' medians (dead pixels
        # and the quantile between pixels move them by 3e-5) and 0.01 ADU of deferred charge in the columns used.
        np.testing.assert_allclose(image.data[used], true[used], rtol=6e-5, atol=0.02)


@pytest.mark.parametrize("name", [None, *EVERY])
def test_without_an_effect_the_result_stays_unbiased(name, tmp_path):
    off = {name: False} if name else {"cosmic_rays": True, "dark_current": True}
    reduced = night_with(replace(Effects(), **off), tmp_path)
    plan = reduced.plan
    for ccd, qid, image, true, used in compared(reduced):
        stage = chain.amplifier(plan, Quadrant(ccd.ccdid, qid))
        used &= chain.cosmic_charge(plan, plan.frame(ccd.exposure), Quadrant(ccd.ccdid, qid)) == 0
        noise = stage.read_noise if plan.effects.read_noise else np.sqrt(1 / 12) * stage.gain
        variance = expected_variance(reduced, ccd, qid, noise, stage.gain)[used].astype(float)
        if not plan.effects.photon_noise:  # of the flats neither
            variance = np.full_like(variance, 1.5 * (noise / stage.gain) ** 2)
        error = (image.data - true)[used].astype(float)
        # Rounding alone moves an offset by up to half an ADU, and those of all frames alike.  Else: four sigma of the
        # mean over the pixels, of the exposure's offset and of those of two bias frames.
        of_offset = offset_variance(noise / stage.gain, plan.camera.shape[0]) * (1 + 1 / 2)
        sigma = np.sqrt(variance.mean() / error.size + of_offset)
        assert abs(error.mean()) < (4 * sigma if plan.effects.read_noise else 0.5)


def test_saturated_pixels_are_flagged(tmp_path):
    sky = replace(tiny_night().sky, bright=11.0, faint=15.0, density=5000.0)
    reduced = night_with(Effects.none(saturation=True, gain_spread=True, bias_pattern=True), tmp_path, sky=sky)
    n_saturated = 0
    for ccd, qid, image, _, _ in compared(reduced):
        charge = chain.expected_charge(reduced.plan, reduced.plan.frame(ccd.exposure), Quadrant(ccd.ccdid, qid))
        filling = charge / chain.full_well(reduced.plan)
        flagged = (image.mask & np.uint16(MaskBit.SATURATED)) > 0
        assert flagged[filling > 1].all()
        assert not flagged[filling < 0.99].any()  # marked from 0.995 on, with the rounding of gain and files
        n_saturated += (filling > 1).sum()
    assert n_saturated > 10
