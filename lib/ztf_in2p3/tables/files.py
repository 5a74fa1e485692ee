"""Tables that other programs wrote: Parquet, FITS, CSV, ECSV and VOTable, told apart by their content."""

from __future__ import annotations

import csv
import gzip
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.io.votable.exceptions import VOWarning
from astropy.table import Table
from astropy.table.meta import YamlParseError
from astropy.utils.exceptions import AstropyWarning

from ztf_in2p3.errors import BadData

ROWS_AT_ONCE = 1 << 18
NULL_TEXTS = ["", "null", "NULL", "Null", "nan", "NaN", "NAN", "None", "none", "N/A", "NA", "n/a", "<NA>", "--"]
"""Cells of a text table that say that a value is unknown."""
_FORMATS = "Parquet, FITS, CSV, ECSV or VOTable"
_DAMAGE = (
    OSError,
    EOFError,
    MemoryError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    csv.Error,
    pa.ArrowException,
    ExpatError,
    YamlParseError,
    fits.VerifyError,
    VOWarning,
)
"""What the readers of these formats raise on a file that is cut, altered, or of another format."""


class TableFile:
    """A table in a file of any of the known formats, read in parts.

    Attributes
    ----------
    columns
        Their names.
    header
        Cards of a FITS file's first header and of its table's; empty for the other formats.
    malformed
        Lines of a CSV with another number of cells than columns, passed over so far by `batches`.

    Raises
    ------
    BadData
        The file is missing, empty, damaged, or in no known format.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.header, self.malformed = path, dict[str, Any](), 0
        self._table: pa.Table | None = None
        self.format = format_of(path)
        with explained(path, self.format):
            self.columns = self._open()

    def _open(self) -> list[str]:
        match self.format:
            case "Parquet":
                with pq.ParquetFile(self.path) as file:
                    return list(file.schema_arrow.names)
            case "CSV":
                return _csv_layout(self.path).names
            case "FITS":
                self._table, self.header = _read_fits(self.path)
            case "ECSV":
                self._table = arrow_of(_quiet(Table.read, self.path, format="ascii.ecsv"))
            case "VOTable":
                self._table = arrow_of(_quiet(parse_single_table, self.path).to_table(use_names_over_ids=True))
        assert self._table is not None
        return list(self._table.column_names)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of all rows, in parts; nulls are kept, cells of a CSV are text.

        Raises `BadData` where the file is damaged further on.
        """
        with explained(self.path, self.format):
            match self.format:
                case "Parquet":
                    with pq.ParquetFile(self.path) as file:
                        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                            yield pa.Table.from_batches([batch])
                case "CSV":
                    self.malformed = 0
                    for batch in self._csv(columns):
                        yield pa.Table.from_batches([batch])
                case _:
                    table = self._table.select(list(columns)) if self._table is not None else pa.table({})
                    for first in range(0, table.num_rows, ROWS_AT_ONCE):
                        yield table.slice(first, ROWS_AT_ONCE)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Some columns, or all, at once."""
        names = self.columns if columns is None else columns
        parts = list(self.batches(names))
        return (
            pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({name: [] for name in names})
        )

    def _csv(self, columns: Sequence[str] | None = None) -> pacsv.CSVStreamingReader:
        """Everything as text: the type of a cell may change after any number of rows."""
        layout = _csv_layout(self.path)
        convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(layout.names, pa.string()),
            strings_can_be_null=True,
            null_values=NULL_TEXTS,
            quoted_strings_can_be_null=True,
            include_columns=list(columns) if columns is not None else None,
        )
        read = pacsv.ReadOptions(
            column_names=layout.names, skip_rows=layout.lines_before_data, encoding=layout.encoding, use_threads=False
        )
        parse = pacsv.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=self._skip_malformed
        )
        return pacsv.open_csv(self.path, read_options=read, parse_options=parse, convert_options=convert)

    def _skip_malformed(self, row: pacsv.InvalidRow) -> str:
        if not (row.text or "").lstrip().startswith("#"):
            self.malformed += 1
        return "skip"


def arrow_of(table: Any) -> pa.Table:
    """A table in memory, of Arrow, pandas or astropy, as Arrow's; masked values and pandas' missing ones are null.

    Columns of several values a row, which no measurement has, are left out.
    """
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, Table):
        names = [name for name in table.colnames if getattr(table[name], "ndim", 1) == 1]
        return pa.table({name: _arrow_column(_plain(table[name])) for name in names})
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        named = table.reset_index() if any(name is not None for name in table.index.names) else table
        return pa.table({str(name): _pandas_column(named[name]) for name in named.columns})
    raise TypeError(f"a {type(table).__name__} is no table; expected one of pandas, astropy or Arrow")


def _plain(column: Any) -> Any:
    """Values without a unit's or a time's type."""
    if hasattr(column, "mjd"):
        return np.asarray(column.mjd)
    return column.value if hasattr(column, "value") and hasattr(column, "unit") else column


def _arrow_column(values: Any) -> pa.Array:
    mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    array = np.asarray(np.ma.getdata(values))
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U":
        array = np.char.strip(array).astype(object)
    if array.dtype.kind == "O":
        texts = [None if _is_null(value) else value for value in array]
        if mask is not None:
            texts = [None if hidden else value for value, hidden in zip(texts, mask, strict=True)]
        return _of_objects(texts)
    return pa.array(array.astype(array.dtype.newbyteorder("=")), mask=mask)


def _pandas_column(series: Any) -> pa.Array:
    if series.dtype == object or str(series.dtype) == "category":
        return _of_objects([None if _is_null(value) else value for value in series])
    return pa.Array.from_pandas(series)


def _of_objects(values: list[Any]) -> pa.Array:
    """Objects as numbers if they all are; else as their texts."""
    for kind in (None, pa.uint64()):
        with suppress(pa.ArrowException, OverflowError, TypeError):
            return pa.array(values, kind)
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_null(value: Any) -> bool:
    missing = value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType")
    return missing or bool(np.isscalar(value) and value != value)


def _read_fits(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The first table with columns; the primary header and its own as one."""
    with fits.open(path, memmap=True) as hdus:
        for number, hdu in enumerate(hdus):
            if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and len(hdu.columns):
                table = arrow_of(_quiet(Table.read, hdus, hdu=number))
                return table, _cards(hdus[0].header) | _cards(hdu.header)
    raise BadData(f"{path} has no table with columns among its HDUs; expected a FITS table")


