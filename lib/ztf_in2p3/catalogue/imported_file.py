"""One file of an imported table: its columns under our names, as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ztf_in2p3.catalogue.column_maps import guessed, lacking, named
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import SKY_FILTERS
from ztf_in2p3.recipes import ImportedColumns
from ztf_in2p3.tables.files import TableFile

SUFFIXES = (".parquet", ".pq", ".fits", ".fit", ".fz", ".csv", ".txt", ".ecsv", ".vot", ".votable", ".xml", ".gz")
"""Suffixes of the files of a folder that are read."""

_ARCHIVE_NAME = re.compile(r"ztf_(\d{14})_\d{6}_(z[gri])_c(\d\d)_o(?:_q(\d))?")
_FROM_HEADER = {"mjd": "OBSMJD", "airmass": "AIRMASS"}

FILTER_NAMES = {
    spelling: str(filter)
    for filter in SKY_FILTERS
    for band in (str(filter)[1],)
    for spelling in (str(filter), band, f"ztf{band}", f"ztf_{band}", f"ztf-{band}", f"ztf {band}", str(filter.fid))
}
"""Ways to write a filter, in lower case."""


def table_files(path: Path) -> list[Path]:
    """A file, or the tables of a folder and its subfolders.  `BadData` if there are none."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
        if not files:
            raise BadData(f"no table in the folder {path}; expected files ending in {', '.join(SUFFIXES)}")
        return files
    if not path.is_file():
        raise BadData(f"no table at {path}; expected a file, or a folder with some")
    return [path]


def columns_for(path: Path) -> ImportedColumns:
    """The map of columns that fits a file, guessed from their names; `BadData` if none does."""
    file = TableFile(path)
    try:
        return guessed(file.columns, _told(file))
    except BadData as error:
        raise BadData(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True, eq=False)
class ImportedFile:
    """A file whose columns are understood."""

    file: TableFile
    names: Mapping[str, str]
    """The file's name of each of our columns that it has."""
    told: Mapping[str, Any]
    """What its name and header tell of all rows, for what no column tells."""

    @classmethod
    def open(cls, path: Path, columns: ImportedColumns) -> ImportedFile:
        """Raises `BadData` where something indispensable is missing."""
        file = TableFile(path)
        facts = _told(file)
        known = {name.lower() for name in file.columns}
        usable = {name for ours, name in _texts(columns).items() if ours in facts}
        if missing := lacking(columns, known | {name.lower() for name in usable}):
            wanted = ", ".join(getattr(columns, ours) or ours for ours in missing)
            raise BadData(
                f"{path}: no column {wanted}; it has {', '.join(file.columns)}: "
                "say what they are called there, in the recipe's table `imported` or as a map of columns"
            )
        names = named(columns, file.columns)
        return cls(file, names, {ours: value for ours, value in facts.items() if ours not in names})

    def parts(self) -> Iterator[pa.Table]:
        """Rows under our names, as they are in the file."""
        for part in self.file.batches(list(dict.fromkeys(self.names.values()))):
            columns = {ours: part[theirs] for ours, theirs in self.names.items()}
            constants = {ours: pa.chunked_array([pa.repeat(value, part.num_rows)]) for ours, value in self.told.items()}
            yield pa.table(columns | constants)


def _texts(columns: ImportedColumns) -> dict[str, str]:
    return {ours: name for ours in columns.__slots__ if isinstance(name := getattr(columns, ours), str) and name}


def _told(file: TableFile) -> dict[str, Any]:
    """What the name of an archive's file and its header say of all rows."""
    facts: dict[str, Any] = {}
    if match := _ARCHIVE_NAME.search(file.path.name):
        exposure, filter, ccd, qid = match.groups()
        facts |= {"exposure": int(exposure), "filter": filter, "ccd": int(ccd)} | ({"qid": int(qid)} if qid else {})
        for ours, card in _FROM_HEADER.items():
            value = file.header.get(card)
            if isinstance(value, int | float) and np.isfinite(value):
                facts[ours] = float(value)
    return facts


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column as numbers; NaN where it is missing, null, or no number."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.float64(), safe=False)
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowException:
        numbers = pa.chunked_array([pa.array([_number(text) for text in column.to_pylist()], pa.float64())])
    return np.asarray(numbers.fill_null(np.nan).to_numpy(), np.float64)


def _number(text: object) -> float:
    """One cell; integers may be hexadecimal."""
    try:
        return float(str(text))
    except ValueError:
        try:
            return float(int(str(text).strip(), 0))
        except (ValueError, OverflowError):
            return float("nan")


def _cell_text(cell: object) -> str:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return text.strip().lower()


def filters(table: pa.Table) -> NDArray[np.str_]:
    """Filter code of each row; empty where the table does not tell a filter of the survey."""
    column = table["filter"]
    if pa.types.is_floating(column.type):
        column = column.cast(pa.int64(), safe=False)
    try:
        texts = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string()))).to_pylist()
    except pa.ArrowException:  # bytes that are no text, or cells that hold lists
        texts = [None if cell is None else _cell_text(cell) for cell in column.to_pylist()]
    return np.array([FILTER_NAMES.get(text, "") if text else "" for text in texts], dtype="U2")
