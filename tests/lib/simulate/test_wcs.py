"""The header's astrometry is where the stars are, and the camera's geometry where they should be."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.identifiers import CcdExposure, Quadrant
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.exposures import real_size_night, tiny_night
from ztf_in2p3.simulate.wcs import astrometry, deproject, field_position, project, quadrant_wcs

NIGHTS = {"tiny": tiny_night(), "ztf": real_size_night(13)}


def pixels(camera, n=9):
    rows, columns = camera.shape
    x, y = np.meshgrid(np.linspace(-0.5, columns - 0.5, n), np.linspace(-0.5, rows - 0.5, n))
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("camera", NIGHTS)
@pytest.mark.parametrize("quadrant", [Quadrant(1, 1), Quadrant(6, 2), Quadrant(13, 3), Quadrant(16, 4)], ids=str)
def test_pixel_to_sky_and_back(camera, quadrant):
    plan = NIGHTS[camera]
    wcs = quadrant_wcs(plan, plan.objects[0], quadrant)
    x, y = pixels(plan.camera)
    back = wcs.all_world2pix(*wcs.all_pix2world(x, y, 0), 0)
    np.testing.assert_allclose(back, (x, y), atol=1e-3)


@pytest.mark.parametrize("camera", NIGHTS)
@pytest.mark.parametrize("quadrant", [Quadrant(1, 1), Quadrant(6, 2), Quadrant(13, 3), Quadrant(16, 4)], ids=str)
def test_astrometry_is_that_of_the_camera_but_for_a_moderate_distortion(camera, quadrant):
    plan = NIGHTS[camera]
    frame = plan.objects[0]
    x, y = pixels(plan.camera)
    sky = SkyCoord(*quadrant_wcs(plan, frame, quadrant).all_pix2world(x, y, 0), unit="deg")
    ideal = SkyCoord(*field_position(plan, frame, quadrant, x, y), unit="deg")
    off = sky.separation(ideal).arcsec / plan.camera.pixel_scale
    # Seven terms of up to half a pixel each way; on the real camera the sphere's curvature adds some.
    assert 0.2 < off.max() < 12
    assert off[len(off) // 2] < 0.05  # the central pixel
    header = astrometry(plan, frame, quadrant)
    assert header["CD1_1"] == pytest.approx(-1.012 / 3600, rel=0.01)
    assert header["CD2_2"] == pytest.approx(-1.012 / 3600, rel=0.01)


def test_pointing_is_within_arcseconds_of_where_the_telescope_was_sent():
    for plan in NIGHTS.values():
        for frame in plan.objects:
            # The axis lies in the gap: beyond the corner of a quadrant of CCD 6 at the middle of the mosaic.
            quadrant = Quadrant(6, 4)
            axis = plan.camera.pixel(quadrant, 0.0, 0.0)
            ra, dec = field_position(plan, frame, quadrant, *axis)
            off = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(frame.ra, frame.dec, unit="deg"))
            assert 0 < off.arcsec < 5 * 5 * np.sqrt(2)


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(0, 360), st.floats(-80, 80))
def test_projection_and_its_inverse(xi, eta, ra0, dec0):
    ra, dec = deproject(xi, eta, ra0, dec0)
    np.testing.assert_allclose(project(ra, dec, ra0, dec0), (xi, eta), atol=1e-9)


def test_the_header_on_disk_shows_the_stars_where_the_truth_has_them(plan, tree):
    for frame in plan.objects:
        ccd = CcdExposure(frame.exposure, 6)
        stars = pq.read_table(tree / files.star_truth_path(ccd)).to_pandas()
        for qid, some in stars.groupby("qid"):
            wcs = WCS(fits.getheader(tree / files.science_path(ccd, qid)))
            x, y = wcs.all_world2pix(some.ra, some.dec, 0)
            np.testing.assert_allclose(np.array([x, y]), [some.x, some.y], atol=1e-6)
            np.testing.assert_allclose(plan.camera.focal_plane(Quadrant(6, qid), x, y), [some.u, some.v], atol=1e-6)
