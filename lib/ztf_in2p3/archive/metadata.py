"""The archive's tables of exposures, asked for and understood."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType, Quadrant
from ztf_in2p3.periods import Period

_NAME = ("filefracday", "field", "filtercode", "ccdid", "imgtypecode")

COLUMNS = {"raw": _NAME, "sci": (*_NAME, "qid")}
"""Those that make a file's name, by table."""

NIGHTS_PER_QUERY = 7
"""A night has up to 45 000 science quadrants; longer answers are slow to come and break off."""

_JD_OF_ORDINAL = 1721424.5
"""Julian date of midnight UT minus Python's day number."""

_JD_MARGIN = 0.01
"""Days.  A file name's fraction of the day and OBSJD differ by seconds; the names have the last word."""


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


def read_rows(body: bytes, columns: Sequence[str], name: str) -> list[dict[str, str]]:
    """Rows of a CSV table, with the columns asked for.  Only a header line: no rows.

    Raises
    ------
    TransientError
        Nothing at all, or a line that was cut off.
    BadData
        Not the table that was asked for.
    """
    lines = csv.reader(io.StringIO(body.decode("utf-8-sig", "replace")))
    titles = [title.strip().lower() for title in next(lines, [])]
    missing = [column for column in columns if column not in titles]
    if not body.strip():
        raise TransientError(f"{name}: an empty answer, without even a header line; try again")
    if missing:
        raise BadData(
            f"{name}: expected a table with columns {', '.join(columns)}, but {', '.join(missing)} is missing from an "
            f"answer that starts with {body[:80]!r}; has the archive's table changed?"
        )
    place = {column: titles.index(column) for column in columns}
    rows = []
    for line in lines:
        if not "".join(line).strip():
            continue
        if len(line) != len(titles):
            raise TransientError(
                f"{name}: line {lines.line_num} has {len(line)} fields instead of {len(titles)}; "
                "the table was cut off, try again"
            )
        rows.append({column: line[at].strip() for column, at in place.items()})
    return rows


def ccd_exposure(row: Mapping[str, str]) -> CcdExposure:
    """Of a row.  BadData if it lists what cannot be."""
    try:
        exposure = Exposure(
            row["filefracday"], _whole_number(row["field"]), Filter(row["filtercode"]), ImageType(row["imgtypecode"])
        )
        return CcdExposure(exposure, _whole_number(row["ccdid"]))
    except ValueError as error:
        raise BadData(
            f"the archive's table lists what cannot be: {error}, in {dict(row)}; report it to them"
        ) from error


def quadrant(row: Mapping[str, str]) -> Quadrant:
    """Of a row of the science table.  BadData if it lists what cannot be."""
    try:
        return Quadrant(_whole_number(row["ccdid"]), _whole_number(row["qid"]))
    except ValueError as error:
        raise BadData(
            f"the archive's table lists what cannot be: {error}, in {dict(row)}; report it to them"
        ) from error


def _whole_number(text: str) -> int:
    """Calibration frames have no field: an empty cell or "null" stands for 0."""
    return 0 if text.lower() in ("", "null") else int(text)
