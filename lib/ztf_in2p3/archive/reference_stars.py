"""Stars in the files of a reference catalogue: which are usable, and whether they are where and when they should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from ztf_in2p3 import tables
from ztf_in2p3.errors import BadData

EPOCH = "ref_epoch"
"""Column, of Gaia's tables, with the Julian year of the positions; a catalogue need not have it."""
MAX_OUTSIDE = 0.01
"""Fraction of a partition's stars that may lie outside its pixel: those that a rounding puts across the border."""
EPOCH_TOLERANCE = 0.01
"""Years: the fastest star moves 0.1 arcsec in them."""
_POSITIONS = ("ra", "dec")
_SOME_ROWS = 1 << 17
"""Rows whose places and epoch are looked at before anything is fetched."""


@contextmanager
def opened_table(stream: Any, address: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file of stars.

    Raises
    ------
    BadData
        It is no such file, or a damaged one.
    """
    try:
        yield pq.ParquetFile(stream, pre_buffer=True)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow's own have no number
            raise
        raise BadData(f"{address} cannot be read as a table of stars: {_why(stream, error)}") from error


def check_columns(schema: pa.Schema, address: str) -> None:
    """Raises BadData where columns of `ztf_in2p3.tables.REFERENCE` are missing or of a type that cannot be right."""
    problems = []
    for column in tables.REFERENCE:
        if schema.get_field_index(column.name) < 0:
            problems.append(f"no column {column.name}")
        elif not _fits(schema.field(column.name).type, column.name):
            expected = {"source_id": "whole numbers", "ra": "float64", "dec": "float64"}.get(column.name, "numbers")
            problems.append(f"column {column.name} is of type {schema.field(column.name).type}, expected {expected}")
    if problems:
        raise BadData(
            f"{address}: {'; '.join(problems)}; is this a copy of Gaia DR3 with all its columns? "
            "`ztf reference import` lays other tables out, with other names and units"
        )


def check_sample(file: pq.ParquetFile, order: int, pixel: int, epoch: float | None, address: str) -> None:
    """Look at the first rows of a file: their places and their epoch, as `check_stars`."""
    names = [*_POSITIONS, *([EPOCH] if EPOCH in file.schema_arrow.names else [])]
    for batch in file.iter_batches(_SOME_ROWS, columns=names, row_groups=list(range(min(1, file.num_row_groups)))):
        check_stars(pa.Table.from_batches([batch]), order, pixel, epoch, address)
        return


def check_stars(stars: pa.Table, order: int, pixel: int, epoch: float | None, address: str) -> None:
    """Raises BadData where stars are not in the partition's pixel, or their positions not of the epoch asked for.

    Parameters
    ----------
    stars
        Columns ``ra``, ``dec`` (degrees) and, if known, ``ref_epoch`` (Julian year).
    order, pixel
        Nested scheme.
    epoch
        Julian year; None: any.
    """
    ra, dec = (_floats(stars, name) for name in _POSITIONS)
    known = np.isfinite(ra) & (np.abs(dec) <= 90)
    outside = _fraction_outside(ra[known], dec[known], order, pixel, "nested")
    if outside > MAX_OUTSIDE:
        ring = _fraction_outside(ra[known], dec[known], order, pixel, "ring") <= MAX_OUTSIDE
        why = "the catalogue is in HEALPix's ring ordering" if ring else "are ra and dec ICRS degrees?"
        raise BadData(
            f"{address}: {outside:.0%} of {known.sum()} stars are outside nested pixel {pixel} of order {order}, "
            f"expected none; {why}; lay it out anew with `ztf reference import`"
        )
    if epoch is None or EPOCH not in stars.column_names:
        return
    years = _floats(stars, EPOCH)
    wrong = years[np.abs(years - epoch) > EPOCH_TOLERANCE]
    if wrong.size:
        raise BadData(
            f"{address}: positions of epoch {wrong[0]:g}, expected {epoch:g}; set epoch = {wrong[0]:g} (and a name of "
            "its own, catalogue) in the recipe's [reference] table, or move the stars with `ztf reference import`"
        )


def usable_stars(parts: list[pa.Table]) -> tuple[pa.Table, dict[str, int]]:
    """Columns of `ztf_in2p3.tables.REFERENCE`, one row a star, by identifier; the rows dropped, by reason.

    Known partitions of public copies hold most rows twice: no star would be isolated.
    """
    schema = tables.schema_of(tables.REFERENCE)
    everything = pa.concat_tables(part.select(schema.names).cast(schema) for part in parts)
    ra, dec = (_floats(everything, name) for name in _POSITIONS)
    usable = np.isfinite(ra) & (np.abs(dec) <= 90) & ~np.asarray(everything["source_id"].is_null())
    stars, repeated = without_repeats(everything.filter(pa.array(usable)).sort_by("source_id"))
    dropped = {"repeated": repeated, "unusable": int((~usable).sum())}
    return stars, {reason: count for reason, count in dropped.items() if count}


def without_repeats(stars: pa.Table) -> tuple[pa.Table, int]:
    """The first of the rows of each source_id, in the order of the table, which has those of a star together.

    Where rows of a star differ, they are ordered by their values first, so that the order of the file does not matter.
    """
    star_id = stars["source_id"].to_numpy()
    repeats = np.concatenate([[False], star_id[1:] == star_id[:-1]]) if star_id.size else np.zeros(0, bool)
    if not repeats.any():
        return stars, 0
    stars = stars.sort_by([(name, "ascending") for name in stars.column_names])
    return stars.filter(pa.array(~repeats)), int(repeats.sum())


def _fits(kind: pa.DataType, name: str) -> bool:
    if name == "source_id":
        return bool(pa.types.is_integer(kind))
    if name in _POSITIONS:  # single precision would lose 0.1 arcsec
        return bool(pa.types.is_float64(kind) or pa.types.is_decimal(kind))
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind))


def _fraction_outside(ra: NDArray, dec: NDArray, order: int, pixel: int, scheme: str) -> float:
    if not ra.size:
        return 0.0
    grid = HEALPix(2**order, order=scheme)
    return float(np.mean(grid.lonlat_to_healpix(ra * units.deg, dec * units.deg) != pixel))


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(pc.cast(table[name], pa.float64()).to_numpy(), np.float64)


def _why(stream: Any, error: BaseException) -> str:
    """What the first and last bytes tell of a file that is no whole Parquet file."""
    stream.seek(0)
    first = bytes(stream.read(512))
    if not first:
        return "it is empty; copy it again"
    if first.lstrip()[:1] == b"<":
        return f"it is a page of text, {' '.join(first[:80].decode('utf-8', 'replace').split())!r}; check the address"
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(max(0, size - 4))
    if first[:4] == b"PAR1" and bytes(stream.read(4)) != b"PAR1":
        return f"it breaks off after {size} bytes; copy it again"
    return f"{error}; copy it again"
