"""Measurements that another program made, as a star table of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.imported_file import ImportedFile
from ztf_in2p3.catalogue.imported_rows import Group, RowReader, Wanted
from ztf_in2p3.catalogue.numbering import Numbering
from ztf_in2p3.catalogue.star_table import SORTED_BY, complete_stars, passing
from ztf_in2p3.errors import BadData
from ztf_in2p3.recipes import ImportedColumns, StarTableRecipe
from ztf_in2p3.tables import STAR_TABLE, schema_of


@dataclass(slots=True)
class Scattered:
    """An imported table, distributed over files that share no star; `sorted_partition` finishes each."""

    parts: dict[Group, list[Path]] = field(default_factory=dict)
    counts: dict[Group, Counter[str]] = field(default_factory=dict)
    """Measurements found and taken away by each cut, of each group; those that belong to none are with the first."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Files of a folder that could not be read, and why."""
    names: tuple[tuple[str, Numbering], ...] = ()
    """Columns whose identifiers were numbered."""


def scatter(paths: Sequence[Path], camera: Camera, recipe: StarTableRecipe, wanted: Wanted, folder: Path) -> Scattered:
    """Distribute the rows of imported files over partitions, all of a star into one.

    Which partition is told by the remainder of star_id: the identifiers of other programs say nothing of the sky.

    Parameters
    ----------
    paths
        Files in any of the known formats, with the columns that ``recipe.imported`` names.
    folder
        Empty; receives one file a group and partition, not yet sorted.

    Raises
    ------
    BadData
        None of the files can be read, or none of the rows can be used; with what was found.
    """
    columns = recipe.imported or ImportedColumns()
    files, skipped = _opened(paths, columns)
    _require_filter(files, wanted)
    reader = RowReader(columns, camera, recipe, wanted)
    n_row = reader.look_through(files)
    sink = _Sink(folder, max(1, -(-n_row // recipe.imported_rows)))
    with sink:
        lost: Counter[str] = Counter()
        for file in files:
            for rows, group in reader.groups(file, lost):
                table = passing(rows, reader.tests(rows), sink.counts.setdefault(group, Counter(found=0)))
                sink.write(group, table)
            lost["line with another number of cells"] += file.file.malformed
            lost["found"] += file.file.malformed
    counts = dict(sorted(sink.counts.items()))
    if not any(path for paths in sink.parts.values() for path in paths):
        total = sum(counts.values(), Counter(lost))
        reasons = ", ".join(f"{n} {reason}" for reason, n in total.items() if reason != "found" and n)
        place = paths[0] if len(paths) == 1 else paths[0].parent
        raise BadData(
            f"{place}: none of its {total['found']} measurements can be used "
            f"({reasons or 'it is empty'}); {reader.span()}"
        )
    first = next(group for group in counts if sink.parts.get(group))
    counts[first] += +lost
    parts = {group: sorted(sink.parts[group]) for group in counts if sink.parts.get(group)}
    return Scattered(parts, counts, skipped, reader.names)


def sorted_partition(part: Path, recipe: StarTableRecipe) -> tuple[pa.Table, dict[str, int]]:
    """One partition, star by star, as `ztf_in2p3.catalogue.star_table.star_table`; its counts.

    Of identical rows one is kept.  A star measured twice with different values on one quadrant of an exposure is
    left out there: nothing tells which of the two is right.
    """
    counts: Counter[str] = Counter()
    table = pq.read_table(part)
    table = table.sort_by([(name, "ascending") for name in (*SORTED_BY, "mag", "mag_e", "mjd", "airmass", "colour")])
    values = {name: table[name].to_numpy() for name in table.column_names}
    n = table.num_rows

    def same(names: Sequence[str]) -> NDArray[np.bool_]:
        """Whether a row has the same values as the one before it."""
        equal = np.ones(max(n - 1, 0), bool)
        for name in names:
            before, after = values[name][:-1], values[name][1:]
            unknown = np.isnan(before) & np.isnan(after) if before.dtype.kind == "f" else np.zeros(len(before), bool)
            equal &= (before == after) | unknown
        return np.concatenate([[False], equal]) if n else equal

    again, copy = same(("star_id", "exposure", "rcid")), same(table.column_names)
    counts["the same row again"] = int(copy.sum())
    number = np.cumsum(~again) - 1
    several = np.bincount(number, ~copy, number[-1] + 1)[number] > 1 if n else again
    counts["measured twice, differently"] = int((several & ~copy).sum())
    return complete_stars(table.filter(pa.array(~copy & ~several)), recipe, counts)


def _opened(paths: Sequence[Path], columns: ImportedColumns) -> tuple[list[ImportedFile], dict[str, str]]:
    files, skipped = [], {}
    for path in paths:
        try:
            files.append(ImportedFile.open(path, columns))
        except BadData as error:
            skipped[str(path)] = str(error)
    if not files:
        first = next(iter(skipped.values()))
        raise BadData(first if len(skipped) == 1 else f"none of {len(paths)} files can be read; the first: {first}")
    return files, skipped


def _require_filter(files: Sequence[ImportedFile], wanted: Wanted) -> None:
    silent = [file for file in files if "filter" not in file.names and "filter" not in file.told]
    if silent and len(wanted.filters) > 1:
        raise BadData(
            f"{silent[0].file.path} does not tell the filter of its measurements; name the one that they are of "
            f"({', '.join(wanted.filters)}), or the column that tells it"
        )


class _Sink:
    """Files of the partitions of each group, opened as they are met."""

    def __init__(self, folder: Path, n_part: int) -> None:
        self.folder, self.n_part = folder, n_part
        self.parts: dict[Group, set[Path]] = {}
        self.counts: dict[Group, Counter[str]] = {}
        self._writers: dict[Path, pq.ParquetWriter] = {}

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def write(self, group: Group, table: pa.Table) -> None:
        part = table["star_id"].to_numpy() % self.n_part
        for k in np.unique(part).tolist():
            path = self.folder / str(group[0]) / str(group[1]) / f"p{k:04d}.parquet"
            if path not in self._writers:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._writers[path] = pq.ParquetWriter(path, schema_of(STAR_TABLE))
            self.parts.setdefault(group, set()).add(path)
            self._writers[path].write_table(table.filter(pa.array(part == k)))
