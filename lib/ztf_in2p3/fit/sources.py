"""Sources of measurements: a table in memory, or Parquet files of any size.

A source is read twice in different ways: its columns in passing, to learn which exposures there are;
and star by star, all rows of a star together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData

ROWS = 1 << 15
"""Measurements of a partition, about; what is needed only on the way there is this long."""

BUFFER = 1 << 18
"""Bytes read at once of a column of a file; else whole row groups are read."""

Columns = dict[str, NDArray]
Rows = slice | NDArray[np.int64]
"""Row numbers of the source, (row,)."""


class Source(Protocol):
    """Measurements, one a row."""

    @property
    def column_names(self) -> Sequence[str]:
        """Names of the columns."""

    @property
    def n_row(self) -> int:
        """Number of measurements."""

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """All rows in parts of any size."""

    def stars(self, names: Sequence[str]) -> Iterator[tuple[Columns, Rows]]:
        """Rows of some stars at a time, all of each; and where in the source they are."""


class TableSource:
    """A table in memory; one that is sorted by star is read in place."""

    def __init__(self, table: pa.Table) -> None:
        self.column_names, self.n_row, self._table = tuple(table.column_names), table.num_rows, table

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Rows with these columns, a part of the table at a time."""
        for begin in range(0, self.n_row, ROWS):
            yield self._table.select(names).slice(begin, ROWS)

    def stars(self, names: Sequence[str]) -> Iterator[tuple[Columns, Rows]]:
        """Columns of whole stars, and the rows they are in, some stars at a time."""
        for rows in _star_slices(as_array(self._table.column("star_id"))):
            yield {name: as_array(self._rows(name, rows)) for name in names}, rows

    def _rows(self, name: str, rows: Rows) -> pa.ChunkedArray:
        column = self._table.column(name)
        if isinstance(rows, slice):
            return column.slice(rows.start, rows.stop - rows.start)
        return column.take(pa.array(rows))


class ParquetSource:
    """Files of one table, each with all rows of its stars, sorted by star; memory does not grow with them.

    Parameters
    ----------
    rows
        Read at once.
    first_row
        Number of the first: where these are the later files of a larger table.

    Raises `BadData` when a file turns out not to be sorted, or two share a star.
    """

    def __init__(self, paths: Sequence[Path], *, rows: int = ROWS, first_row: int = 0) -> None:
        if not paths:
            raise BadData("no files of measurements given; at least one is needed")
        self.paths, self.rows, self.first_row = tuple(paths), rows, first_row
        metadata = [pq.read_metadata(path) for path in paths]
        self.n_row_of = tuple(footer.num_rows for footer in metadata)
        self.n_row = sum(self.n_row_of)
        self.column_names = tuple(metadata[0].schema.to_arrow_schema().names)

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Rows with these columns, a part of a file at a time."""
        for path in self.paths:
            yield from self._read(path, names)

    def stars(self, names: Sequence[str]) -> Iterator[tuple[Columns, Rows]]:
        """Columns of whole stars, and the rows they are in, some stars at a time."""
        begin = self.first_row
        self.require_disjoint()
        for path in self.paths:
            for table in self._whole_stars(path, names):
                columns = {name: as_array(table.column(name)) for name in names}
                yield columns, slice(begin, begin + table.num_rows)
                begin += table.num_rows

    def require_disjoint(self) -> None:
        """Stars are looked at one by one only in files whose ranges of star_id overlap; in a sorted table none do."""
        spans = sorted((*_span(path), path) for path, n in zip(self.paths, self.n_row_of, strict=True) if n)
        several: list[Path] = []
        end: tuple[int, Path] | None = None
        for first, last, path in spans:
            if end is not None and first <= end[0]:
                several += [end[1], path]
            if end is None or last > end[0]:
                end = (last, path)
        files = list(dict.fromkeys(several))
        ids = [np.unique(_star_ids(path)) for path in files]
        stars, count = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_counts=True)
        twice = stars[(count > 1) & (stars >= 0)]
        if len(twice):
            raise BadData(
                f"star {twice[0]} is in two of {', '.join(map(str, files))}; "
                "all measurements of a star belong in one file"
            )

    def _read(self, path: Path, names: Sequence[str]) -> Iterator[pa.Table]:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) as file:
            for batch in file.iter_batches(self.rows, columns=list(names), use_threads=False):
                yield pa.Table.from_batches([batch])

    def _whole_stars(self, path: Path, names: Sequence[str]) -> Iterator[pa.Table]:
        """The last star of what was read waits for the rest of its rows."""
        waiting = None
        for table in self._read(path, names):
            table = table if waiting is None else pa.concat_tables([waiting, table])
            star = as_array(table.column("star_id"))
            if np.any(star[1:] < star[:-1]):
                raise BadData(f"{path} is not sorted by star_id; sort it, or read it whole")
            cut = int(np.searchsorted(star, star[-1]))
            if cut:
                yield table.slice(0, cut)
            waiting = table.slice(cut)
        if waiting is not None and waiting.num_rows:
            yield waiting


class WithPixels:
    """Adds pixels x, y from focal-plane positions u, v (pixels) and rcid to a source that has only those."""

    def __init__(self, source: Source, camera: Camera) -> None:
        self.column_names, self.n_row = (*source.column_names, "x", "y"), source.n_row
        self._source, self._camera = source, camera

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Rows with these columns, a part of the table at a time."""
        yield from self._source.batches(names)

    def stars(self, names: Sequence[str]) -> Iterator[tuple[Columns, Rows]]:
        """Columns of whole stars with their pixels, and the rows they are in, some stars at a time."""
        read = [*(name for name in names if name not in ("x", "y")), "u", "v"]
        for columns, rows in self._source.stars(list(dict.fromkeys(read))):
            rcid, u, v = (columns[name] for name in ("rcid", "u", "v"))
            x, y = np.full(len(u), np.nan), np.full(len(u), np.nan)
            for quadrant in self._camera.quadrants:
                on = rcid == quadrant.rcid
                x[on], y[on] = self._camera.pixel(quadrant, u[on], v[on])
            yield columns | {"x": x, "y": y}, rows


