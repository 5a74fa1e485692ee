"""A night from the archive to its report: what is made, and what the orchestrator shows of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.metadata import version

import pytest
from astropy.io import fits
from prefect import flow

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.download import download
from flows.nightly import nightly
from flows.science import science
from tasks.pages.website import show_site
from tasks.runtime.settings import store_at
from tests.flows.night import COUNTS, NIGHT, PLAN, artifacts, digests, kinds, opened, products, task_runs
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import IrsaLookalike
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table


def not_of_the_table(outcome):
    """What was set aside of the night itself: the look-alike's table has rows that list nothing, too."""
    return tuple(entry for entry in outcome.set_aside if "rows of the archive's" not in entry.what)


def test_a_night_makes_each_product_once(reduced):
    made = {row["product"]: row["made"] for row in reduced.outcome.table()}
    n_partition = made.pop("reference")
    assert n_partition > 0
    assert made == COUNTS
    assert not_of_the_table(reduced.outcome) == ()
    assert kinds(set(products(reduced.store))) == COUNTS | {"reference": n_partition}
    assert opened(reduced.store).verify() == []


def test_the_report_tells_how_the_night_was(reduced):
    detector, report = reduced.outcome.of(Kind.REPORT)
    assert (report.about["verdict"], report.about["verdict_text"].split()[0]) == ("OK", "All")
    page = products(reduced.store)[report.ref.address].read_text()
    assert "ZTF night of 2019-04-05" in page
    assert page.count("data:image/png;base64") == 9
    assert f'href="../../../{detector.ref.path}"' in page


def test_every_quadrant_of_every_exposure_has_stars(reduced):
    store = opened(reduced.store)
    quadrants = set()
    for built in store.list(Kind.CATALOGUE):
        with store.open(built) as path:
            stars = read_table(path)
        quadrants |= set(zip(stars["exposure"].to_pylist(), stars["rcid"].to_pylist(), strict=True))
    exposures = [int(frame.exposure.filefracday) for frame in PLAN.objects]
    rcids = [4 * (ccdid - 1) + qid - 1 for ccdid in PLAN.ccdids for qid in (1, 2, 3, 4)]
    assert quadrants == {(exposure, rcid) for exposure in exposures for rcid in rcids}


def test_the_orchestrator_shows_readable_runs(reduced):
    runs = task_runs(reduced.state, n=30)
    assert set(runs.values()) == {"Completed"}
    assert {
        "bias c03 20190405_20190405",
        "ledflat c06 l07 zr 20190405_20190405",
        "flat c03 zr 20190405_20190405",
        "focalplane zr 20190405_20190405",
        f"catalogue exposure {PLAN.objects[0].exposure}",
        f"fetch {PLAN.biases[0].exposure}",
        "figure growth 20190405",
        "report 20190405",
    } <= set(runs)


@pytest.fixture
def listed(monkeypatch):
    """Counts the listings of the store by kind and recipe."""
    counts: Counter = Counter()
    ask = Store.list

    def counted(self, kind, recipe=None, prefix=""):
        counts[kind, recipe] += 1
        return ask(self, kind, recipe, prefix)

    monkeypatch.setattr(Store, "list", counted)
    return counts


def test_what_was_found_again_is_shown_as_cached_and_masters_are_listed_once(store, survey, listed):
    with IrsaLookalike(survey.tree) as archive:
        state = nightly(
            NIGHT, str(store), archive=archive.url, truth=str(survey.tree), **survey.stars, **survey.scope,
            return_state=True,
        )  # fmt: skip
    shown = task_runs(state, n=30)
    called = ("find frames", "open reference", "download-", "calibrate-", "catalogue-", "detector-")
    others = {name for name in shown if name.startswith(called)}
    assert len(others) == 6  # questions to the archive and the reference catalogue, and the flows that were called
    assert {name: word for name, word in shown.items() if name not in others and word != "Cached"} == {}
    masters = (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.FOCAL_PLANE, Kind.BAD_PIXELS, Kind.QUALITY)
    counts = {(kind, recipe): n for (kind, recipe), n in listed.items() if kind in masters}
    # The list of a period's calibrations asks for what was not at hand by then, the first image for all periods'.
    assert max(counts.values()) <= 2
    assert sum(counts.values()) <= len(counts) + 2


