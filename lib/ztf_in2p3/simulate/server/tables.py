"""The archive's tables of raw files and science images, as an SQL database."""

from __future__ import annotations

import csv
import math
import re
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from ztf_in2p3.simulate.server.quirks import Quirks, plain

_TEXT = {"filtercode", "imgtype", "imgtypecode", "obsdate", "ipac_pub_date", "telra", "teldec"}
_CORNERS = tuple(f"{axis}{k}" for k in range(1, 5) for axis in ("ra", "dec"))
_ISO_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d)")
_TAP_TABLE = re.compile(r"\bztf\.ztf_current_meta_(raw|sci)\b", re.IGNORECASE)


class Refused(Exception):
    """A query that makes no sense; the text is for the client."""


class ArchiveTables:
    """`meta/raw.csv` and `meta/sci.csv`, read again whenever they have changed."""

    def __init__(self, meta: Path, is_private: Callable[[str], bool], quirks: Quirks | None) -> None:
        self._files = {kind: meta / f"{kind}.csv" for kind in ("raw", "sci")}
        self._is_private = is_private
        self._quirks = quirks
        self._lock = threading.Lock()
        self._stamps: list[tuple[int, int]] = []
        self._columns: dict[str, list[str]] = {}
        self._public_from: dict[str, date] = {}
        self._database: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the database."""
        if self._database:
            self._database.close()

    def search(self, kind: str, query: Mapping[str, str], *, everything: bool) -> str:
        """CSV answer to an image search: WHERE, COLUMNS, POS and SIZE."""
        with self._lock:
            database = self._fresh()
            known = self._columns[kind]
            names = [name.strip().lower() for name in query.get("columns", "").split(",") if name.strip()] or known
            if unknown := [name for name in names if name not in known]:
                raise Refused(f"Unknown column(s) {', '.join(unknown)} in table ztf.{kind}")
            conditions = [f"({query['where']})"] if query.get("where") else []
            if query.get("pos"):
                conditions.append(_overlap_condition(query, known, kind))
            if not conditions:
                raise Refused("POS is required in the absence of WHERE")
            table = kind if everything else f"public_{kind}"
            sql = f"SELECT {', '.join(names)} FROM {table} WHERE {' AND '.join(conditions)}"
            return self._csv(names, _select(database, sql), sql)

    def tap(self, sql: str, *, everything: bool) -> str:
        """CSV answer to a synchronous TAP query."""
        with self._lock:
            database = self._fresh()
            if not re.match(r"\s*select\b", sql, re.IGNORECASE):
                raise Refused("only SELECT is allowed")
            sql = _TAP_TABLE.sub(lambda found: ("" if everything else "public_") + found[1].lower(), sql)
            cursor = _select(database, sql)
            return self._csv([column[0] for column in cursor.description], cursor, sql)

    def _csv(self, names: list[str], cursor: sqlite3.Cursor, question: str) -> str:
        rows = [["" if cell is None else str(cell) for cell in row] for row in cursor]
        return plain(names, rows) if self._quirks is None else self._quirks.answer(names, rows, question)

    def public_from(self, path: str) -> date | None:
        """`ipac_pub_date` of a file; None for one not listed, or without."""
        with self._lock:
            self._fresh()
            return self._public_from.get(_stem(path))

    def _fresh(self) -> sqlite3.Connection:
        stamps = [_stamp(path) for path in self._files.values()]
        if self._database is None or stamps != self._stamps:
            self.close()
            self._database = self._load()
            self._stamps = stamps
        return self._database

    def _load(self) -> sqlite3.Connection:
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.create_function("is_public", 1, lambda path: not self._is_private(path))
        database.create_function("overlap", 12, _overlap)
        self._public_from.clear()
        for kind, file in self._files.items():
            with file.open(newline="") as stream:
                rows = list(csv.reader(stream))
            names = self._columns[kind] = [name.strip().lower() for name in rows[0]]
            types = ["TEXT" if name in _TEXT else "NUMERIC" for name in names]
            declared = ", ".join(f"{name} {type_}" for name, type_ in zip(names, types, strict=True))
            database.execute(f"CREATE TABLE {kind} ({declared}, path_ TEXT)")
            database.execute(f"CREATE VIEW public_{kind} AS SELECT * FROM {kind} WHERE is_public(path_)")
            marks = ", ".join("?" * (len(names) + 1))
            for row in rows[1:]:
                cells = [*row, *[""] * len(names)][: len(names)]  # a line of the file may be as odd as an answer's
                named = dict(zip(names, cells, strict=True))
                path = path_of(kind, named)
                database.execute(f"INSERT INTO {kind} VALUES ({marks})", [*(cell or None for cell in cells), path])
                if _ISO_DATE.match(named.get("ipac_pub_date", "")):
                    self._public_from[_stem(path)] = date.fromisoformat(named["ipac_pub_date"][:10])
        database.commit()
        database.execute("PRAGMA query_only = ON")
        return database


def path_of(kind: str, row: Mapping[str, str]) -> str:
    """Path where a row's raw file or science image lies below the tree (IRSA: "Building data product URLs").

    Empty for a row whose numbers are none: no file belongs to it.
    """
    day = row["filefracday"]
    try:
        field, ccdid, qid = (int(row.get(column) or 0) for column in ("field", "ccdid", "qid"))
    except ValueError:
        return ""
    stem = f"{day[:4]}/{day[4:8]}/{day[8:]}/ztf_{day}_{field:06d}_{row['filtercode']}"
    stem = f"{kind}/{stem}_c{ccdid:02d}_{row['imgtypecode']}"
    return f"{stem}.fits.fz" if kind == "raw" else f"{stem}_q{qid}_sciimg.fits"


def _stem(path: str) -> str:
    """Common to all products of a CCD or quadrant."""
    return re.sub(r"(_q\d)_\w+\.fits.*|\.fits\.fz", r"\1", path)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _select(database: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
    try:
        return database.execute(sql)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise Refused(f"SQL error: {error}") from error


def _overlap_condition(query: Mapping[str, str], known: Sequence[str], kind: str) -> str:
    if not set(_CORNERS) <= set(known):
        raise Refused(f"table ztf.{kind} has no image corners to compare with POS")
    try:
        ra, dec = (float(part) for part in query["pos"].split(","))
        size = [float(part) for part in query.get("size", "0").split(",")]
        width, height = size[0], size[-1]
    except ValueError as error:
        raise Refused(f"bad POS or SIZE: {error}") from error
    return f"overlap({ra}, {dec}, {width}, {height}, {', '.join(_CORNERS)})"


def _overlap(ra: float, dec: float, width: float, height: float, *corners: float) -> bool:
    """Does an image touch a box?  Both as upright rectangles on the plane that touches the sky at the box's centre."""
    x, y = [], []
    a, d = math.radians(ra), math.radians(dec)
    for corner_ra, corner_dec in zip(corners[::2], corners[1::2], strict=True):
        b, e = math.radians(corner_ra), math.radians(corner_dec)
        cosine = math.sin(d) * math.sin(e) + math.cos(d) * math.cos(e) * math.cos(b - a)
        if cosine <= 0:
            return False
        x.append(math.degrees(math.cos(e) * math.sin(b - a) / cosine))
        y.append(math.degrees((math.cos(d) * math.sin(e) - math.sin(d) * math.cos(e) * math.cos(b - a)) / cosine))
    return min(x) <= width / 2 and max(x) >= -width / 2 and min(y) <= height / 2 and max(y) >= -height / 2