def as_source(measurements: pa.Table | Source, camera: Camera) -> Source:
    """Anything that a fit can read; pixels are computed where only focal-plane positions are told."""
    source: Source = TableSource(measurements) if isinstance(measurements, pa.Table) else measurements
    if "x" in source.column_names or not {"u", "v", "rcid"} <= set(source.column_names):
        return source
    return WithPixels(source, camera)


def as_array(column: pa.ChunkedArray) -> NDArray:
    """Numbers, without a copy where there is one chunk and nothing is missing; missing integers are -1, others NaN."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if array.null_count:
        array = array.fill_null(-1 if pa.types.is_integer(array.type) else np.nan)
    return np.from_dlpack(array)  # Arrow's to_numpy imports pandas, whose code takes as much memory as all of a stream


def _star_slices(star_id: NDArray) -> Iterator[Rows]:
    """Rows of some stars, all of each: slices of a table that is sorted by star, else positions."""
    n = len(star_id)
    order = None if bool(np.all(star_id[1:] >= star_id[:-1])) else np.argsort(star_id, kind="stable")
    begin = 0
    while begin < n:
        end = min(begin + ROWS, n)
        while end < n and _at(star_id, order, end) == _at(star_id, order, end - 1):
            end += 1
        yield slice(begin, end) if order is None else order[begin:end]
        begin = end


def _at(array: NDArray, order: NDArray | None, i: int) -> object:
    return array[i if order is None else order[i]]


def _span(path: Path) -> tuple[int, int]:
    """Smallest and largest star_id of a file, from the statistics of its groups of rows where it has them."""
    metadata = pq.read_metadata(path)
    column = metadata.schema.to_arrow_schema().get_field_index("star_id")
    row_groups = [metadata.row_group(k).column(column).statistics for k in range(metadata.num_row_groups)]
    if all(statistics is not None and statistics.has_min_max for statistics in row_groups):
        return min(statistics.min for statistics in row_groups), max(statistics.max for statistics in row_groups)
    star = _star_ids(path)
    return int(star.min()), int(star.max())


def _star_ids(path: Path) -> NDArray[np.int64]:
    return as_array(pq.read_table(path, columns=["star_id"])["star_id"])
