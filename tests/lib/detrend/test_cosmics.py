"""Radiation hits are found among stars, and no star is taken for one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.cosmics import mark_radiation_hits
from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.simulate import chain
from ztf_in2p3.simulate.detector import Effects
from ztf_in2p3.simulate.exposures import tiny_night

RADIATION = np.uint16(MaskBit.RADIATION_HIT)
EDGE = 8
"""Pixels in which nothing is looked for."""


@pytest.fixture(scope="module", params=[2.0, 2.6])
def exposure(request):
    """Image before its hits are marked, electrons left by hits, their noise: as many hits as in 20 minutes."""
    effects = Effects.none(cosmic_rays=True, photon_noise=True, saturation=True)
    plan = tiny_night(ccdids=(6,), filters=(Filter.ZR,), n_bias=1, n_led=1, n_flat=1, n_object=1, n_field=1,
                      effects=effects)  # fmt: skip
    plan = replace(plan, camera=replace(TINY, shape=(640, 640)))
    frame, quadrant = replace(plan.objects[0], seeing=request.param, exptime=1200.0), Quadrant(6, 1)
    expected = chain.expected_charge(plan, frame, quadrant)
    charge, hits = chain.collected_charge(plan, frame, quadrant, expected), chain.cosmic_charge(plan, frame, quadrant)
    gain, read = plan.camera.gain, plan.camera.read_noise / plan.camera.gain
    data = charge / gain + np.random.default_rng(1).normal(0, read, charge.shape)
    variance = charge / gain**2 + read**2
    full = np.where(charge >= 0.995 * chain.full_well(plan), np.uint16(MaskBit.SATURATED), np.uint16(0))
    image = Image(data.astype(np.float32), variance.astype(np.float32), full)
    return image, hits, np.sqrt(np.maximum(expected, 0) + gain**2 * read**2)


def copied(image, **planes):
    return Image(*(planes.get(name, getattr(image, name)).copy() for name in ("data", "variance", "mask")))


def test_hits_are_found_and_no_star_is_taken_for_one(exposure):
    image, hits, noise = exposure
    marked = copied(image)
    n = mark_radiation_hits(marked)
    found = (marked.mask & RADIATION) != 0
    assert found.sum() == n
    inside = np.zeros_like(found)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    dark = noise < 1.1 * np.median(noise)  # not in a star: a hit in its core cannot be told from it
    clear = (hits > 15 * noise) & dark & inside & ~binary_dilation(image.mask > 0, np.ones((3, 3)), 11)
    assert clear.sum() > 50
    # The threshold is 6 sigma of the Laplacian, to which neighbours in a track give half of the pixel's charge back.
    assert found[clear].all()
    # Away from hits there is noise, which passes 6 sigma once in 10^9, and stars: none may be touched.
    assert not (found & ~binary_dilation(hits > 0, np.ones((3, 3)), 4)).any()


def test_data_are_left_as_they_are_and_bad_pixels_too(exposure):
    image, hits, _ = exposure
    row, column = np.argwhere(hits == hits.max())[0]
    holed = copied(image)
    holed.data[row, column] = holed.variance[row, column] = np.nan
    holed.mask[row, column] = MaskBit.NAN
    before = copied(holed)
    mark_radiation_hits(holed)
    np.testing.assert_array_equal(holed.data, before.data)
    np.testing.assert_array_equal(holed.mask & ~RADIATION, before.mask)
    assert holed.mask[row, column] == MaskBit.NAN


def test_an_image_without_data_has_no_hits():
    nothing = np.full((40, 40), np.nan, np.float32)
    assert mark_radiation_hits(Image(nothing, nothing, np.zeros((40, 40), np.uint16))) == 0
