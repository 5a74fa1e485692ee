"""Which partitions of the reference catalogue an image needs."""

import numpy as np
import pytest
from astropy import units
from astropy_healpix import HEALPix

from tasks.inputs.references import MARGIN_ARCSEC, StarPartitions, circles, star_partitions
from tests.tasks.shelf import Shelf, exposure
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Built, header_ref, reference_ref
from ztf_in2p3.recipes import PhotometryRecipe, ReferenceRecipe

RECIPE, PHOTOMETRY = ReferenceRecipe(), PhotometryRecipe()
ORDER = 5
GRID = HEALPix(nside=2**ORDER, order="nested")


def header(ra: float, dec: float, radius: float = 0.6, *, number: int = 1, qid: int = 1, wcs: bool = True) -> Built:
    about = {"ra": ra, "dec": dec, "radius": radius, "wcs": wcs} if wcs else {"wcs": False, "ra": None, "dec": None}
    return Built(header_ref(CcdExposure(exposure(number), 3), qid), "0" * 64, 1, about)


def separation(ra1, dec1, ra2, dec2):
    """Degrees (haversine)."""
    a, b, c, d = map(np.radians, (ra1, dec1, ra2, dec2))
    chord = np.sin((d - b) / 2) ** 2 + np.cos(b) * np.cos(d) * np.sin((c - a) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(chord)))


@pytest.mark.parametrize("ra", [150.0, 359.9, 0.05])
def test_the_circle_of_an_exposure_holds_every_image_of_it_and_a_rim(ra):
    images = [header((ra + dx) % 360, 2 + dy, qid=qid) for qid, (dx, dy) in enumerate([(0, 0), (0.9, 0), (0, 0.9)], 1)]
    ((centre_ra, centre_dec, radius),) = circles(images, PHOTOMETRY)
    rim = (PHOTOMETRY.isolation_arcsec + MARGIN_ARCSEC) / 3600
    reach = [separation(centre_ra, centre_dec, one.about["ra"], one.about["dec"]) + 0.6 for one in images]
    assert max(reach) + rim <= radius + 1e-9
    assert radius < 0.6 + rim + 1.5  # and not the whole sky


def test_each_exposure_has_its_own_circle_and_a_blind_image_none():
    assert (
        len(circles([header(10, 20), header(200, -20, number=2), header(0, 0, number=3, wcs=False)], PHOTOMETRY)) == 2
    )
    assert circles([], PHOTOMETRY) == []


def test_a_wider_isolation_needs_a_wider_circle():
    ((_, _, near),) = circles([header(10, 20)], PHOTOMETRY)
    ((_, _, far),) = circles([header(10, 20)], PhotometryRecipe(isolation_arcsec=3620.0))
    np.testing.assert_allclose(far - near, 1.0)


@pytest.fixture
def stocked(shelf: Shelf) -> Shelf:
    """All partitions within 6 degrees of RA 150, Dec 2."""
    for pixel in GRID.cone_search_lonlat(150 * units.deg, 2 * units.deg, 6 * units.deg).tolist():
        shelf.put(reference_ref(RECIPE, ORDER, pixel), RECIPE, {"order": ORDER, "pixel": pixel})
    return shelf


def test_no_partition_with_a_star_near_the_image_is_left_out(stocked):
    found = StarPartitions(stocked.store, RECIPE, PHOTOMETRY).around([header(150.5, 2.2)])
    pixels = {int(one.about["pixel"]) for one in found}
    angle, distance = np.meshgrid(np.linspace(0, 2 * np.pi, 200), np.linspace(0, 0.6, 60))
    ra = 150.5 + distance * np.cos(angle) / np.cos(np.radians(2.2))
    near = GRID.lonlat_to_healpix(ra.ravel() * units.deg, (2.2 + distance * np.sin(angle)).ravel() * units.deg)
    assert set(near.tolist()) <= pixels
    assert len(pixels) < 12  # a partition is 1.8 degrees wide


def test_they_come_in_one_order(stocked):
    """The order of the inputs is part of what a catalogue is made of."""
    partitions = StarPartitions(stocked.store, RECIPE, PHOTOMETRY)
    images = [header(150.5, 2.2), header(149.0, 1.0, qid=2)]
    found = [one.ref for one in partitions.around(images)]
    assert found == [one.ref for one in partitions.around(images[::-1])]
    pixels = [int(one.about["pixel"]) for one in partitions.around(images)]
    assert pixels == sorted(pixels)


def test_far_from_all_partitions_the_remedy_is_named(stocked):
    with pytest.raises(MissingProduct, match=r"scihdr\.fits: no reference stars around it .* run the flow download"):
        StarPartitions(stocked.store, RECIPE, PHOTOMETRY).around([header(10.0, 60.0)])


def test_another_catalogue_is_another_matter(stocked):
    other = ReferenceRecipe(epoch=2015.5)
    with pytest.raises(MissingProduct):
        StarPartitions(stocked.store, other, PHOTOMETRY).around([header(150.5, 2.2)])


def test_nothing_is_looked_up_where_sources_are_detected(shelf):
    assert star_partitions(shelf.store, None, PHOTOMETRY) is None
