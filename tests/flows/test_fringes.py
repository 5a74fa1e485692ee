"""Fringe maps are made of a night's zi exposures, and its images come out without fringes and with their stars."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from flows.calibrate import calibrate
from flows.detector import detector
from flows.detrend import detrend
from flows.download import download
from flows.fringes import fringes
from tasks.inputs.calibrations import Calibrations
from tasks.pages.report import detector_pages
from tests.flows.night import Watched, artifacts, opened
from tests.lib.sensor.fringed import in_cells, without_smooth
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue
from ztf_in2p3.catalogue.reference import stars_within
from ztf_in2p3.catalogue.stars import cone, wcs_of
from ztf_in2p3.detrend.quadrant_file import read_quadrant
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.image import Image, is_bad
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, ccd_of, period_of, quadrant_of
from ztf_in2p3.recipes import CatalogueRecipe, recipe_from
from ztf_in2p3.sensor.fringe_cells import subtract_cells
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store.parquet import read_table

NIGHT, CCD, N_OBJECT = "20190405", 6, 8
PLAN = tiny_night(
    date(2019, 4, 5), ccdids=(CCD,), filters=(Filter.ZI,), n_bias=4, n_led=1, n_flat=3, n_object=N_OBJECT, n_field=3
)
SCOPE = {"camera": "tiny", "ccds": [CCD], "workers": 0}
RECIPE = recipe_from(CatalogueRecipe, {"quadrant": {"fringes": True}})


@pytest.fixture(scope="module")
def made(orchestrator, tmp_path_factory):
    """Store with the night's masters and fringe maps, and what the flow fringes said."""
    folder = tmp_path_factory.mktemp("fringes")
    tree, store = folder / "tree", folder / "store"
    simulate_night(PLAN, tree)
    download(NIGHT, str(store), archive=str(tree), reference=str(tree / "reference"), filters=["zi"], **SCOPE)
    calibrate(NIGHT, str(store), filters=["zi"], **SCOPE)
    return store, fringes(NIGHT, str(store), recipe=RECIPE, return_state=True, **SCOPE)


@pytest.fixture(scope="module")
def detrended(made):
    store, _ = made
    return detrend(NIGHT, str(store), filters=["zi"], recipe=RECIPE, **SCOPE)


def test_maps_amplitudes_and_a_picture_of_each_ccd(made):
    store, state = made
    outcome = state.result()
    assert outcome.set_aside == ()
    assert [one.ref.kind for one in outcome.built] == [Kind.FRINGE, Kind.SUMMARY, Kind.FIGURE, Kind.CALIBRATIONS]
    assert outcome.built[0].about["n_exposures"] == N_OBJECT
    with opened(store).open(outcome.built[1]) as path:
        assert read_table(path).num_rows == 4 * N_OBJECT
    with opened(store).open(outcome.built[3]) as path:
        assert Kind.FRINGE in read_table(path)["kind"].to_pylist()
    assert "fringe" in artifacts(state)["fringes-summary"].data


def test_a_second_run_makes_nothing(made):
    store, _ = made
    watched = Watched(store)
    again = fringes(NIGHT, str(store), recipe=RECIPE, **SCOPE)
    assert (again.n_made, watched.written()) == (0, set())


def test_no_fringe_is_left(made, detrended):
    store, _ = made
    truth = Truth(PLAN)
    found = []
    for built in detrended.built:
        ccd, qid = ccd_of(built.ref), quadrant_of(built.ref).qid
        with opened(store).open(built) as path:
            image, header = read_quadrant(path)
        assert header["FRNGCOR"]
        injected = truth.fringes(ccd, qid)
        removed = removed_by(store, built, header, injected.shape)
        left = without_smooth(in_cells(np.nan_to_num(injected - removed))).std()
        found.append((left, without_smooth(in_cells(injected)).std(), np.sqrt(np.nanmedian(image.variance))))
    left, before, noise = np.array(found).T
    assert len(left) == 4 * N_OBJECT
    assert (left < np.maximum(0.1 * before, noise / 5)).all()
    assert np.median(left / before) < 0.2  # ten exposures of small quadrants; their maps' noise is most of it


def removed_by(store, built, header, shape):
    """What detrending subtracted, by the map and the amplitudes that the header tells."""
    (fringe,) = (one for one in opened(store).list(Kind.FRINGE) if one.ref.file_name == header["FRNGFILE"])
    with opened(store).open(fringe) as path, fits.open(path) as hdus:
        patterns = hdus[f"Q{quadrant_of(built.ref).qid}"].data
    removed = np.zeros(shape, np.float32)
    subtract_cells(removed, -sum(header[f"FRNGA{k}"] * pattern for k, pattern in enumerate(patterns, 1)))
    return removed


