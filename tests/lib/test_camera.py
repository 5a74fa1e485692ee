"""The camera's geometry, checked against the sky and against itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.camera import TINY, ZTF, camera_named, flip_readout, mosaic_ccd
from ztf_in2p3.identifiers import Quadrant

quadrants = st.integers(0, 63).map(Quadrant.of_rcid)


@given(quadrants, st.floats(-10, 4000), st.floats(-10, 4000))
def test_focal_plane_and_pixel_are_inverses(quadrant, x, y):
    back = ZTF.pixel(quadrant, *ZTF.focal_plane(quadrant, x, y))
    np.testing.assert_allclose(back, (x, y), atol=1e-9)


@pytest.mark.parametrize("camera", [ZTF, TINY])
def test_no_two_quadrants_overlap_and_the_gaps_are_kept(camera):
    rows, columns = camera.shape
    centres = np.array([camera.focal_plane(q, (columns - 1) / 2, (rows - 1) / 2) for q in camera.quadrants])
    apart = np.abs(centres[:, None] - centres[None])
    overlap = (apart[..., 0] < columns) & (apart[..., 1] < rows)
    assert overlap.sum() == 64  # each with itself
    # The whole camera: eight quadrants and three gaps, each way.
    assert np.ptp(centres[:, 0]) == 7 * columns + 3 * camera.gap[1]
    assert np.ptp(centres[:, 1]) == 7 * rows + 3 * camera.gap[0]


def test_the_real_quadrant_is_where_its_header_says():
    # CRVAL of the centre of ztf_20200924431759_000655_zr_c13_o_q3, and RAD, DECD of the field, in degrees.
    ra, dec, ra_field, dec_field = np.deg2rad([57.9974032715, 35.74628707041, 55.0608, 33.35])
    cos_c = np.sin(dec_field) * np.sin(dec) + np.cos(dec_field) * np.cos(dec) * np.cos(ra - ra_field)
    xi = np.cos(dec) * np.sin(ra - ra_field) / cos_c
    eta = (np.cos(dec_field) * np.sin(dec) - np.sin(dec_field) * np.cos(dec) * np.cos(ra - ra_field)) / cos_c

    u, v = ZTF.focal_plane(Quadrant(13, 3), 1535.5, 1539.5)

    # The field's nominal centre is the pointing of the telescope to about 100 pixels (pointing, rotation, distortion).
    degree = ZTF.pixel_scale / 3600
    np.testing.assert_allclose([u * degree, v * degree], np.rad2deg([xi, eta]), atol=100 * degree)


@given(st.integers(1, 4))
def test_readout_order_is_its_own_inverse(qid):
    pixels = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(flip_readout(flip_readout(pixels, qid), qid), pixels)


def test_readout_starts_in_a_corner_of_the_ccd():
    # Amplifiers sit at the four corners of a CCD: the first pixel read is at an outer corner of the mosaic.
    marked = {}
    for qid in range(1, 5):
        pixels = np.zeros((3, 4))
        flip_readout(pixels, qid)[0, 0] = qid
        marked[qid] = pixels
    ccd = mosaic_ccd(marked)
    assert {ccd[0, 0], ccd[0, -1], ccd[-1, 0], ccd[-1, -1]} == {1, 2, 3, 4}


def test_an_unknown_camera_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match="ztf, tiny"):
        camera_named("zft")