@pytest.mark.parametrize("name", ["download", "calibrate", "catalogue", "nightly"])
def test_each_flow_leaves_a_summary(reduced, name):
    summary = artifacts(reduced.state)[f"{name}-summary"]
    n_odd = len(reduced.outcome.set_aside) if name in ("download", "nightly") else 0
    assert f"{n_odd} set aside" in summary.description
    assert "| product | made | cached |" in summary.data


def test_the_report_is_an_artifact_too(reduced):
    page = artifacts(reduced.state)["night-report-tiny"]
    assert "All" in page.description
    assert "data:image/png;base64" in page.data
    assert len(page.data) < 1_000_000


def test_the_download_leaves_its_progress(reduced):
    assert artifacts(reduced.state)["download-progress"].data == 100.0


def test_a_local_tree_and_the_web_make_the_same_night(reduced, survey, tmp_path):
    store = tmp_path / "store"
    download(NIGHT, str(store), archive=str(survey.tree), **survey.stars, **survey.scope)
    for step in (calibrate, catalogue):
        assert step(NIGHT, str(store), **survey.scope).set_aside == ()
    alike = [kind for kind in Kind if kind not in (Kind.SUMMARY, Kind.FIGURE, Kind.REPORT)]
    assert digests(store, *alike) == digests(reduced.store, *alike)


@pytest.mark.parametrize("with_reference", [True, False], ids=["known stars", "detected sources"])
def test_the_archives_own_images_are_measured_the_same_way(survey, tmp_path, calls, with_reference):
    stars = survey.stars if with_reference else {}
    asked = {"archive": str(survey.tree), **stars, **survey.scope, "ccds": [3]}
    outcome = science(NIGHT, str(tmp_path), **asked)

    assert outcome.set_aside == ()
    assert len(outcome.of(Kind.SCIENCE)) == len(outcome.of(Kind.MASK)) == 8
    catalogues = outcome.of(Kind.SCIENCE_CATALOGUE)
    assert len(catalogues) == 2
    with opened(tmp_path).open(catalogues[0]) as path:
        table = read_table(path)
    assert (min(table["star_id"].to_pylist()) > 0) == with_reference
    assert table.num_rows > 40
    assert calls.so_far()["aperture_catalogue"] == 8

    assert science(NIGHT, str(tmp_path), **asked).n_made == 0
    assert calls.so_far() == {}


@pytest.mark.parametrize(("kind", "filter"), [("bias", "bi"), ("ledflat", "zr"), ("flat", "zr")])
def test_masters_say_in_their_header_what_they_are(reduced, kind, filter):
    paths = [path for path in (reduced.store / kind).rglob("*.fits") if filter in path.name.split("_")]
    assert paths
    for path in paths:
        header = fits.getheader(path)
        assert (header["PRODUCT"], header["FILTER"]) == (kind, filter)
        assert header["PERIOD"] == "20190405_20190405"
        assert header["DATE-OBS"] == header["DATE-END"] == "2019-04-05"
        assert header["RECVERS"] >= 1
        assert header["VERSION"] == version("ztf-in2p3")
        assert kind != "ledflat" or f"_l{header['LED']:02d}_" in path.name
        assert kind != "flat" or header["LEDS"]


def test_the_site_shows_the_night(reduced, tmp_path):
    @flow
    def pages():
        show_site(store_at(str(reduced.store)), str(tmp_path / "site"))

    pages()
    index = (tmp_path / "site" / "index.html").read_text()
    assert re.search(r"<td class=(OK|FAIL)><a href='night/20190405.html'", index)
    night = (tmp_path / "site" / "night" / "20190405.html").read_text()
    exposures = {address.split("/")[2][:14] for address in products(reduced.store) if address.startswith("apcat/")}
    assert exposures
    assert set(re.findall(r"<td>(\d{14})</td>", night)) >= exposures
    trends = json.loads((tmp_path / "site/data/trends.js").read_text().removeprefix("window.TRENDS = ").rstrip(";\n"))
    assert {"seeing", "background", "flat level", "bad pixels", "overscan_noise"} <= trends["series"].keys()
    flat_level = next(iter(trends["series"]["flat level"]["zr"].values()))[0]
    assert 10_000 < flat_level < 50_000  # adu; flats are taken at 15 to 45 thousand
