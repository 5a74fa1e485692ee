"""Packed planes are the planes, as nearly as they promise, whichever part is asked for."""

import numpy as np
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.packed import PackedData, PackedVariance
from ztf_in2p3.detrend.quadrant import detrend_ccd

floats = st.floats(width=32, allow_infinity=False) | st.floats(-200, 200, width=32)
planes = arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=floats)
parts = st.tuples(st.slices(20), st.slices(5)) | st.slices(20)


@settings(deadline=None)  # the first call compiles
@given(planes, st.floats(0.015625, 100, width=32), parts)
def test_data_are_right_to_half_a_step(plane, noise, part):
    packed = PackedData.of(plane, np.full(plane.shape, noise**2, np.float32))
    there, true = packed[part], plane[part]
    np.testing.assert_array_equal(np.isnan(there), np.isnan(true))
    # Half a sixteenth of the noise, and the rounding of float32 sums of that size.
    with np.errstate(over="ignore", invalid="ignore"):
        error, near = np.abs(there - true), np.abs(plane - packed.zero).astype(np.float64) < 2000 * noise
    assert (error[near[part]] <= noise / 32 * 1.001 + 4e-7 * (np.abs(true[near[part]]) + 2000 * noise)).all()
    # What lies further away than 32767 steps is kept as it is.
    far = np.abs(plane - packed.zero.astype(np.float64)) > 2050 * noise
    np.testing.assert_array_equal(there[far[part]], true[far[part]])


@given(arrays(np.float32, (6, 4), elements=st.floats(2.0**-100, 2.0**100, width=32) | st.just(np.nan)), parts)
def test_variances_are_right_to_a_part_in_256(plane, part):
    np.testing.assert_allclose(PackedVariance.of(plane)[part], plane[part], rtol=1 / 256)


def test_a_packed_pair_detrends_like_the_full_one(detector, tmp_path, bias, flat):
    path = detector.expose(tmp_path / "o.fits.fz", 5, {q: 400.0 * detector.flat[q] for q in QIDS})
    headers = {q: fits.Header() for q in QIDS}
    pairs = (bias, flat), (bias.packed(), flat.packed())
    full, packed = (detrend_ccd(path, *pair, 21_000.0, headers, {}, TINY, RECIPE) for pair in pairs)
    for qid in QIDS:
        (image, header), (other, other_header) = full[qid], packed[qid]
        # A 32nd of the noise of bias (0.55 ADU) and flat (0.4 %, times 400 ADU) at most, both below a pixel's 8 ADU.
        np.testing.assert_allclose(other.data, image.data, atol=(0.55 + 0.004 * 420) / 32 * 1.1)
        np.testing.assert_allclose(other.variance, image.variance, rtol=1 / 250)
        np.testing.assert_array_equal(other.mask, image.mask)
        assert list(header) == list(other_header)
