"""A flow that finds nothing to work on fails, and says where it looked, for what, and which flow comes first."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.catalogue import catalogue
from flows.download import download
from flows.nightly import nightly
from flows.report import report
from tasks.runtime.product_flow import NothingFound, VerdictFailed
from tests.bucket import client_of, know_only, s3_service
from tests.flows.night import CCDS, NIGHT, PLAN, artifacts, opened
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind, ccd_of, header_ref
from ztf_in2p3.simulate.files import raw_path

OTHER_NIGHT = "20190501"
READING = ["pocket", "calibrate", "linearity", "fringes", "detrend", "catalogue", "detector", "report", "stars",
           "starflat", "psf", "ubercal"]  # fmt: skip


def call(name: str, *arguments: str, **how: Any) -> Any:
    return getattr(importlib.import_module(f"flows.{name}"), name)(*arguments, camera="tiny", workers=0, **how)


def targets(folder: Path) -> str:
    path = folder / "targets.toml"
    path.write_text(
        '[[target]]\nname = "sn"\nra = 10.0\ndec = 20.0\nbands = ["zr"]\nshines = [2019-04-01, 2019-05-01]\n'
    )
    return str(path)


@pytest.mark.parametrize("name", [*READING, "scene"])
def test_a_mistyped_store_is_named_and_not_created(name, tmp_path):
    place = tmp_path / "mistyped"
    arguments = (str(place), targets(tmp_path)) if name == "scene" else (NIGHT, str(place))
    with pytest.raises(MissingProduct, match=f"there is no folder {place}.*run the flow"):
        call(name, *arguments)
    assert not place.exists()


@pytest.mark.parametrize("name", READING)
def test_a_store_without_the_period_is_named_with_what_was_looked_for(name, reduced):
    with pytest.raises(NothingFound) as raised:
        call(name, OTHER_NIGHT, str(reduced.store), ccds=[3])
    message = str(raised.value)
    for part in (OTHER_NIGHT, str(reduced.store), "ccds 3", "were looked for", "run the flow"):
        assert part in message
    assert opened(reduced.store).list(Kind.CALIBRATIONS, prefix=OTHER_NIGHT) == []


@pytest.mark.parametrize(
    ("name", "lacking"), [("pocket", "nights after 2019-10-22"), ("fringes", "zi"), ("linearity", "exposure times")]
)
def test_what_a_flow_makes_on_the_way_is_no_result(name, lacking, store):
    """The night has bias frames, of which masters are made, and nothing that the flow is for."""
    with pytest.raises(NothingFound, match=r"were looked for; run the flow") as raised:
        call(name, NIGHT, str(store))
    assert lacking in str(raised.value)


def test_a_target_without_exposures_is_named(reduced, tmp_path):
    with pytest.raises(MissingProduct, match=r"exposures of the targets were looked for; run the flow download"):
        call("scene", str(reduced.store), targets(tmp_path))


def test_an_archive_without_images_of_the_night_is_named(survey, tmp_path):
    with pytest.raises(NothingFound, match=f"{OTHER_NIGHT}.*archive .*{survey.tree}.*science images were looked for"):
        call("science", OTHER_NIGHT, str(tmp_path), archive=str(survey.tree))


def test_a_bucket_that_does_not_exist_is_said(survey, monkeypatch):
    with s3_service() as endpoint:
        know_only(endpoint, monkeypatch)
        client_of(endpoint).create_bucket(Bucket="here")
        with pytest.raises(MissingProduct, match="there is no bucket nowhere"):
            call("catalogue", NIGHT, "s3://nowhere/store")
        with pytest.raises(MissingProduct, match="there is no bucket nowhere"):
            call("download", NIGHT, "s3://nowhere/store", archive=str(survey.tree))
        with pytest.raises(NothingFound, match="s3://here/store"):
            call("catalogue", NIGHT, "s3://here/store")


def test_a_night_on_which_the_telescope_did_not_open_is_complete(served, survey, tmp_path):
    asked = {"archive": served.url, **survey.stars, **survey.scope}
    state = nightly("20190406", str(tmp_path), **asked, return_state=True)
    assert state.is_completed()
    assert "the telescope did not open" in state.message
    assert state.result().set_aside == ()
    assert "the telescope did not open" in artifacts(state)["nightly-summary"].data
    state = download("20190406", str(tmp_path), **asked, return_state=True)
    assert state.is_completed()
    assert "has frames of nights about these: the telescope did not open" in state.message


def test_ccds_of_which_the_archive_has_nothing_are_no_closed_telescope(survey, tmp_path):
    with pytest.raises(NothingFound, match=f"{NIGHT}, ccds 1, .*archive .*{survey.tree}"):
        download(NIGHT, str(tmp_path), archive=str(survey.tree), **survey.stars, **survey.scope | {"ccds": [1]})


@pytest.mark.parametrize("name", [*(name for name in READING if name not in ("calibrate", "linearity")), "scene"])
def test_exposures_of_a_list_that_are_nowhere_are_named(name, reduced, tmp_path):
    chosen = tmp_path / "list.txt"
    chosen.write_text("20190405999999\n")
    arguments = (str(reduced.store), targets(tmp_path)) if name == "scene" else (NIGHT, str(reduced.store))
    state = call(name, *arguments, exposures=str(chosen), return_state=True)
    assert not state.is_completed()
    (line,) = [line for line in artifacts(state)[f"{name}-summary"].data.splitlines() if "20190405999999" in line]
    assert "the list has it, but the store" in line


@pytest.fixture
def tree(survey, tmp_path: Path) -> Path:
    """A copy of the survey, from which files can be taken."""
    return shutil.copytree(survey.tree, tmp_path / "tree", copy_function=os.link)


def test_a_night_without_flats_is_red_and_says_what_is_lacking(tree, survey, tmp_path):
    for frame in PLAN.flats:
        for ccdid in CCDS:
            (tree / raw_path(CcdExposure(frame.exposure, ccdid))).unlink()
    asked = {"archive": str(tree), **survey.stars, **survey.scope}
    state = nightly(NIGHT, str(tmp_path / "store"), **asked, return_state=True)
    assert state.is_failed()
    assert "CCD exposures without catalogue" in state.message
    page = artifacts(state)["nightly-summary"].data
    assert "4 of 4" in page
    assert "flat frames" in page
    assert "run the flow download" in page


def test_a_lost_ccd_is_red_though_most_of_the_night_is_good(store, survey):
    """Its catalogues are a twentieth of the products, and half of the night."""
    products = opened(store)
    for built in products.list(Kind.CATALOGUE):
        if ccd_of(built.ref).ccdid == 6:
            products.remove(built.ref)
    with pytest.raises(VerdictFailed, match=r"CCD exposures without catalogue.*worst CCD.*See file:"):
        report(NIGHT, str(store), **survey.scope)
    with pytest.raises(VerdictFailed, match="worst CCD"):
        report(NIGHT, str(store), **survey.scope, max_set_aside=0.6)
    assert report(NIGHT, str(store), **survey.scope, max_set_aside=1.0).of(Kind.REPORT)


def test_a_quadrant_without_header_has_its_line(store, survey):
    products = opened(store)
    lost = header_ref(CcdExposure(PLAN.objects[0].exposure, 3), 2)
    products.remove(lost)
    outcome = catalogue(NIGHT, str(store), **survey.scope)
    (line,) = outcome.set_aside
    assert line.what == f"{ccd_of(lost)}_q2"
    assert "no science header" in line.reason
    assert len(outcome.of(Kind.CATALOGUE)) == 4
