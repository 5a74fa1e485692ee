"""Pockets are measured on a night's exposures, and that night is detrended with what was found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from astropy.io import fits

from flows.calibrate import calibrate
from flows.detrend import detrend
from flows.download import download
from flows.pocket import pocket
from tests.flows.night import Watched, artifacts, kinds, opened, products
from ztf_in2p3.camera import flip_readout
from ztf_in2p3.detrend.quadrant_file import read_quadrant
from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.products import Kind, ccd_of, quadrant_of
from ztf_in2p3.recipes import CatalogueRecipe, recipe_from
from ztf_in2p3.simulate.detector import Effects
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.headers import temperatures
from ztf_in2p3.simulate.pocket import equilibrium_charge
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store.parquet import read_table

NIGHT, CCD = "20200405", 6
N_OBJECT, N_FLAT = 5, 2
PLAN = tiny_night(
    date(2020, 4, 5), ccdids=(CCD,), filters=(Filter.ZR,), n_bias=4, n_led=1,
    n_flat=N_FLAT, n_object=N_OBJECT, n_field=1,
    effects=replace(Effects(), pocket="equilibrium", hot_pixels=False, dead_pixels=False),
)  # fmt: skip
SCOPE = {"camera": "tiny", "ccds": [CCD], "workers": 0}


def with_sensor(**numbers) -> CatalogueRecipe:
    sensor = {"focal_plane": {"flat": {"led": {"bias": {"sensor": numbers}}}}}
    return recipe_from(CatalogueRecipe, {"quadrant": sensor})


RECIPE = with_sensor(pocket="equilibrium")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pocket")
    levels = np.geomspace(100, 1000, N_OBJECT)
    objects = tuple(replace(one, sky_adu=float(level)) for one, level in zip(PLAN.objects, levels, strict=True))
    plan = replace(PLAN, objects=objects)
    simulate_night(plan, folder)
    return plan, folder


@pytest.fixture(scope="module")
def downloaded(tree, orchestrator, tmp_path_factory):
    """The night's files.  Read-only for the tests."""
    _, folder = tree
    store = tmp_path_factory.mktemp("downloaded")
    download(NIGHT, str(store), archive=str(folder), reference=str(folder / "reference"), **SCOPE)
    return store


@pytest.fixture(scope="module")
def measured(downloaded, tmp_path_factory):
    """The night's files, and its pockets as measured on them."""
    store = shutil.copytree(downloaded, tmp_path_factory.mktemp("measured") / "store")
    state = pocket(NIGHT, str(store), recipe=RECIPE, **SCOPE, return_state=True)
    return store, state


@pytest.fixture(scope="module")
def corrected(measured):
    """The night calibrated and detrended with these pockets."""
    store, _ = measured
    calibrated = calibrate(NIGHT, str(store), recipe=RECIPE, **SCOPE)
    images = detrend(NIGHT, str(store), recipe=RECIPE, **SCOPE)
    assert calibrated.set_aside == images.set_aside == ()
    return store


def test_the_flow_makes_profiles_pockets_and_pictures(measured):
    store, state = measured
    made = {row["product"]: row["made"] for row in state.result().table()}
    assert made == {"bias": 1, "pocketprofiles": N_OBJECT + N_FLAT, "pocket": 1, "figure": 2, "calibrations": 1}
    assert state.result().set_aside == ()
    assert "0 set aside" in artifacts(state)["pocket-summary"].description
    watched = Watched(store)
    again = pocket(NIGHT, str(store), recipe=RECIPE, **SCOPE)
    assert (again.n_made, kinds(watched.written())) == (0, {})


