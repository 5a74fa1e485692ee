"""The archive's tables of exposures, asked for and understood.

A row that cannot be understood is set aside with its reason and its neighbours are read: one odd row of 45 000 must
not cost a night.  What was seen in real answers: integers as 0x1 or 655.0, NaN, "null" and empty cells, filters that
are none (OO), rows listed twice, quoted cells with commas inside, more columns than asked for, in another order.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from ztf_in2p3.archive.listing import Skipped
from ztf_in2p3.archive.numbers import is_empty, whole_number
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period

Row = Mapping[str, str]
T = TypeVar("T")
Code = TypeVar("Code", Filter, ImageType)

_NAME = ("filefracday", "field", "filtercode", "ccdid", "imgtypecode")

COLUMNS = {"raw": _NAME, "sci": (*_NAME, "qid")}
"""Columns that make a file's name, by table: without them nothing can be fetched."""

VERSION_COLUMNS = {"raw": ("infobits",), "sci": ("pid", "infobits", "maglimit", "crval1", "crval2")}
"""Columns that change when the archive makes a file again, by table."""

NIGHTS_PER_QUERY = 7
"""A night has up to 45 000 science quadrants; longer answers are slow to come and break off."""

MAX_ODD_FRACTION = 0.5
"""Largest fraction of an answer's rows that may be set aside; above it the table itself is not what it was."""

_LARGEST_FIELD = 999_999
"""Names have six digits for it."""

_JD_OF_ORDINAL = 1721424.5
"""Julian date of midnight UT minus Python's day number."""

_JD_MARGIN = 0.01
"""Days.  A file name's fraction of the day and OBSJD differ by seconds; the names have the last word."""


class OddRow(ValueError):
    """A row that cannot be understood; the message says why, without the row's own values."""


@dataclass(frozen=True, slots=True)
class Table:
    """An answer of the archive: its rows, and the lines that are none."""

    rows: list[dict[str, str]]
    skipped: list[Skipped]
    cut_off: str = ""
    """What is wrong with the last line if the table seems to end within it, else empty."""


def spans(period: Period) -> Iterator[list[str]]:
    """Conditions that together hold the nights of a period, a few nights at a time, and little more."""
    first = period.first
    while first <= period.last:
        last = min(first + timedelta(days=NIGHTS_PER_QUERY - 1), period.last)
        yield [f"obsjd>={_jd(first) - _JD_MARGIN:.3f}", f"obsjd<{_jd(last) + 1 + _JD_MARGIN:.3f}"]
        first = last + timedelta(days=1)


def _jd(night: date) -> float:
    """Julian date at the start of the UT day."""
    return night.toordinal() + _JD_OF_ORDINAL


def one_of(column: str, values: Iterable[Filter] | Iterable[int] | None) -> list[str]:
    """Condition that a column is one of some values; none where every value will do."""
    if values is None:
        return []
    texts = [f"'{value.value}'" if isinstance(value, Filter) else f"{value:d}" for value in values]
    return [f"{column} IN ({','.join(texts)})"] if texts else ["1=0"]


def read_table(body: bytes, required: Sequence[str], optional: Sequence[str], what: str, name: str) -> Table:
    """Rows of a CSV table, with the columns asked for.  Only a header line: no rows.

    Each line is read alone, so that a quotation mark that is never closed spoils its own line only.

    Parameters
    ----------
    required, optional
        Columns, in lower case.  A row has those of the optional ones that the table has.
    what
        Rows of which table, for the reasons: "rows of the archive's raw table".
    name
        Address of the answer, for the messages.

    Raises
    ------
    TransientError
        Nothing at all.
    BadData
        The table lacks a required column.
    """
    if not body.strip():
        raise TransientError(f"{name}: an empty answer, without even a header line; try again")
    text = body.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    titles = [title.strip().lower() for title in _cells(lines[0])]
    if missing := [column for column in required if column not in titles]:
        raise BadData(
            f"{name}: expected a table with columns {', '.join(required)}, but {', '.join(missing)} is missing from an "
            f"answer that starts with {body[:80]!r}; has the archive's table changed?"
        )
    place = {column: titles.index(column) for column in (*required, *optional) if column in titles}
    table = Table([], [])
    for number, line in enumerate(lines[1:], start=2):
        cells = _cells(line)
        if len(cells) == len(titles):
            table.rows.append({column: cells[at].strip() for column, at in place.items()})
            continue
        reason = "another number of cells than the header line announces"
        example = f"line {number} of {len(cells)} cells instead of {len(titles)}: {line[:80]!r}"
        table.skipped.append(Skipped(what, reason, 1, (example,)))
        if number == len(lines):
            message = f"{name}: the last line, {number}, has {len(cells)} cells instead of {len(titles)}"
            table = Table(table.rows, table.skipped, f"{message}; the table was cut off, try again")
    if not text.endswith("\n") and not table.cut_off:
        table = Table(table.rows, table.skipped, f"{name}: the last line has no end; the table was cut off, try again")
    return table


