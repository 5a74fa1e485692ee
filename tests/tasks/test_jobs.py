"""What goes into the products of a CCD exposure, and why some cannot be made."""

import pytest

from tasks.inputs.calibrations import Calibrations
from tasks.inputs.jobs import ccd_jobs, science_jobs, with_stars
from tasks.inputs.references import StarPartitions
from tests.tasks.shelf import Shelf, exposure, period
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind, bias_ref, flat_ref, focal_plane_ref, reference_ref
from ztf_in2p3.recipes import PhotometryRecipe, QuadrantRecipe, ReferenceRecipe

NIGHT, RECIPE, AT = period("20190405"), QuadrantRecipe(), exposure(1)


@pytest.fixture
def night(shelf: Shelf) -> Shelf:
    """Masters of CCDs 3 and 6, and one whole exposure of CCD 3."""
    for ccdid in (3, 6):
        shelf.put(bias_ref(RECIPE.bias, NIGHT, ccdid), RECIPE.bias)
        shelf.put(flat_ref(RECIPE.flat, NIGHT, AT.filter, ccdid), RECIPE.flat)
    shelf.put(focal_plane_ref(RECIPE.focal_plane, NIGHT, AT.filter), RECIPE.focal_plane)
    shelf.raw(AT)
    shelf.headers(AT)
    shelf.masks(AT)
    return shelf


def test_a_whole_exposure_is_ready_with_all_its_inputs(night):
    ready, aside = ccd_jobs(night.store, NIGHT, RECIPE)
    ((at, (job,)),) = ready.items()
    assert (at, job.ccd, aside) == (AT, CcdExposure(AT, 3), [])
    assert [one.ref.kind for one in job.inputs] == [
        Kind.RAW, *4 * [Kind.HEADER], *4 * [Kind.MASK], Kind.BIAS, Kind.FLAT, Kind.FOCAL_PLANE,
    ]  # fmt: skip
    assert list(job.headers) == list(job.masks) == [1, 2, 3, 4]


def test_masters_are_looked_for_once_for_the_exposures_of_a_night_filter_and_ccd(night, monkeypatch):
    for at, ccdid in ((exposure(2), 3), (exposure(2), 6), (exposure(3), 3)):
        night.raw(at, ccdid)
        night.headers(at, ccdid)
    looked_for, of = [], Calibrations.of
    monkeypatch.setattr(Calibrations, "of", lambda self, ccd: looked_for.append(ccd.ccdid) or of(self, ccd))
    ready, _ = ccd_jobs(night.store, NIGHT, RECIPE)
    assert sorted(looked_for) == [3, 6]
    chosen = {(job.ccd.ccdid, job.calibration.bias.built.ref.data_id[-3:]) for jobs in ready.values() for job in jobs}
    assert (len(ready), chosen) == (3, {(3, "c03"), (6, "c06")})


def test_the_ccds_of_an_exposure_come_together_and_can_be_chosen(night):
    night.raw(AT, 6)
    night.headers(AT, 6)
    ready, _ = ccd_jobs(night.store, NIGHT, RECIPE)
    assert [job.ccd.ccdid for job in ready[AT]] == [3, 6]
    ready, _ = ccd_jobs(night.store, NIGHT, RECIPE, ccdids=[6])
    assert [job.ccd.ccdid for job in ready[AT]] == [6]


def test_a_quadrant_without_a_mask_is_measured_all_the_same(night):
    night.raw(AT, 6)
    night.headers(AT, 6)
    night.masks(AT, 6, (2,))
    ready, aside = ccd_jobs(night.store, NIGHT, RECIPE, ccdids=[6])
    assert (list(ready[AT][0].headers), list(ready[AT][0].masks), aside) == ([1, 2, 3, 4], [2], [])


def test_a_blind_header_is_set_aside_and_its_neighbours_are_not(night):
    night.raw(AT, 6)
    night.headers(AT, 6, (1, 2))
    night.headers(AT, 6, (3,), wcs=False)
    ready, (aside, absent) = ccd_jobs(night.store, NIGHT, RECIPE, ccdids=[6])
    assert list(ready[AT][0].headers) == [1, 2]
    assert absent.what == f"{CcdExposure(AT, 6)}_q4"  # nothing of it came
    assert aside.what == f"{CcdExposure(AT, 6)}_q3_scihdr.fits"
    assert "has no WCS" in aside.reason


@pytest.mark.parametrize("blind", [True, False])
def test_an_exposure_without_any_header_that_sees_is_set_aside(night, blind):
    night.raw(AT, 6)
    if blind:
        night.headers(AT, 6, wcs=False)
    ready, aside = ccd_jobs(night.store, NIGHT, RECIPE, ccdids=[6])
    assert ready == {}
    assert len(aside) == 4 * blind + 1
    assert (aside[-1].what, aside[-1].reason.split(":")[0]) == (str(CcdExposure(AT, 6)), "BadData")
    assert "run the flow download again" in aside[-1].reason


def test_an_exposure_without_masters_is_set_aside_and_the_others_are_not(night):
    night.raw(AT, 7)
    night.headers(AT, 7)
    ready, (aside,) = ccd_jobs(night.store, NIGHT, RECIPE)
    assert [job.ccd.ccdid for job in ready[AT]] == [3]
    assert (aside.what, aside.reason.split(":")[0]) == (str(CcdExposure(AT, 7)), "MissingProduct")


# --- the archive's own images


def test_images_go_with_their_masks(shelf):
    shelf.images(AT)
    shelf.masks(AT, qids=(1, 2, 4))
    ready, (aside,) = science_jobs(shelf.store, NIGHT)
    (job,) = ready[AT]
    assert list(job.images) == list(job.masks) == [1, 2, 4]
    assert aside.what == f"{CcdExposure(AT, 3)}_q3_sciimg.fits"
    assert "mask is not in the store; run the flow download" in aside.reason


def test_an_exposure_of_images_without_masks_is_no_job(shelf):
    shelf.images(AT)
    ready, aside = science_jobs(shelf.store, NIGHT)
    assert (ready, len(aside)) == ({}, 4)


# --- with stars


def partitions(shelf: Shelf, *pixels: int) -> StarPartitions:
    for pixel in pixels:
        shelf.put(reference_ref(ReferenceRecipe(), 0, pixel), ReferenceRecipe(), {"order": 0, "pixel": pixel})
    return StarPartitions(shelf.store, ReferenceRecipe(), PhotometryRecipe())


def test_every_job_gets_the_stars_around_it_or_is_set_aside(night):
    """Pixels 0 to 3 of order 0 are those of the northern cap; RA 150, Dec 2 lies in 5, RA 150, Dec 60 in 1."""
    far = exposure(2)
    night.raw(far)
    night.headers(far, dec=60.0)
    ready, _ = ccd_jobs(night.store, NIGHT, RECIPE)
    found, (aside,) = with_stars(ready, partitions(night, 1))
    assert [str(one.ref.data_id) for job in found[far] for one in job.stars] == ["Norder0_Npix1"]
    assert (aside.what, AT in found) == (str(CcdExposure(AT, 3)), False)
    assert "run the flow download" in aside.reason


def test_where_sources_are_detected_no_stars_are_looked_for(night):
    ready, _ = ccd_jobs(night.store, NIGHT, RECIPE)
    assert with_stars(ready, None) == (ready, [])
