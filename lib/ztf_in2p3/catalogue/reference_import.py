"""A table of stars from anywhere, laid out as the reference catalogue that the flows read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from ztf_in2p3.archive.hats_layout import SINGLE_TABLES
from ztf_in2p3.catalogue.hats import FINEST, INDEX, healpix_29, write_hats
from ztf_in2p3.catalogue.reference_table import ORIGINAL_ID, StarFile, columns_of, reference_rows, units_of
from ztf_in2p3.errors import BadData

COARSEST_ORDER = 3
"""HEALPix order of the largest partitions: 7 degrees."""
MAX_ROWS = 200_000
"""Rows of a partition: an exposure reads a few of them whole."""
ID_ORDER, ID_SHIFT, ID_STEP = 12, 35, 7
"""Gaia's source_id: pixel of order 12 times 2^35, then a running number times 2^7 (Gaia DR3 documentation)."""
TELLING_ORDER = 6
TELLING = 0.95
"""Fraction of identifiers that must tell their stars' pixel of `TELLING_ORDER` to be Gaia's (in DR3 0.99975 do)."""
REPEATED = "the star is listed already"


@dataclass(frozen=True, slots=True)
class ImportedReference:
    """Counts of an imported table of stars, and what its columns were taken for."""

    stars: int
    dropped: dict[str, int]
    """Rows left out, by reason, and cells taken as unknown."""
    columns: dict[str, str]
    """Name in the table of each column that it has."""
    gaia_ids: bool
    """Whether identifiers are the table's own; else they were made of the positions, since the fits need such."""


def import_reference(
    table: Path,
    folder: Path,
    *,
    columns: Mapping[str, str],
    unit: Mapping[str, str],
    epochs: tuple[float, float],
    name: str,
) -> ImportedReference:
    """Lay out a table, or a folder of tables with the same columns, as a HATS catalogue.

    The table may be longer than memory, if it is Parquet, CSV or uncompressed FITS.

    Parameters
    ----------
    columns, unit
        Names, and units (as astropy writes them), of columns in the table, by our name of them.
    epochs
        Julian years of the table's positions, where it has no column of them, and of those in the catalogue.
    name
        Name of the collection.

    Raises
    ------
    BadData
        No table can be read there, it has no positions or no usable row, or the folder cannot be written.
    ValueError
        The folder holds something else, or a column is named that no reference catalogue has.
    """
    files = _tables(table)
    names = columns_of(files[0], columns)
    dropped: Counter[str] = Counter()
    parts = _rows(files, names, columns, unit, epochs, dropped)
    first = next((part for part in parts if part.num_rows), None)
    if first is None:
        raise BadData(f"{table}: no row can be used: {_listing(dropped) or 'there is none'}; see --columns and --units")
    gaia_ids = _tell_places(first)
    tidy = partial(_own_identifiers if gaia_ids else _made_identifiers, dropped=dropped)
    try:
        n_star = write_hats(
            chain([first], parts), folder, name=name, order=COARSEST_ORDER, max_rows=MAX_ROWS, tidy=tidy
        )
    except OSError as error:
        raise BadData(f"{folder} cannot be written ({error}); name another folder, or make room") from error
    return ImportedReference(n_star, {why: n for why, n in dropped.items() if n}, names, gaia_ids)


def _tables(path: Path) -> list[StarFile]:
    if not path.is_dir():
        return [StarFile(path)]
    paths = sorted(file for file in path.rglob("*") if file.name.lower().endswith(SINGLE_TABLES) and file.is_file())
    if not paths:
        raise BadData(f"{path}: no table in this folder; expected files that end in {', '.join(SINGLE_TABLES)}")
    return [StarFile(file) for file in paths]


def _rows(
    files: list[StarFile],
    names: Mapping[str, str],
    columns: Mapping[str, str],
    unit: Mapping[str, str],
    epochs: tuple[float, float],
    dropped: Counter[str],
) -> Iterator[pa.Table]:
    for file in files:
        known = columns_of(file, columns)
        if set(known) != set(names):
            raise BadData(
                f"{file.path} has {', '.join(known)}, but {files[0].path} {', '.join(names)}; import them alone"
            )
        yield from reference_rows(file, known, units_of(file, known, unit), epochs, dropped)


def _tell_places(stars: pa.Table) -> bool:
    """Whether the identifiers are Gaia's, which say where a star is: the fits divide stars by them."""
    known = stars.filter(stars["source_id"].is_valid())
    if known.num_rows < TELLING * stars.num_rows:
        return False
    pixel = _pixel(known, TELLING_ORDER)
    pixel_of_id = known["source_id"].to_numpy() >> (ID_SHIFT + 2 * (ID_ORDER - TELLING_ORDER))
    return bool(np.mean(pixel == pixel_of_id) >= TELLING)


def _pixel(stars: pa.Table, order: int) -> np.ndarray:
    if INDEX in stars.column_names:
        return np.asarray(stars[INDEX].to_numpy() >> 2 * (FINEST - order))
    return healpix_29(stars["ra"].to_numpy(), stars["dec"].to_numpy()) >> 2 * (FINEST - order)


def _own_identifiers(stars: pa.Table, dropped: Counter[str]) -> pa.Table:
    """One row an identifier."""
    named = stars.filter(stars["source_id"].is_valid()).drop_columns([ORIGINAL_ID])
    dropped["no identifier"] += stars.num_rows - named.num_rows
    ordered = named.sort_by([(name, "ascending") for name in named.column_names if name != INDEX])
    return _first_rows(ordered, ["source_id"], dropped)


def _made_identifiers(stars: pa.Table, dropped: Counter[str]) -> pa.Table:
    """Identifiers like Gaia's, in the order of the positions in each pixel; one row an original one, or a position."""
    by_place = stars.sort_by([(name, "ascending") for name in stars.column_names if name != "source_id"])
    ordered = by_place.sort_by([(ORIGINAL_ID, "ascending"), *((name, "ascending") for name in ("ra", "dec"))])
    nameless = ordered[ORIGINAL_ID].null_count
    named = _first_rows(ordered.slice(0, len(ordered) - nameless), [ORIGINAL_ID], dropped)
    unnamed = _first_rows(ordered.slice(len(ordered) - nameless), ["ra", "dec"], dropped)
    unique = pa.concat_tables([named, unnamed]).sort_by(
        [(name, "ascending") for name in (INDEX, "ra", "dec", ORIGINAL_ID)]
    )
    pixel = _pixel(unique, ID_ORDER)
    _, first, of_pixel = np.unique(pixel, return_index=True, return_inverse=True)
    number = np.arange(len(pixel)) - first[of_pixel] + 1
    star_id = (pixel.astype(np.int64) << ID_SHIFT) + (number << ID_STEP)
    at = unique.column_names.index("source_id")
    return unique.set_column(at, unique.schema.field(at), pa.array(star_id))


def _first_rows(stars: pa.Table, names: list[str], dropped: Counter[str]) -> pa.Table:
    """The first row of each run of rows that have the same values in some columns."""
    if not stars.num_rows:
        return stars
    again = np.ones(stars.num_rows - 1, bool)
    for name in names:
        values = stars[name].to_numpy()
        again &= values[1:] == values[:-1]
    again = np.concatenate([[False], again])
    dropped[REPEATED] += int(again.sum())
    return stars.filter(pa.array(~again))


def _listing(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{why} ({n})" for why, n in dropped.items() if n)