def _cells(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], skipinitialspace=True))
    except (csv.Error, StopIteration):  # a cell longer than csv allows
        return []


def understood(
    table: Table, meaning: Callable[[Row], T], what: str, name: str
) -> tuple[list[tuple[T, Row]], list[Skipped]]:
    """What the rows of a table stand for, each with its row, and the rows that stand for nothing.

    Raises
    ------
    BadData
        More rows than `MAX_ODD_FRACTION` cannot be understood.
    """
    items: list[tuple[T, Row]] = []
    skipped = list(table.skipped)
    for row in table.rows:
        try:
            items.append((meaning(row), row))
        except OddRow as error:
            example = ",".join(f"{column}={row[column]}" for column in row if column in COLUMNS["sci"])
            skipped.append(Skipped(what, str(error), 1, (example,)))
    if len(skipped) > MAX_ODD_FRACTION * (len(items) + len(skipped)):
        raise BadData(
            f"{name}: {len(skipped)} of {len(items) + len(skipped)} rows cannot be understood, the first because "
            f"{skipped[0].reason} ({skipped[0].examples[0]}); has the archive's table changed?"
        )
    return items, skipped


def ccd_exposure(row: Row) -> CcdExposure:
    """CCD exposure of a row.  OddRow if the row lists what cannot be."""
    image_type = _member(row, "imgtypecode", ImageType)
    filter_ = _member(row, "filtercode", Filter)
    filefracday = f"{_number(row, 'filefracday'):014d}"
    # A frame that looked at no sky has no field, and its name has zeros there.
    unset = is_empty(row["field"]) and image_type is not ImageType.OBJECT
    field = 0 if unset else _number(row, "field")
    if not 0 <= field <= _LARGEST_FIELD:
        raise OddRow(f"its field is not a number of 0 to {_LARGEST_FIELD}")
    ccdid = _within(row, "ccdid", N_CCD)
    try:
        return CcdExposure(Exposure(filefracday, field, filter_, image_type), ccdid)
    except ValueError:
        raise OddRow("its filefracday is not a date and fraction of the day as YYYYMMDDFFFFFF") from None


def quadrant_exposure(row: Row) -> tuple[CcdExposure, int]:
    """CCD exposure and qid of a row of the science table.  OddRow if the row lists what cannot be."""
    ccd = ccd_exposure(row)
    if ccd.exposure.image_type is not ImageType.OBJECT:
        raise OddRow("it is of a frame that looked at no sky, of which there are no science images")
    return ccd, _within(row, "qid", N_QUADRANT)


def is_of(row: Row, filefracday: str) -> bool:
    """Whether a row is of the exposure that began at a date and fraction of the day."""
    try:
        return whole_number(row["filefracday"]) == int(filefracday)
    except ValueError:
        return False


def version(row: Row, table: str) -> str:
    """Which edition of its files a row speaks of: the cells that change when they are made again."""
    return "row " + " ".join(f"{column}={_plain(row[column])}" for column in VERSION_COLUMNS[table] if column in row)


def _plain(cell: str) -> str:
    """A cell in a form that does not depend on how the table writes numbers."""
    if is_empty(cell):
        return "-"
    try:
        return str(whole_number(cell))
    except ValueError:
        pass
    try:
        return f"{float(cell):.9g}"
    except ValueError:
        return cell


def _number(row: Row, column: str) -> int:
    if is_empty(row[column]):
        raise OddRow(f"its {column} is empty or no number")
    try:
        return whole_number(row[column])
    except ValueError:
        raise OddRow(f"its {column} is no whole number") from None


def _within(row: Row, column: str, largest: int) -> int:
    number = _number(row, column)
    if not 1 <= number <= largest:
        raise OddRow(f"its {column} is not one of 1 to {largest}")
    return number


def _member(row: Row, column: str, kind: type[Code]) -> Code:
    try:
        return kind(row[column].lower())
    except ValueError:
        raise OddRow(f"its {column} is none of {', '.join(kind)}") from None
