"""Directions agree with those of astropy, which knows frames, and is slower."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.directions import julian_epoch, tangent_plane, unit_vectors

declinations, right_ascensions = st.floats(-90, 90), st.floats(0, 360)


@given(mjd=st.floats(50_000, 70_000))
def test_the_epoch_of_a_date_is_that_of_astropy(mjd):
    assert abs(julian_epoch(mjd) - Time(mjd, format="mjd", scale="tt").jyear) < 1e-9


@given(ra=right_ascensions, dec=declinations)
def test_a_direction_is_a_unit_vector_as_astropy_has_it(ra, dec):
    np.testing.assert_allclose(
        unit_vectors(ra, dec), SkyCoord(ra, dec, unit="deg").cartesian.xyz.value, rtol=0, atol=1e-15
    )


@settings(max_examples=30, deadline=None)
@given(ra=st.floats(-0.5, 0.5), dec=st.floats(-0.5, 0.5), dec0=st.floats(-80, 80))
def test_the_tangent_plane_is_that_of_a_wcs(ra, dec, dec0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [10.0, dec0], [1, 1]
    x, y = wcs.all_world2pix(10 + ra, dec0 + dec, 0)
    np.testing.assert_allclose(tangent_plane(10 + ra, dec0 + dec, 10.0, dec0), [x + 1, y + 1], rtol=0, atol=3e-10)


def test_the_far_side_of_the_sky_is_nowhere_on_the_plane():
    plane = tangent_plane(np.array([10.0, 190.0, 105.0]), np.array([20.0, -20.0, 0.0]), 10.0, 20.0)
    assert np.isfinite(plane).tolist() == [[True, False, False]] * 2
