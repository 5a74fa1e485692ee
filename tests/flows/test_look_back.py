"""A night is not lost because the machine was off: which night a late run does, and what it does of those before."""

from __future__ import annotations

import csv
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from astropy.io import fits
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Scheduled, State

from flows.download import download
from flows.nightly import nightly
from tasks.archive import find_frames
from tasks.nightly import nights_before, to_do
from tasks.runtime.parameters import scope_of
from tasks.runtime.settings import archive_at
from tests.flows.night import CCDS, NIGHT, PLAN, digests, opened
from ztf_in2p3.archive.files import ArchiveFiles
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind, header_ref, report_ref
from ztf_in2p3.recipes import CatalogueRecipe, ReportRecipe
from ztf_in2p3.simulate.faults import write_card
from ztf_in2p3.simulate.files import science_path
from ztf_in2p3.simulate.server import IrsaLookalike

NEXT_NIGHT = "20190406"
"""On which the telescope did not open."""
RECIPE = ReportRecipe(CatalogueRecipe())


def run_of(state: State) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


@pytest.fixture
def asked(survey):
    """A night from an archive with the odd rows that it had when the night was reduced first."""
    with IrsaLookalike(survey.tree) as archive:
        yield {"archive": archive.url, **survey.stars, **survey.scope}


def test_a_run_that_begins_days_late_does_the_night_it_was_scheduled_for(asked, tmp_path):
    parameters = {"store": str(tmp_path), **asked, "look_back": 0}
    planned = Scheduled(scheduled_time=datetime(2019, 4, 7, 16, tzinfo=UTC))
    with get_client(sync_client=True) as client:
        waiting = client.create_flow_run(nightly, parameters=parameters, state=planned, tags=["by hand"])
    state = run_flow(nightly, waiting, parameters=parameters, return_type="state")
    run = run_of(state)
    assert run.name == "nightly 20190407"
    assert set(run.tags) == {"by hand", "20190407", "c03", "c06", "zr"}
    assert "the telescope did not open" in state.message


def test_nights_before_are_looked_at_from_the_oldest_on():
    night = date(2019, 4, 6)
    assert nights_before(night, 2, 0) == [date(2019, 4, 4), date(2019, 4, 5)]
    assert nights_before(night, None, 1) == [date(2019, 4, 5)]
    assert nights_before(night, None, 0) == nights_before(night, 0, 3) == []
    with pytest.raises(ValueError, match="look_back: -1"):
        nights_before(night, -1, 0)


def test_what_there_is_to_do_of_a_night(store, survey):
    products, night = opened(store), date.fromisoformat(NIGHT)
    scope = scope_of(NIGHT, "tiny", list(CCDS), ["zr"])
    wanted = find_frames.fn(archive_at(str(survey.tree)), scope.period, scope.filters, scope.ccdids)
    assert to_do(night, wanted, products, RECIPE) == "it has no report"  # of this recipe: without truth
    products.remove(next(built.ref for built in products.list(Kind.RAW)))
    assert to_do(night, wanted, products, RECIPE).endswith("files 1 are not in the store, 0 have changed")
    assert to_do(date(2019, 4, 6), ArchiveFiles.of({}), products, RECIPE) == ""


def test_a_night_that_is_done_costs_a_look_and_files_that_come_late_are_fetched(asked, survey, store, calls):
    again = {**asked, "truth": str(survey.tree), "look_back": 1}
    nightly(NEXT_NIGHT, str(store), **again)
    assert calls.so_far() == {}

    late = header_ref(CcdExposure(PLAN.objects[0].exposure, 3), 2)
    opened(store).remove(late)
    nightly(NEXT_NIGHT, str(store), **again)
    assert calls.so_far() == {"fetch over HTTP": 1}
    assert opened(store).find(late) is not None
    assert opened(store).find(report_ref(RECIPE, date.fromisoformat(NEXT_NIGHT))) is None


def make_again(tree: Path, at: CcdExposure, qid: int, seeing: float) -> None:
    """Another edition of a science image, of which only the header differs."""
    file = tree / science_path(at, qid)
    content = file.read_bytes()
    file.unlink()  # the link, not the survey's own file
    file.write_bytes(content)
    assert write_card(file, "SEEING", f"SEEING  = {seeing:20.5f} / measured again")


def list_again(tree: Path, at: CcdExposure, qid: int) -> None:
    """The row of the archive's table about another edition of a science image."""
    table = tree / "meta/sci.csv"
    names, *rows = csv.reader(table.read_text().splitlines())
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        if (cells["filefracday"], cells["ccdid"], cells["qid"]) == (at.exposure.filefracday, f"{at.ccdid}", f"{qid}"):
            row[names.index("pid")] = str(int(cells["pid"]) + 1)
    table.unlink()
    with table.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([names, *rows])


def test_a_header_that_the_archive_made_again_is_fetched_and_measured_again(survey, store, calls, tmp_path):
    tree = shutil.copytree(survey.tree, tmp_path / "tree", copy_function=os.link)
    again = {**survey.stars, **survey.scope}
    first, second = (CcdExposure(frame.exposure, 3) for frame in PLAN.objects)
    before = digests(store)
    make_again(tree, first, 2, seeing=2.5)
    list_again(tree, first, 2)
    with IrsaLookalike(tree) as served:
        again |= {"archive": served.url}
        nightly(NEXT_NIGHT, str(store), **again, truth=str(survey.tree), look_back=1)
        made = calls.so_far()
        assert (made["fetch over HTTP"], made["aperture_catalogue"]) == (2, 4)  # header and mask; the CCD's quadrants
        with opened(store).open(header_ref(first, 2)) as path:
            assert fits.getheader(path)["SEEING"] == 2.5
        after = digests(store, Kind.RAW, Kind.HEADER, Kind.MASK, Kind.BIAS, Kind.LED_FLAT, Kind.FLAT)
        assert {address for address, digest in after.items() if before[address] != digest} == {
            header_ref(first, 2).address
        }

        make_again(tree, second, 3, seeing=3.5)  # and no table says so
        download(NIGHT, str(store), **again)
        assert calls.so_far() == {}
        download(NIGHT, str(store), **again, refresh=True)
        assert calls.so_far() == {"fetch over HTTP": 1}
        with opened(store).open(header_ref(second, 3)) as path:
            assert fits.getheader(path)["SEEING"] == 3.5
