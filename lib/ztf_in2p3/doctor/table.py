"""The archive's tables of a night: their columns, and the form of what stands in them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from astropy.io import fits

from ztf_in2p3.archive.table_columns import TABLE_COLUMNS
from ztf_in2p3.cards import number
from ztf_in2p3.doctor.findings import Check, Result, differs, failed, ok
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType

_WHOLE = (r"-?\d+", "decimal whole number")
_NUMBER = (r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", "decimal number")
_FORMS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("infobits", "field", "ccdid", "qid", "rcid", "fid", "nid", "expid", "itid", "ipac_gid", "pid"), _WHOLE
    ),
    **dict.fromkeys(("obsjd", "exptime", "ra", "dec", "crpix1", "crval1", "cd11", "maglimit"), _NUMBER),
    "filefracday": (r"\d{14}", "14 digits YYYYMMDDFFFFFF"),
    "filtercode": (r"z[gri]|bi|OO", "zg, zr, zi, bi or OO"),
    "imgtypecode": (r"[obfdgcw]", "o, b, f or d"),
    "ipac_pub_date": (r"\d{4}-\d\d-\d\d.*", "YYYY-MM-DD ..."),
}
NEEDED = {
    "raw": ("filefracday", "field", "filtercode", "ccdid", "imgtypecode"),
    "sci": ("filefracday", "field", "filtercode", "ccdid", "imgtypecode", "qid"),
}
"""Columns without which no file can be named."""
_EMPTY = ("", "null", "nan")
MAX_ODD = 0.5
"""Fraction of a column's cells of one other form; some odd rows are known of the archive, and set aside one by one."""
_SECONDS = 20.0
_BESIDE = (("exptime", "EXPTIME", 0.5), ("obsjd", "OBSJD", 5 / 86400), ("field", "FIELDID", 0.0))
"""Column of the table, card of the raw file, tolerance (seconds, days, none): shutters are slow, dates are rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Answer of the archive to a query for all columns."""

    kind: str
    """``raw`` or ``sci``."""
    columns: list[str]
    rows: list[dict[str, str]]

    @classmethod
    def parse(cls, kind: str, text: str) -> Self:
        """Read a CSV table; rows of another length are left out of it."""
        lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) if "".join(line).strip()]
        titles = [title.strip().lower() for title in lines[0]] if lines else []
        rows = [dict(zip(titles, map(str.strip, line), strict=True)) for line in lines[1:] if len(line) == len(titles)]
        return cls(kind, titles, rows)


def needed(table: Table) -> Result:
    """Whether the columns are there without which nothing can be found."""
    missing = [name for name in NEEDED[table.kind] if name not in table.columns]
    expected = ", ".join(NEEDED[table.kind])
    if missing:
        remedy = "without it no file can be named: has the archive renamed it? Send us the JSON report"
        return differs(f"no {', '.join(missing)}; it has {', '.join(table.columns)}", expected, remedy)
    return ok(expected, expected)


def columns(table: Table) -> Result:
    """Columns against those that the archive documents."""
    documented = TABLE_COLUMNS[table.kind]
    missing = [name for name in documented if name not in table.columns]
    more = [name for name in table.columns if name not in documented]
    expected = f"the {len(documented)} columns that IRSA documents"
    if missing:
        observed = f"no {', '.join(missing)}" + (f"; new: {', '.join(more)}" if more else "")
        return differs(observed, expected, "has the archive renamed it? Send us the JSON report")
    return ok(f"{len(table.columns)} columns" + (f", new: {', '.join(more)}" if more else ""), expected)


def forms(table: Table) -> Result:
    """Form of the cells, column by column; empty ones and "null" are unknown, whatever the column."""
    wrong, expected, odd_rows = [], [], set()
    for name in table.columns:
        pattern, words = _FORMS.get(name, (r"(?s).*", ""))
        cells = [(number, row[name]) for number, row in enumerate(table.rows) if row[name].lower() not in _EMPTY]
        odd = [(number, cell) for number, cell in cells if not re.fullmatch(pattern, cell)]
        odd_rows |= {number for number, _ in odd}
        frequent = Counter(_form(cell) for _, cell in odd).most_common(1)
        if frequent and frequent[0][1] > MAX_ODD * len(cells):
            cell = next(cell for _, cell in odd if _form(cell) == frequent[0][0])
            wrong.append(f"{name} like {cell!r}")
            expected.append(f"{name}: {words}")
    if wrong:
        return differs(", ".join(wrong), "; ".join(expected), "send us the JSON report: rows would be lost")
    aside = f", {len(odd_rows)} of them odd" if odd_rows else ""
    return ok(f"{len(table.rows)} rows{aside}", "decimal numbers, dates and codes")