def _cards(header: fits.Header) -> dict[str, Any]:
    """Values of the cards that can be read."""
    values = {}
    for card in header.cards:
        with suppress(fits.VerifyError, ValueError):
            values[card.keyword] = card.value
    return {name: value for name, value in values.items() if not isinstance(value, fits.card.Undefined)}


def _quiet(read: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # units that it does not know are no business of ours
        return read(*args, **options)


@contextmanager
def explained(path: Path, format: str) -> Iterator[None]:
    """What a reader raises on a damaged file, as `BadData`."""
    try:
        yield
    except _DAMAGE as error:
        raise BadData(f"{path} cannot be read as {format} ({_first_line(error)}); export the table again") from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, slots=True)
class _CsvLayout:
    """How a text table is laid out."""

    names: list[str]
    lines_before_data: int
    delimiter: str
    encoding: str


def _csv_layout(path: Path) -> _CsvLayout:
    """Lines of comments, then the names of the columns, then data; the delimiter is the one that the names have."""
    head = _head(path).removeprefix(b"\xef\xbb\xbf")
    try:
        text, encoding = head.decode("utf8"), "utf8"
    except UnicodeDecodeError as error:  # at its end: a character that was cut in two
        encoding = "utf8" if error.start > len(head) - 4 else "latin-1"
        text = head.decode(encoding, "ignore")
    lines = text.splitlines()
    number = next((k for k, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if number is None:
        raise BadData(f"{path} has no line with the names of its columns; expected a CSV table")
    delimiter = max(",;\t|", key=lines[number].count)
    if delimiter not in lines[number] and len(lines[number].split()) > 1:
        raise BadData(f"{path}: columns are separated by blanks; expected commas, semicolons, tabs or |: export as CSV")
    names = [name.strip() for name in next(csv.reader([lines[number]], delimiter=delimiter))]
    if twice := sorted(name for name, n in Counter(names).items() if n > 1):
        raise BadData(f"{path} has two columns called {', '.join(map(repr, twice))}; rename one of them")
    return _CsvLayout(names, number + 1, delimiter, encoding)


def format_of(path: Path) -> str:
    """Parquet, FITS, ECSV or VOTable; CSV for any other text.  `BadData` if it is missing, empty or anything else."""
    try:
        head = _head(path)
    except (OSError, EOFError) as error:
        raise BadData(f"{path} cannot be read ({error}); expected a table in {_FORMATS}") from error
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise BadData(f"{path} is empty; expected a table in {_FORMATS}")
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.startswith(b"SIMPLE  ="):
        return "FITS"
    if text.startswith(b"<"):
        if b"<votable" not in head.lower():
            raise BadData(f"{path} is XML or HTML, but no VOTable; expected a table in {_FORMATS}")
        return "VOTable"
    if text.startswith(b"# %ECSV"):
        return "ECSV"
    if b"\x00" in head:
        raise BadData(f"{path} is in no format that is known here; expected {_FORMATS}")
    return "CSV"


def _head(path: Path, size: int = 1 << 16) -> bytes:
    with path.open("rb") as file:
        head = file.read(size)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as file:
            return file.read(size)
    return head
