"""Odd rows of the archive's tables: each is set aside with its reason, and costs no other row."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.night import PLAN
from ztf_in2p3.archive import Irsa, Patience
from ztf_in2p3.archive.duplicates import without_contradictions
from ztf_in2p3.archive.metadata import ccd_exposure, quadrant_exposure, read_table, understood
from ztf_in2p3.archive.numbers import whole_number
from ztf_in2p3.archive.table_columns import TABLE_COLUMNS
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.simulate.metadata import raw_rows, science_rows, write_rows
from ztf_in2p3.simulate.server import Fault, IrsaLookalike, Quirk, Quirks

NIGHT = Period.of(PLAN.night)
COLUMNS = ("filefracday", "field", "filtercode", "ccdid", "imgtypecode")
GOOD = {"filefracday": "20190405444444", "field": "655", "filtercode": "zr", "ccdid": "3", "imgtypecode": "o"}
NAME = "ztf_20190405444444_000655_zr_c03_o"
MANY = Quirks(0.1, 0.5, frozenset(Quirk))


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    """The tables of a night without its files."""
    tree = tmp_path_factory.mktemp("tables")
    (tree / "meta").mkdir()
    write_rows(tree / "meta/raw.csv", TABLE_COLUMNS["raw"], raw_rows(PLAN))
    write_rows(tree / "meta/sci.csv", TABLE_COLUMNS["sci"], science_rows(PLAN))
    return tree


def as_csv(*rows: dict[str, str]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def read(body: bytes) -> tuple[list[str], list[str]]:
    """Names of the files that a table lists, and why rows were set aside."""
    table = read_table(body, COLUMNS, (), "rows", "an answer")
    items, skipped = understood(table, ccd_exposure, "rows", "an answer")
    return [str(ccd) for ccd, _ in items], [group.reason for group in skipped]


@pytest.mark.parametrize("quirks", [Quirks(), MANY], ids=["as usual", "at 10 %"])
def test_the_look_alikes_oddities_cost_no_file_and_are_each_told(tables, quirks):
    with IrsaLookalike(tables, quirks=None) as plain, IrsaLookalike(tables, quirks=quirks) as odd:
        expected, found = (Irsa(server.url, patience=Patience(first_wait=0)) for server in (plain, odd))
        reasons = []
        for image_type in ImageType:
            assert found.raws(NIGHT, image_type) == expected.raws(NIGHT, image_type)
            assert found.raws(NIGHT, image_type).versions == expected.raws(NIGHT, image_type).versions
            assert expected.raws(NIGHT, image_type).skipped == ()
            reasons += [group.reason for group in found.raws(NIGHT, image_type).skipped]
        listing = found.sciences(NIGHT)
        assert listing == expected.sciences(NIGHT)
        assert listing.versions == expected.sciences(NIGHT).versions
        reasons += [group.reason for group in listing.skipped]
    assert any("filtercode" in reason for reason in reasons)
    assert any("number of cells" in reason for reason in reasons)


@pytest.mark.parametrize(
    "odd",
    [
        {"filtercode": "OO"}, {"filtercode": ""}, {"filtercode": "null"}, {"filtercode": "zy"},
        {"field": "NaN"}, {"field": ""}, {"field": "-1"}, {"field": "655.5"}, {"field": "inf"}, {"field": "7" * 30},
        {"ccdid": "17"}, {"ccdid": "0"}, {"ccdid": "null"}, {"ccdid": "three"},
        {"filefracday": "20190405.05"}, {"filefracday": "20191405444444"}, {"filefracday": ""}, {"filefracday": "5"},
        {"filefracday": "2019-04-05T12:00:00"}, {"imgtypecode": "x"}, {"imgtypecode": ""},
    ],
    ids=str,
)  # fmt: skip
def test_a_row_that_lists_what_cannot_be_is_set_aside_and_names_its_column(odd):
    (column,) = odd
    names, reasons = read(as_csv(GOOD, GOOD | odd, GOOD | {"ccdid": "4"}))
    assert names == [NAME, NAME.replace("c03", "c04")]
    (reason,) = reasons
    assert f"its {column} is" in reason


@pytest.mark.parametrize(
    "dress",
    [{"field": "655.0"}, {"field": "0x28f"}, {"field": "000655"}, {"ccdid": "0x3"}, {"ccdid": "3.0"},
     {"ccdid": "03"}, {"filefracday": "20190405444444.0"}, {"filtercode": "ZR"}, {"field": " 655 "}],
    ids=str,
)  # fmt: skip
def test_a_number_is_read_in_every_form_that_tables_write_it(dress):
    assert read(as_csv(GOOD | dress)) == ([NAME], [])


@pytest.mark.parametrize("cell", ["", "null", "NaN", "0", "0.0", "0x0"])
def test_a_calibration_frame_without_a_field_has_zeros_in_its_name(cell):
    bias = {"filtercode": "bi", "imgtypecode": "b", "field": cell}
    assert read(as_csv(GOOD | bias)) == (["ztf_20190405444444_000000_bi_c03_b"], [])


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: body.replace(b"\n", b"\n\n"),
        lambda body: body.rstrip(b"\n"),
        lambda body: body.replace(b"filefracday", b' "FILEFRACDAY" '),
    ],
    ids=["byte order mark", "CR LF", "empty lines", "no last line end", "titles in capitals"],
)
def test_the_dress_of_a_whole_table_changes_nothing(change):
    assert read(change(as_csv(GOOD))) == ([NAME], [])


def test_columns_come_in_any_order_and_more_of_them_than_asked_for():
    turned = {"poly": "57.99 35.74, 58.01 35.74", **dict(reversed(GOOD.items())), "new": "x"}
    assert read(as_csv(turned, turned)) == ([NAME, NAME], [])


def test_a_quotation_mark_that_is_never_closed_spoils_its_own_line_only():
    lines = as_csv(GOOD, GOOD, GOOD).decode().splitlines()
    lines[2] = '"' + lines[2]
    names, reasons = read("\n".join(lines).encode())
    assert (len(names), len(reasons)) == (2, 1)


def test_a_table_of_a_header_line_only_has_no_rows():
    assert read(",".join(COLUMNS).encode()) == ([], [])


@pytest.mark.parametrize("column", COLUMNS)
def test_a_table_without_an_indispensable_column_is_one_clear_error(column):
    with pytest.raises(BadData, match=f"but {column} is missing"):
        read(as_csv({name: cell for name, cell in GOOD.items() if name != column}))


def test_a_table_of_which_most_rows_are_odd_is_one_clear_error():
    with pytest.raises(BadData, match=r"2 of 3 rows cannot be understood.*filtercode.*OO"):
        read(as_csv(GOOD | {"filtercode": "OO"}, GOOD | {"filtercode": "OO"}, GOOD))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_own_errors(tail):
    with contextlib.suppress(BadData, TransientError):
        read(as_csv(GOOD) + tail)


@given(st.integers(0, 10**14))
def test_a_number_survives_its_forms(number):
    assert {whole_number(text) for text in (str(number), f"{number:#x}", f"{number}.0", f"{number:020d}")} == {number}


# --- a table cut off in its last line


def test_a_table_that_was_cut_off_on_its_way_is_asked_for_again(tables):
    with IrsaLookalike(tables, quirks=None) as server:
        archive = Irsa(server.url, patience=Patience(first_wait=0))
        expected = archive.sciences(NIGHT)
        server.inject(Fault.SHORT, "*/ibe/search/*")
        assert archive.sciences(NIGHT) == expected
        assert archive.sciences(NIGHT).skipped == ()


def test_a_table_cut_off_twice_at_the_same_place_is_the_archives_own(tables):
    with IrsaLookalike(tables, quirks=None) as server:
        archive = Irsa(server.url, patience=Patience(first_wait=0))
        expected = archive.sciences(NIGHT)
        server.inject(Fault.SHORT, "*/ibe/search/*", times=3)
        listing = archive.sciences(NIGHT)
    assert 0 < len(listing) < len(expected)
    assert listing == expected[: len(listing)]
    (group,) = listing.skipped
    assert "number of cells" in group.reason


# --- the same exposure under two names


def entries(*names: str, qids: tuple[int, ...] = (1,)) -> list[tuple[CcdExposure, int | None]]:
    return [(CcdExposure.parse(name), qid) for name in names for qid in qids]


def test_of_two_names_of_a_ccd_the_one_stays_that_the_exposure_bears():
    exposure = [NAME.replace("c03", f"c{ccdid:02d}") for ccdid in (1, 2, 3)]
    kept, skipped = without_contradictions(entries(*exposure, NAME.replace("000655", "000656")), "rows")
    assert [str(ccd) for ccd, _ in kept] == exposure
    (group,) = skipped
    assert "000656" in group.examples[0]


def test_without_a_majority_both_stay_for_the_files_to_tell():
    both = entries(NAME, NAME.replace("_zr_", "_zg_"))
    assert without_contradictions(both, "rows") == (sorted(both), [])


def test_a_bias_frame_listed_under_two_fields_is_one_frame():
    bias = NAME.replace("_zr_", "_bi_").replace("_o", "_b")
    kept, skipped = without_contradictions(entries(bias, bias.replace("000655", "000000")), "rows")
    assert [str(ccd) for ccd, _ in kept] == [bias.replace("000655", "000000")]
    assert len(skipped) == 1


def test_contradictions_are_named_in_the_same_order_in_every_run():
    # A page that shows them would else be another in every process: sets of texts are in random order there.
    names = [NAME.replace("c03", f"c{ccdid:02d}") for ccdid in range(1, 17)]
    odd = [name.replace("000655", "000656") for name in names[:12]]
    _, skipped = without_contradictions(entries(*names, *odd[::-1]), "rows")
    assert [group.examples[0].partition(",")[0] for group in skipped] == odd


def test_a_row_of_the_science_table_needs_a_quadrant():
    table = read_table(
        as_csv(*(GOOD | {"qid": qid} for qid in ("1", "0x2", "5", "4.0"))), (*COLUMNS, "qid"), (), "rows", "an answer"
    )
    items, skipped = understood(table, quadrant_exposure, "rows", "an answer")
    assert [qid for (_, qid), _ in items] == [1, 2, 4]
    assert [group.reason for group in skipped] == ["its qid is not one of 1 to 4"]