def _form(cell: str) -> str:
    """Cells of one form: hexadecimal, with a decimal point, others."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", cell):
        return "hexadecimal"
    return "decimal" if re.fullmatch(_NUMBER[0], cell) else "other"


def dates(table: Table) -> Result:
    """Julian date of the rows beside the time in their names."""
    apart = []
    for row in table.rows:
        ccd = _ccd_exposure(row)
        if ccd is not None and re.fullmatch(_FORMS["obsjd"][0], row.get("obsjd", "")):
            named = ccd.exposure.night.toordinal() + 1_721_424.5 + int(ccd.exposure.filefracday[8:]) / 1e6
            apart.append(abs(float(row["obsjd"]) - named) * 86400)
    expected = f"obsjd within {_SECONDS:g} s of filefracday"
    if not apart:
        return ok("nothing to compare", expected)
    middle = sorted(apart)[len(apart) // 2]
    text = f"{middle:.1f} s apart in the median"
    return ok(text, expected) if middle < _SECONDS else differs(text, expected, "send us the JSON report")


CHECKS: tuple[Check[Table], ...] = (
    Check("needed columns", needed),
    Check("columns", columns, ("needed columns",)),
    Check("forms", forms),
    Check("dates", dates, ("needed columns", "columns", "forms")),
)


def row_of(table: Table, ccd: CcdExposure) -> Mapping[str, str] | None:
    """Row of a raw file in the table of its night."""
    return next((row for row in table.rows if _ccd_exposure(row) == ccd), None)


def beside(row: Mapping[str, str] | None, header: fits.Header) -> Result:
    """Exposure time, date and field of a raw file's primary header beside those of its row; unknown values agree."""
    expected = "EXPTIME, OBSJD and FIELDID of the file as in its row"
    if row is None:
        return failed("no row names the file", expected, "send us the JSON report")
    wrong = []
    for column, key, tolerance in _BESIDE:
        cell, value = row.get(column, ""), number(header, key)
        if value is None or not re.fullmatch(_NUMBER[0], cell):
            continue
        if abs(float(cell) - value) > tolerance:
            wrong.append(f"{key} {value:.10g} beside {column} {float(cell):.10g}")
    if wrong:
        return differs(
            ", ".join(wrong), expected, "table and file speak of different exposures: send us the JSON report"
        )
    return ok(f"EXPTIME {number(header, 'EXPTIME')} s, date and field as in the table", expected)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A CCD of a night, and one frame of each kind of it."""

    bias: CcdExposure
    flat: CcdExposure
    science: CcdExposure


def choose(listed: Sequence[CcdExposure], ccdid: int | None = None, filter_: str | None = None) -> Result:
    """Smallest set of frames that can be detrended: of one CCD, flat and science frame in one filter.

    Parameters
    ----------
    ccdid, filter_
        To be chosen; the first that has all if None.
    """
    expected = "bias, flat and science frames of one CCD, the latter two in one filter"
    if not listed:
        remedy = "was the telescope closed? Name another night; if its files need an account, give one"
        return failed("no frames of the night are listed", expected, remedy)
    wanted = [ccd for ccd in listed if ccdid in (None, ccd.ccdid)]
    for candidate in sorted({ccd.ccdid for ccd in wanted}):
        biases = _frames(wanted, candidate, ImageType.BIAS)
        for band in (Filter.ZR, Filter.ZG, Filter.ZI):
            flats, objects = (_frames(wanted, candidate, kind, band) for kind in (ImageType.FLAT, ImageType.OBJECT))
            if biases and flats and objects and filter_ in (None, band.value):
                chosen = Chosen(biases[0], flats[0], objects[len(objects) // 2])
                return ok(f"CCD {candidate}, {band}; {len(listed)} files listed", expected, value=chosen)
    kinds = {kind.name.lower(): sum(c.exposure.image_type is kind for c in wanted) for kind in ImageType}
    counts = ", ".join(f"{count} {name}" for name, count in kinds.items() if count) or "none of this CCD"
    return failed(f"no such set: {counts}", expected, "name another night, --ccd or --filter")


def _frames(
    listed: Sequence[CcdExposure], ccdid: int, kind: ImageType, band: Filter | None = None
) -> list[CcdExposure]:
    """Frames of a kind of one CCD, in one filter if it matters."""
    return [
        ccd
        for ccd in listed
        if (ccd.ccdid, ccd.exposure.image_type) == (ccdid, kind) and band in (None, ccd.exposure.filter)
    ]


def _ccd_exposure(row: Mapping[str, str]) -> CcdExposure | None:
    """File that a row names; None for a row that names none."""
    try:
        field = row["field"].lower()
        exposure = Exposure(
            row["filefracday"],
            0 if field in _EMPTY else _whole(field),
            Filter(row["filtercode"]),
            ImageType(row["imgtypecode"]),
        )
        return CcdExposure(exposure, _whole(row["ccdid"]))
    except (ValueError, KeyError):
        return None


def _whole(text: str) -> int:
    """Decimal or hexadecimal."""
    return int(text, 16) if text.lower().startswith("0x") else int(float(text))
