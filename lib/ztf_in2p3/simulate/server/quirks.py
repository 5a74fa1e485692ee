"""Oddities of real tables, which the look-alike's answers have too.

Each was seen in an answer of a real archive.  Some only dress a row up, and whoever reads numbers with care loses
nothing; others are stray rows that list what cannot be, beside the good ones.  No good row is ever lost or altered in
what it means.  Which rows are struck follows from their content alone, so that one question has one answer.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Row = list[str]


class Quirk(StrEnum):
    """Oddities of the tables, one by one."""

    # of a whole answer
    BYTE_ORDER_MARK = "byte order mark"
    CRLF = "lines that end in CR LF"
    OTHER_ORDER = "columns in another order than asked for"
    POLY = "a column more than asked for, quoted and with commas inside"
    # of a good row
    HEXADECIMAL = "integers as 0x3"
    DECIMAL = "integers as 655.0"
    EMPTY_FIELD = "a calibration frame's field 0 as null, NaN or nothing"
    TWICE = "a row listed twice"
    OTHER_DATE = "dates with T and Z"
    # rows too many
    STRAY_FILTER = "filter OO"
    EMPTY_FILTER = "no filter"
    STRAY_FIELD = "the field of an exposure of the sky is NaN"
    STRAY_DATE = "filefracday with a decimal point"
    CONTRADICTION = "a row listed again under another field"
    SHORT_LINE = "a line with cells missing"
    CUT_OFF = "the last line cut off in the middle"


_STRAYS = (
    Quirk.STRAY_FILTER,
    Quirk.EMPTY_FILTER,
    Quirk.STRAY_FIELD,
    Quirk.STRAY_DATE,
    Quirk.CONTRADICTION,
    Quirk.SHORT_LINE,
)
BY_DEFAULT = frozenset(Quirk) - {Quirk.CUT_OFF}
"""A table that is cut off makes a client ask again, which takes its time."""

NAME_COLUMNS = ("filefracday", "field", "filtercode", "ccdid", "imgtypecode")
_INTEGERS = ("field", "ccdid", "qid")
_DATES = ("obsdate", "ipac_pub_date")
_POLY = '"{0} 35.74, 58.01 35.74, 58.01 35.76, 57.99 35.76"'

ROWS_A_STRAY = 4
"""A short answer has at most one stray row for so many good ones."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """How odd the answers are."""

    share: float = 0.03
    """Fraction of the rows that each kind strikes; at least one row of an answer that is long enough."""
    answers: float = 0.5
    """Fraction of the answers that each kind of a whole answer strikes."""
    kinds: frozenset[Quirk] = BY_DEFAULT

    def answer(self, names: Sequence[str], rows: Sequence[Row], question: str) -> str:
        """A table as CSV, with its oddities; a table that does not name files is left plain."""
        if not rows or not set(NAME_COLUMNS) <= set(names):
            return plain(names, rows)
        struck = self._strays(names, rows, question)
        listed: list[Row] = []
        for number, row in enumerate(rows):
            listed.append(row)
            if self._hits(Quirk.TWICE, row, number, len(rows)):
                listed.append(row)
            strays = [stray for at, stray in struck if at == number]
            # A short line at the end would be one that was cut off, and is another quirk.
            listed[-1:] = [*(stray for stray in strays if len(stray) < len(names)), listed[-1]]
            listed += [stray for stray in strays if len(stray) == len(names)]
        listed = [
            self._dressed(names, row, number, len(listed)) if len(row) == len(names) else row
            for number, row in enumerate(listed)
        ]
        return self._as_text(list(names), listed, question)

    def _hits(self, quirk: Quirk, row: Row, number: int, n_row: int) -> bool:
        if quirk not in self.kinds:
            return False
        chosen = _unit(quirk, *row, str(number)) < self.share
        return chosen or (self.share > 0 and number == int(_unit(quirk, str(n_row)) * n_row))

    def _strays(self, names: Sequence[str], rows: Sequence[Row], question: str) -> list[tuple[int, Row]]:
        """Stray rows, each with the number of the good row that it follows."""
        strays = []
        for quirk in self.kinds.intersection(_STRAYS):
            for number, row in enumerate(rows):
                if _unit(quirk, *row) < self.share and (stray := _stray(quirk, names, row, rows)):
                    strays.append((number, stray))
        if strays or not self.share:
            return strays
        kinds = sorted(self.kinds.intersection(_STRAYS), key=lambda quirk: _unit(quirk, question))
        for quirk in kinds[: len(rows) // ROWS_A_STRAY]:
            number = int(_unit(quirk, question) * len(rows))
            if stray := _stray(quirk, names, rows[number], rows):
                strays.append((number, stray))
        return strays

    def _dressed(self, names: Sequence[str], row: Row, number: int, n_row: int) -> Row:
        cells = dict(zip(names, row, strict=True))
        unset = cells["imgtypecode"] != "o" and cells["field"] in ("", "0")
        if unset and self._hits(Quirk.EMPTY_FIELD, row, number, n_row):
            cells["field"] = ("", "null", "NaN")[number % 3]
        for quirk, form in ((Quirk.HEXADECIMAL, "0x{:x}"), (Quirk.DECIMAL, "{}.0")):
            if self._hits(quirk, row, number, n_row):
                cells |= {name: form.format(int(cells[name])) for name in _INTEGERS if cells.get(name, "").isdigit()}
        if self._hits(Quirk.OTHER_DATE, row, number, n_row):
            cells |= {name: cells[name][:19].replace(" ", "T") + "Z" for name in _DATES if cells.get(name)}
        return list(cells.values())

    def _as_text(self, names: list[str], rows: list[Row], question: str) -> str:
        def strikes(quirk: Quirk) -> bool:
            return quirk in self.kinds and _unit(quirk, question) < self.answers

        lines = plain(names, rows).splitlines()
        if strikes(Quirk.OTHER_ORDER):
            width = len(names)
            turned = [row[-1:] + row[:-1] if len(row) == width else row for row in rows]
            lines = plain(names[-1:] + names[:-1], turned).splitlines()
        if strikes(Quirk.POLY):
            whole = len(names)
            lengths = [whole, *(len(row) for row in rows)]
            extra = ["poly", *(_POLY.format(number) for number in range(len(rows)))]
            lines = [
                f"{line},{cell}" if length == whole else line
                for line, cell, length in zip(lines, extra, lengths, strict=True)
            ]
        text = "\n".join([*lines, ""])
        if strikes(Quirk.CUT_OFF):
            text += lines[-1][: len(lines[-1]) // 2].rpartition(",")[0]
        if strikes(Quirk.CRLF):
            text = text.replace("\n", "\r\n")
        return ("\ufeff" if strikes(Quirk.BYTE_ORDER_MARK) else "") + text


USUAL = Quirks()
"""What the look-alike sends unless told otherwise."""


def _stray(quirk: Quirk, names: Sequence[str], row: Row, rows: Sequence[Row]) -> Row | None:
    """A row that lists what cannot be, made of a good one; None where that one does not lend itself to it."""
    cells = dict(zip(names, row, strict=True))
    match quirk:
        case Quirk.STRAY_FILTER:
            cells["filtercode"] = "OO"
        case Quirk.EMPTY_FILTER:
            cells["filtercode"] = ""
        case Quirk.STRAY_DATE:
            cells["filefracday"] = f"{cells['filefracday'][:8]}.{cells['filefracday'][8:]}"
        case Quirk.SHORT_LINE:
            return row[: len(row) // 2]
        case Quirk.STRAY_FIELD if cells["imgtypecode"] == "o":
            cells["field"] = "NaN"
        case Quirk.CONTRADICTION if cells["field"].isdigit() and _siblings(names, row, rows) > 1:
            cells["field"] = str(int(cells["field"]) + 1)
        case _:
            return None
    return list(cells.values())


def _siblings(names: Sequence[str], row: Row, rows: Sequence[Row]) -> int:
    """Rows of the same exposure, the row itself included."""
    at = list(names).index("filefracday")
    return sum(sibling[at] == row[at] for sibling in rows)


def plain(names: Sequence[str], rows: Sequence[Row]) -> str:
    """A table as CSV without oddities."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows(rows)
    return text.getvalue()


def _unit(*words: str) -> float:
    """A number of [0, 1) that follows from words."""
    return zlib.crc32("\0".join(words).encode()) / 2**32
