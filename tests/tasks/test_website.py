"""The site of a small store: verdicts, failures first, trends, pictures; a night more is read alone."""

import json
import re
import shutil
from datetime import date

import pyarrow as pa
import pytest

from tasks.pages.website import make_site
from tasks.runtime.settings import store_at
from ztf_in2p3.figures.summary import QUADRANT_SUMMARY
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Kind,
    catalogue_ref,
    raw_ref,
    report_ref,
    summary_ref,
    survey_figure_ref,
    survey_ref,
)
from ztf_in2p3.recipes import CatalogueRecipe, ReportRecipe, SurveyRecipe
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.tables import schema_of

REPORT = ReportRecipe()


def add_night(store: Store, night: str, verdict: str, lost: int, seeing: float) -> None:
    """Two exposures of two CCDs; of the later, `lost` CCDs have no catalogue."""
    for number, field in ((250000, 600), (260000, 601)):
        for ccdid in (3, 5):
            ccd = CcdExposure(Exposure(f"{night}{number:06d}", field, Filter.ZR, ImageType.OBJECT), ccdid)
            store.build(raw_ref(ccd), None, [], lambda path, at=ccd: path.write_text(str(at)) and None)
            if number == 250000 or ccdid > (0, 3, 5)[lost]:
                store.build(
                    catalogue_ref(CatalogueRecipe(), ccd), CatalogueRecipe(), [],
                    lambda path, at=ccd: path.write_text(str(at)) and {"n_stars": 7, "seeing": seeing},
                )  # fmt: skip
    rows = [
        {"exposure": int(f"{night}250000"), "filter": "zr", "rcid": rcid, "mjd": 58578.25,
         "seeing": seeing + rcid / 100, "airmass": 1.0, "background": 300.0, "background_rms": 7.0,
         "n_star": 100 + rcid, "n_isolated": 50}
        for rcid in range(8, 12)
    ]  # fmt: skip
    day = date.fromisoformat(night)
    store.build(
        summary_ref(REPORT, day, "quadrants"), REPORT, [],
        lambda path: write_table(path, pa.Table.from_pylist(rows, schema=schema_of(QUADRANT_SUMMARY))),
    )  # fmt: skip
    store.build(
        report_ref(REPORT, day), REPORT, [],
        lambda path: path.write_text(f"<html>report of {night}</html>")
        and {"verdict": verdict, "verdict_text": "1 < 2 checks failed."},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    store = store_at(str(tmp_path / "store"))
    add_night(store, "20190405", "OK", 0, 2.0)
    add_night(store, "20190406", "FAIL", 1, 3.0)
    survey, period = SurveyRecipe(), Period.parse("20190405_20190406")
    zero = survey_ref(Kind.ZERO_POINTS, survey, period, Filter.ZR)
    store.build(zero, survey, [], lambda path: path.write_text("zero points") and {"chi2_per_dof": 1.0123456789})
    picture = survey_figure_ref(survey, period, Filter.ZR, "repeatability")
    store.build(
        picture, survey, [],
        lambda path: path.write_bytes(b"\x89PNG picture") and {"title": "Repeatability", "caption": "Stars held out."},
    )  # fmt: skip
    return store


def trends(folder) -> dict:
    return json.loads((folder / "data" / "trends.js").read_text().removeprefix("window.TRENDS = ").rstrip(";\n"))


def test_the_calendar_and_the_night_say_what_failed(store, tmp_path):
    count = make_site(store, tmp_path / "site")
    assert (count.nights, count.renewed, count.pictures) == (2, 2, 1)
    index = count.index.read_text()
    assert re.search(r"<td class=OK><a href='night/20190405.html'[^>]*>5</a>", index)
    assert re.search(r"<td class=FAIL><a href='night/20190406.html'[^>]*1 CCDs without catalogue'>6</a>", index)
    page = (tmp_path / "site" / "night" / "20190406.html").read_text()
    assert "1 &lt; 2 checks failed." in page
    rows = re.findall(r"<tr class='(\w*)'><td>(\d+)</td>.*?<td>(\d of \d)</td>", page)
    assert rows == [("FAIL", "20190406260000", "1 of 2"), ("", "20190406250000", "2 of 2")]  # failures first
    assert "report of 20190406" in (tmp_path / "site" / "night" / "20190406_report.html").read_text()


def test_trends_hold_the_median_of_each_night_and_quadrant(store, tmp_path):
    make_site(store, tmp_path / "site")
    told = trends(tmp_path / "site")
    assert told["nights"] == ["20190405", "20190406"]
    seeing = told["series"]["seeing"]["zr"]
    assert [seeing[rcid] for rcid in ("8", "9", "10", "11")] == [[2.08, 3.08], [2.09, 3.09], [2.1, 3.1], [2.11, 3.11]]
    assert seeing["16"] == seeing["19"] == [2.0, 3.0]  # CCD 5, of whose quadrants the summary says nothing
    assert told["units"]["seeing"] == "pix"


def test_fits_are_shown_with_numbers_and_pictures(store, tmp_path):
    make_site(store, tmp_path / "site")
    page = (tmp_path / "site" / "ubercals.html").read_text()
    assert "<td>chi2_per_dof</td><td>1.01235</td>" in page
    (address,) = re.findall(r"src='(pictures/\w+.png)'", page)
    assert (tmp_path / "site" / address).read_bytes() == b"\x89PNG picture"
    assert "Repeatability" in page


def test_only_nights_that_changed_are_read_again(store, tmp_path):
    make_site(store, tmp_path / "site")
    before = (tmp_path / "site" / "night" / "20190405.html").stat().st_mtime_ns
    assert make_site(store, tmp_path / "site").renewed == 0
    add_night(store, "20190407", "OK", 2, 2.5)
    count = make_site(store, tmp_path / "site")
    assert (count.nights, count.renewed) == (3, 1)
    assert (tmp_path / "site" / "night" / "20190405.html").stat().st_mtime_ns == before
    assert trends(tmp_path / "site")["series"]["seeing"]["zr"]["8"] == [2.08, 3.08, 2.58]
    (tmp_path / "site" / "data" / "nights.json").write_text("{")  # cut: everything is read again
    assert make_site(store, tmp_path / "site").renewed == 3


def test_every_link_leads_to_a_file(store, tmp_path):
    site = tmp_path / "site"
    make_site(store, site)
    pages = list(site.rglob("*.html"))
    assert len(pages) > 7
    for page in pages:
        for address in re.findall(r"(?:href|src)='([^'#]+)'", page.read_text()):
            assert (page.parent / address).exists(), f"{page.name}: {address}"


def test_a_moved_site_still_works(store, tmp_path):
    make_site(store, tmp_path / "site")
    shutil.move(tmp_path / "site", tmp_path / "elsewhere")
    texts = [path.read_text() for path in (tmp_path / "elsewhere").rglob("*.html")]
    assert not any(str(tmp_path / "site") in text for text in texts)


def test_an_empty_store_has_a_page_too(tmp_path):
    count = make_site(store_at(str(tmp_path / "empty")), tmp_path / "site")
    assert (count.nights, count.pictures) == (0, 0)
    assert "no nights" in count.index.read_text()