def test_the_function_is_that_of_the_detector_within_its_errors(tree, measured):
    plan, _ = tree
    store, state = measured
    (built,) = state.result().of(Kind.POCKET)
    kelvins = [temperatures(plan, frame)[1][CCD - 1] for frame in (*plan.objects, *plan.flats)]
    with opened(store).open(built) as path:
        table = read_table(path).to_pylist()
    assert [row["qid"] for row in table] == [1, 2, 3, 4]
    for row in table:
        level, charge, error = (np.array(row[name]) for name in ("level", "charge", "charge_error"))
        at_sky = (level > 100) & (level < 1000)
        true = equilibrium_charge(level, float(np.median(kelvins)), Quadrant(CCD, row["qid"]))
        assert np.abs((charge - true) / error)[at_sky].max() < 4.5
        # First pixels of two blocks of each exposure of the sky: 6 ADU of noise over sqrt(128) each.
        assert error[at_sky].max() < 4 * 6 / np.sqrt(128 * 2 * N_OBJECT)
        assert (row["valid_from"], row["valid_to"]) == (date(2020, 4, 5), date(2020, 4, 5))
        assert row["thermometer"] == "ccd"
        assert row["reference"] == pytest.approx(np.median(kelvins), abs=0.01)


def test_what_the_pocket_took_is_back_in_every_exposure(tree, corrected):
    _, folder = tree
    truth, store = Truth.load(folder), opened(corrected)
    built = store.list(Kind.QUADRANT)
    assert len(built) == 4 * N_OBJECT
    for one in built:
        ccd, qid = ccd_of(one.ref), quadrant_of(one.ref).qid
        with store.open(one) as path:
            image, _ = read_quadrant(path)
        true = truth.detrended(ccd, qid)
        sky = true < 1.2 * np.median(true)  # stars have noise of their own
        error = np.where(sky, image.data - true, np.nan)
        columns = flip_readout(error, qid)
        noise = np.sqrt(np.nanmean(flip_readout(np.where(sky, image.variance, np.nan), qid)[:, :5]) / sky.shape[0])
        # The offset of the rows, a mean of five columns of 256 rows, in the exposure and its few bias frames.
        offset = 0.06
        assert abs(np.nanmean(error)) < 4 * offset
        # Putting charge back makes the read noise up to half as large again; the first pixel knows f to half an ADU.
        head = np.nanmean(columns[:, :5], axis=0) - np.nanmedian(np.nanmean(columns[:, 20:], axis=0))
        assert np.abs(head).max() < 4.5 * np.hypot(1.5 * noise, 0.4)
        stolen = equilibrium_charge(np.array([0.5 * np.median(true)]), 173.0, Quadrant(CCD, qid))[0]
        assert stolen > 5 * 4.5 * np.hypot(1.5 * noise, 0.4)  # what it would be without


def test_headers_and_manifests_say_which_pocket(corrected):
    store = opened(corrected)
    (of_pocket,) = store.list(Kind.POCKET)
    for kind in (Kind.LED_FLAT, Kind.QUADRANT):
        for one in store.list(kind):
            assert of_pocket.ref in {used.ref for used in store.manifest(one.ref).inputs}
            header = fits.getheader(products(corrected)[one.ref.address], 0 if kind is Kind.LED_FLAT else "SCI")
            assert (header["POCKFILE"], header["POCKDAYS"]) == (of_pocket.ref.file_name, 0)
            assert header["POCKCOR"]
    assert header["POCKTEMP"] == pytest.approx(173, abs=5)


def test_without_pockets_flats_say_what_is_missing(downloaded, tmp_path):
    store = shutil.copytree(downloaded, tmp_path / "store")
    outcome = calibrate(NIGHT, str(store), recipe=RECIPE, **SCOPE, max_set_aside=1.0)
    (aside,) = outcome.set_aside
    assert f"{N_FLAT} frames about" in aside.what
    assert "MissingProduct" in aside.reason
    assert "the flow pocket" in aside.reason


def test_a_period_before_the_pockets_has_none(tmp_path):
    outcome = pocket("20191001_20191022", str(tmp_path), recipe=RECIPE, **SCOPE, max_set_aside=1.0)
    (aside,) = outcome.set_aside
    assert "no exposures with light of nights after 2019-10-22" in aside.reason