def test_no_star_is_moved(made, detrended):
    """Against the same image, same noise, with the true fringes subtracted."""
    store, _ = made
    truth, moved = Truth(PLAN), []
    for built in detrended.built[:8]:
        ccd, qid = ccd_of(built.ref), quadrant_of(built.ref).qid
        with opened(store).open(built) as path:
            image, header = read_quadrant(path)
        with_fringes = image.data + removed_by(store, built, header, image.data.shape)
        perfect = with_fringes - without_smooth(np.nan_to_num(truth.fringes(ccd, qid))).astype(np.float32)
        stars = reference_stars(store, header)
        one, other = (
            aperture_catalogue(Image(data, image.variance, image.mask), header, stars, ccd, qid, PLAN.camera,
                               RECIPE.photometry)
            for data in (image.data, perfect)
        )  # fmt: skip
        clean = ~is_bad(one["flags"].to_numpy())
        for k, area in ((0, np.pi * 3**2), (3, np.pi * 6**2)):
            flux, true, error = (
                column.to_numpy()[clean] for column in (one[f"f_{k}"], other[f"f_{k}"], one[f"f_{k}_e"])
            )
            moved.append(np.array([flux - true, error, np.full(len(flux), header["FRNGSIG"] * area)]))
    shift, error, of_map = np.concatenate(moved, axis=1)
    assert len(shift) > 200
    # An aperture is hardly larger than a cell, so it moves by the noise of a cell times its pixels; by sqrt(3) more
    # where one exposure in three saw the sky, as under the stars of these three fields.  The map of eight exposures has
    # this noise, one of a hundred a fourth of it.
    assert np.sqrt(np.mean(np.square(shift / of_map))) < np.sqrt(3)
    assert np.sqrt(np.mean(np.square(shift / error))) < 0.7


def reference_stars(store, header):
    around = cone([wcs_of(header, "quadrant")], PLAN.camera.shape, beyond_arcsec=140.0)
    parts = []
    for partition in opened(store).list(Kind.REFERENCE):
        with opened(store).open(partition) as path:
            parts.append(stars_within(read_table(path), *around))
    return pa.concat_tables(parts)


def test_the_detectors_page_tells_what_was_injected_and_what_is_left(made):
    store, _ = made
    outcome = detector(NIGHT, str(store), filters=["zi"], recipe=RECIPE, **SCOPE)
    assert outcome.set_aside == ()
    (page,), (table,) = outcome.of(Kind.REPORT), outcome.of(Kind.SUMMARY)
    assert (page.about["verdict"], page.about["verdict_text"].split()[0]) == ("OK", "All")
    with opened(store).open(page) as path:
        html = path.read_text()
    assert html.count("data:image/png;base64") == 6  # five of the detector, one of fringes
    for words in ("zi/c06", "Suspect masters", "Fringes, median"):
        assert words in html

    truth, exposures = Truth(PLAN), {int(ccd.exposure.filefracday): ccd for ccd in PLAN.ccd_exposures}
    with opened(store).open(table) as path:
        rows = read_table(path).to_pylist()
    assert len(rows) == 4 * 4  # exposures, quadrants
    injected = [np.ptp(truth.offset_drift(exposures[row["exposure"]], row["qid"])) for row in rows]
    # A cubic through 256 rows of means of five samples of 1.5 ADU, 0.7 each: its ends are known to 4 / sqrt(256) of
    # that, both ends, four times over.
    np.testing.assert_allclose([row["drift"] for row in rows], injected, atol=4 * np.sqrt(2) * 4 / 16 * 0.7)
    pulls = np.array([(row["pixel_noise"] - 1) / row["pixel_noise_error"] for row in rows])
    # Errors of the fluxes' variance may be wrong by a few parts in a thousand, here half of a standard error.
    assert abs(pulls.mean()) < 4 / np.sqrt(len(pulls)) + 0.5
    assert detector_pages(opened(store), RECIPE, PLAN.night) == [page]
    assert detector_pages(opened(store), RECIPE, date(2019, 4, 6)) == []


def test_maps_of_another_period_serve_only_within_the_tolerance(made):
    store, _ = made
    (found,) = opened(store).list(Kind.FRINGE)
    assert period_of(found.ref) == Period.parse(NIGHT)
    [ccd] = [ccd for ccd in PLAN.ccd_exposures if ccd.exposure == PLAN.objects[0].exposure]
    assert Calibrations(opened(store), RECIPE.quadrant).of(ccd).fringes.built.ref == found.ref
    assert Calibrations(opened(store), CatalogueRecipe().quadrant).of(ccd).fringes is None


def test_without_maps_zi_says_what_to_do_and_other_filters_do_not_care(made, tmp_path):
    store, _ = made
    other = replace(RECIPE, quadrant=replace(RECIPE.quadrant, fringe_fit=replace(RECIPE.quadrant.fringe_fit, cell=16)))
    failed = detrend(NIGHT, str(store), filters=["zi"], recipe=other, max_set_aside=1.0, **SCOPE)
    assert len(failed.set_aside) == N_OBJECT
    assert "fringe maps" in failed.set_aside[0].reason
