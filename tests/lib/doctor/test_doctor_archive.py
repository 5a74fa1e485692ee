"""The archive behind HTTP: login, tables and files, each altered in turn."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

from tests.lib.doctor.altered import BIAS, FLAT, OBJECT, Altered, examine, finding, named, skipped
from ztf_in2p3.archive import Credentials, Irsa, Patience, Timeouts
from ztf_in2p3.doctor import Examination, Finding
from ztf_in2p3.doctor.source import WebSource
from ztf_in2p3.doctor.table import CHECKS, Table, beside, choose, row_of
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.server import Fault, IrsaLookalike

USER, PASSWORD = "astronomer@example.org", "s&cret word"
LOGIN = "/account/signon/login.do"


def web(archive: IrsaLookalike, *, account: bool = True) -> WebSource:
    def client(credentials: Credentials | None) -> Irsa:
        patience, timeouts = Patience(tries=2, first_wait=0), Timeouts(connect=5, read=2)
        return Irsa(archive.url, credentials, patience=patience, timeouts=timeouts)

    return WebSource(client(Credentials(USER, PASSWORD) if account else None), client(None) if account else None)


@pytest.fixture
def served(night: Altered):
    with IrsaLookalike(night.tree, users={USER: PASSWORD}) as archive:
        yield archive


def test_all_is_ok_over_http_with_an_account(night, served):
    exam = examine(night, web(served))
    assert named(exam) == set()
    assert skipped(exam) == set()
    posts = [seen for seen in served.requests if seen.method == "POST"]
    assert len(posts) == 1
    assert PASSWORD not in " ".join(f"{line.found} {line.expected} {line.remedy}" for line in exam.findings)
    headers = [request.path for request in served.requests if "sciimg" in request.path]
    assert len(headers) == 4  # no pixels are decoded or kept of them


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.LOGIN_PAGE])
def test_a_refused_login_is_named_and_what_is_public_is_looked_at(night, served, fault):
    served.inject(fault, LOGIN, times=float("inf"))
    exam = examine(night, web(served), only=("bias frame",))
    assert named(exam) == {"archive: log in"}
    assert skipped(exam) == set()
    assert "IRSA_USER" in finding(exam, "archive: log in").remedy


@pytest.mark.parametrize("account", [True, False])
def test_a_login_page_in_the_place_of_the_table_is_named(night, served, account):
    served.inject(Fault.LOGIN_PAGE, "*/search/*", times=float("inf"))
    exam = examine(night, web(served, account=account))
    assert named(exam) == {"raw table: fetch"}
    assert "login" in finding(exam, "raw table: fetch").found
    assert "bias frame: fetch" in skipped(exam)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (f"*{files.raw_path(BIAS)}", "bias frame: fetch"),
        (f"*{files.raw_path(OBJECT)}", "science frame: fetch"),
        (f"*{files.science_path(OBJECT, 2)}", "science headers: fetch"),
        (f"*{files.mask_path(OBJECT, 1)}", "mask: fetch"),
    ],
)
def test_a_listed_file_that_is_not_found_is_named(night, served, pattern, name):
    served.inject(Fault.NOT_FOUND, pattern, times=float("inf"))
    group, _, _ = name.partition(":")
    exam = examine(night, web(served), only=None if group == "mask" else ("flat frame", group))
    assert named(exam) == {name}
    assert "404" in finding(exam, name).found
    assert "flat frame: level" not in skipped(exam)


def test_a_broken_transfer_is_tried_again(night, served):
    served.inject(Fault.TRUNCATED, f"*{files.raw_path(FLAT)}", times=1)
    assert named(examine(night, web(served), only=("flat frame",))) == set()


def test_a_night_without_frames_is_named(night, served):
    for name in ("raw", "sci"):
        table = night.tree / f"meta/{name}.csv"
        text = table.read_text().splitlines()[0] + "\n"
        table.unlink()
        table.write_text(text)
    exam = examine(night, web(served))
    assert named(exam) == {"archive: choose frames"}
    assert "no frames" in finding(exam, "archive: choose frames").found


# --- tables


def rewritten(text: str, change: Callable[[list[dict[str, str]]], object]) -> str:
    rows = list(csv.DictReader(io.StringIO(text)))
    change(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def in_each(**change: Callable[[str], str]):
    """Alteration of columns of all rows."""

    def alter(rows):
        for row in rows:
            row.update({key: function(row[key]) for key, function in change.items()})

    return alter


def without(column: str, name: str | None = None):
    def alter(rows):
        for row in rows:
            value = row.pop(column)
            if name:
                row[name] = value

    return alter


def findings(text: str, kind: str = "raw") -> dict[str, Finding]:
    exam = Examination()
    exam.run_all("table", CHECKS, Table.parse(kind, text))
    return {line.check: line for line in exam.findings}


@pytest.mark.parametrize(
    ("alter", "check", "word"),
    [
        (without("expid"), "columns", "no expid"),
        (without("ccdid"), "needed columns", "no ccdid"),
        (without("filtercode", "filter"), "needed columns", "no filtercode"),
        (without("ipac_pub_date", "public_date"), "columns", "new: public_date"),
        (in_each(ccdid=lambda v: hex(int(v))), "forms", "ccdid like '0x3'"),
        (in_each(nid=lambda v: f"{float(v)}"), "forms", "nid like"),
        (in_each(obsjd=lambda v: v.replace(".", ",")), "forms", "obsjd like"),
        (in_each(filefracday=lambda v: v[:8]), "forms", "filefracday like '20190405'"),
        (in_each(filtercode=lambda v: "ZTF_r"), "forms", "filtercode like 'ZTF_r'"),
        (in_each(obsjd=lambda v: f"{float(v) - 2400000.5}"), "dates", "apart"),
    ],
)
def test_an_altered_table_is_named(doctors_tree: Path, alter, check, word):
    text = (doctors_tree / "meta/raw.csv").read_text()
    assert {result.status for result in findings(text).values()} == {"OK"}
    results = findings(rewritten(text, alter))
    wrong = {name for name, result in results.items() if result.status not in ("OK", "SKIPPED")}
    assert wrong == {check}
    assert word in results[check].found
    assert results[check].remedy


def test_a_renamed_column_is_named_through_the_whole_examination(night, served):
    table = night.tree / "meta/sci.csv"
    text = rewritten(table.read_text(), without("maglimit", "limitmag"))
    table.unlink()
    table.write_text(text)
    exam = examine(night, web(served), only=())
    assert named(exam) == {"science table: columns"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (in_each(exptime=lambda v: f"{float(v) + 10}"), "EXPTIME 30 beside exptime 40"),
        (in_each(field=lambda v: f"{int(v) + 1}"), "no row"),
        (in_each(obsjd=lambda v: f"{float(v) + 12 / 86400}"), "OBSJD"),
    ],
)
def test_a_row_that_speaks_of_another_exposure_than_its_file_is_named(night, change, word):
    table = Table.parse("raw", rewritten((night.tree / "meta/raw.csv").read_text(), change))
    with fits.open(night.raw(OBJECT)) as hdus:
        result = beside(row_of(table, OBJECT), hdus[0].header)
    assert result.status in ("DIFFERS", "FAIL")
    assert word in result.found
    assert result.remedy


def test_a_row_of_another_exposure_time_is_named_through_the_examination(night, served):
    table = night.tree / "meta/raw.csv"
    text = rewritten(table.read_text(), in_each(exptime=lambda v: f"{float(v) + 10}"))
    table.unlink()
    table.write_text(text)
    assert named(examine(night, web(served), only=("science frame",))) == {"science frame: table row"}


def test_some_odd_rows_are_known_of_the_archive_and_are_no_difference(doctors_tree: Path):
    def oddly(rows):
        rows.extend([dict(rows[0])] * 20)
        rows.append(rows[0] | {"ccdid": "0x3"})
        rows.append(rows[0] | {"filtercode": "OO"})
        rows.append(rows[0] | {"field": "NaN"})
        rows.append(rows[0] | {"field": "null"})

    text = rewritten((doctors_tree / "meta/raw.csv").read_text(), oddly)
    results = findings(text)
    assert {result.status for result in results.values()} == {"OK"}
    assert "1 of them odd" in results["forms"].found


def test_frames_are_chosen_that_belong_together():
    assert choose([BIAS, FLAT, OBJECT]).value.science == OBJECT
    assert choose([BIAS, FLAT, OBJECT], ccdid=4).status == "FAIL"
    assert choose([BIAS, FLAT, OBJECT], filter_="zg").status == "FAIL"
    assert "1 bias, 1 object" in choose([BIAS, OBJECT]).found.replace("1 object, 1 bias", "1 bias, 1 object")
