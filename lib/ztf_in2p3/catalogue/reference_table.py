"""Rows of a table of stars from anywhere, in the columns, units and epoch of the reference catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from astropy import units
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from ztf_in2p3.archive.reference_stars import EPOCH
from ztf_in2p3.catalogue.stars import at_epoch
from ztf_in2p3.errors import BadData
from ztf_in2p3.tables import REFERENCE, schema_of
from ztf_in2p3.tables.files import ROWS_AT_ONCE, TableFile, arrow_of, explained

ORIGINAL_ID = "original_id"
"""Column that keeps a star's identifier in the table it comes from, as text."""
NEEDED = ("ra", "dec")
FULL_TURN = 360.0
EXACT = 2**53
"""Whole numbers up to here are exact in double precision."""

ALIASES = {
    "source_id": ("source_id", "source", "gaia_source_id", "sourceid", "dr3_source_id"),
    "ra": ("ra", "ra_icrs", "radeg", "ra_deg"),
    "dec": ("dec", "de_icrs", "dedeg", "dec_deg"),
    "parallax": ("parallax", "plx"),
    "pmra": ("pmra",),
    "pmdec": ("pmdec", "pmde"),
    "phot_g_mean_mag": ("phot_g_mean_mag", "gmag", "g_mag"),
    "phot_bp_mean_mag": ("phot_bp_mean_mag", "bpmag", "bp_mag"),
    "phot_rp_mean_mag": ("phot_rp_mean_mag", "rpmag", "rp_mag"),
    EPOCH: (EPOCH,),
}
"""Names under which the columns are known (Gaia's archive, VizieR), in small letters."""
_UNITS = {column.name: column.unit for column in REFERENCE} | {EPOCH: "yr"}
_DIALECTS = ("generic", "fits", "vounit", "cds")


class StarFile(TableFile):
    """A `TableFile` whose FITS tables are read from the disk part by part, so that they may be longer than memory."""

    def _open(self) -> list[str]:
        if not self._in_parts:
            return super()._open()
        with fits.open(self.path, memmap=True) as hdus:
            return [column.name for column in _fits_table(hdus, self.path).columns if column.name]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows with these columns, a part of the file at a time."""
        if not self._in_parts:
            yield from super().batches(columns)
            return
        with explained(self.path, self.format), fits.open(self.path, memmap=True) as hdus:
            hdu = _fits_table(hdus, self.path)
            for first in range(0, len(hdu.data), ROWS_AT_ONCE):
                rows = hdu.data[first : first + ROWS_AT_ONCE]
                yield arrow_of(Table({name: _unmasked(rows[name], hdu.columns[name].null) for name in columns}))

    @property
    def _in_parts(self) -> bool:
        return self.format == "FITS" and self.path.suffix != ".gz"


def _fits_table(hdus: fits.HDUList, path: Path) -> fits.BinTableHDU | fits.TableHDU:
    for hdu in hdus:
        if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and len(hdu.columns):
            return hdu
    raise BadData(f"{path} has no table with columns among its HDUs; expected a FITS table")


def _unmasked(values: NDArray, null: Any) -> NDArray:
    """Values with those masked that stand for unknown ones."""
    return np.ma.masked_equal(values, null) if null not in (None, "") and values.dtype.kind in "iu" else values


def columns_of(file: TableFile, given: Mapping[str, str]) -> dict[str, str]:
    """Name in the file of each of our columns that it has.

    Parameters
    ----------
    given
        What the caller says that columns are called there; the others go by `ALIASES`, capitals or not.

    Raises
    ------
    BadData
        A column that was given is not there, or there is no position.
    """
    if strange := sorted(set(given) - set(ALIASES)):
        raise ValueError(f"no column {', '.join(strange)} in a reference catalogue; it has {', '.join(ALIASES)}")
    if absent := sorted(set(given.values()) - set(file.columns)):
        raise BadData(f"{file.path}: no column {', '.join(absent)}; it has {', '.join(file.columns)}")
    small = {name.lower(): name for name in reversed(file.columns)}
    known = {ours: small[alias] for ours, aliases in ALIASES.items() for alias in reversed(aliases) if alias in small}
    names = {ours: name for ours in ALIASES if (name := given.get(ours) or known.get(ours))}
    if missing := [ours for ours in NEEDED if ours not in names]:
        raise BadData(
            f"{file.path}: no column {', '.join(missing)}; it has {', '.join(file.columns)}: say what they are called "
            f"with --columns {' '.join(f'{ours}=NAME' for ours in missing)}"
        )
    return names


def units_of(file: TableFile, names: Mapping[str, str], given: Mapping[str, str]) -> dict[str, units.Unit]:
    """Unit of each column: as given, else as the file says, else as the reference catalogue has it."""
    if strange := sorted(set(given) - set(names)):
        raise ValueError(f"units of {', '.join(strange)}: no such column is read; those are {', '.join(names)}")
    texts = {**_declared(file), **{names[ours]: text for ours, text in given.items()}}
    return {ours: _unit(texts.get(name, ""), ours, name, file.path) for ours, name in names.items()}


def reference_rows(
    file: TableFile,
    names: Mapping[str, str],
    unit: Mapping[str, units.Unit],
    epochs: tuple[float, float],
    dropped: Counter[str],
) -> Iterator[pa.Table]:
    """Rows with a place, in parts: `ztf_in2p3.tables.REFERENCE`, `ORIGINAL_ID` and the epoch.

    Parameters
    ----------
    names, unit
        Name and unit of each column in the file.
    epochs
        Julian years of the positions, where the file has no column `EPOCH`, and to which they are moved.
    dropped
        Counts the rows left out, by reason, and the cells that are no numbers.
    """
    before = dropped["lines with another number of cells than columns"]
    for table in file.batches(list(dict.fromkeys(names.values()))):
        yield _translated(table, names, unit, epochs, dropped, file.path)
    if file.malformed:
        dropped["lines with another number of cells than columns"] = before + file.malformed


def _translated(
    table: pa.Table,
    names: Mapping[str, str],
    unit: Mapping[str, units.Unit],
    epochs: tuple[float, float],
    dropped: Counter[str],
    path: Path,
) -> pa.Table:
    values = {
        ours: _numbers(table[name], unit[ours], _UNITS[ours], dropped, ours)
        for ours, name in names.items()
        if ours != "source_id"
    }
    ra, dec = values["ra"], values["dec"]
    placed = np.isfinite(ra) & np.isfinite(dec)
    possible = placed & (np.abs(dec) <= 90) & (ra >= -FULL_TURN) & (ra <= 2 * FULL_TURN)
    dropped["no position"] += int((~placed).sum())
    dropped["a position that is none (degrees are expected)"] += int((placed & ~possible).sum())
    n_row, unknown = table.num_rows, np.full(table.num_rows, np.nan)
    values = {column.name: values.get(column.name, unknown) for column in REFERENCE[1:]} | {
        EPOCH: values.get(EPOCH, np.full(n_row, epochs[0]))
    }
    years = np.where(np.isfinite(values[EPOCH]), epochs[1] - values[EPOCH], epochs[1] - epochs[0])
    with np.errstate(invalid="ignore"):
        moved = at_epoch(ra, dec, values["pmra"], values["pmdec"], years)
    resting = years == 0  # to the last bit what the table has
    values["ra"], values["dec"] = np.where(resting, ra % FULL_TURN, moved[0]), np.where(resting, dec, moved[1])
    values[EPOCH] = np.full(n_row, epochs[1])
    texts, star_id = _identifiers(table[names["source_id"]], path) if "source_id" in names else (None, None)
    schema = schema_of(REFERENCE)
    out = {
        "source_id": star_id if star_id is not None else pa.nulls(n_row, pa.int64()),
        **{name: pa.array(column, from_pandas=True) for name, column in values.items()},
        ORIGINAL_ID: texts if texts is not None else pa.nulls(n_row, pa.string()),
    }
    typed = {
        name: pc.cast(column, schema.field(name).type) if name in schema.names else column
        for name, column in out.items()
    }
    fields = [schema.field(name) if name in schema.names else pa.field(name, typed[name].type) for name in typed]
    return pa.table(list(typed.values()), schema=pa.schema(fields)).filter(pa.array(possible))


def _numbers(
    column: pa.ChunkedArray, unit: units.Unit, expected: str, dropped: Counter[str], name: str
) -> NDArray[np.float64]:
    """A column as float64 in our unit; what is unknown, or no number, is NaN (and counted)."""
    values = np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce"), np.float64)
    strange = int(np.isnan(values).sum()) - column.null_count - _n_nan(column)
    if strange > 0:
        dropped[f"cells of {name} that are no number, taken as unknown"] += strange
    factor = unit.to(units.Unit(expected)) if expected else 1.0
    return values if factor == 1.0 else values * factor


def _n_nan(column: pa.ChunkedArray) -> int:
    if not pa.types.is_floating(column.type):
        return 0
    return int(pc.sum(pc.is_nan(column)).as_py() or 0)


def _identifiers(column: pa.ChunkedArray, path: Path) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Identifiers as text, and as whole numbers where they are such (``Gaia DR3 123`` too)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if pa.types.is_floating(kind):
        values = np.asarray(column.to_numpy(), np.float64)
        if np.nanmax(np.abs(values), initial=0.0) > EXACT:
            raise BadData(
                f"{path}: identifiers are of type {kind}, in which those beyond {EXACT} lose digits; export them as "
                "whole numbers or as text"
            )
        whole = pa.chunked_array([pa.array(values, pa.float64(), from_pandas=True)])
        column = pc.cast(whole, pa.int64(), safe=False)
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    bare = pc.replace_substring_regex(texts, r"^Gaia E?DR\d+ ", "")
    return texts, pc.cast(
        pc.if_else(pc.match_substring_regex(bare, r"^\d{1,18}$|^[1-8]\d{18}$"), bare, None), pa.int64()
    )


def _declared(file: TableFile) -> dict[str, str]:
    """Units that a file of a self-describing format gives of its columns."""
    if file.format == "FITS":
        with fits.open(file.path, memmap=True) as hdus:
            return {column.name: column.unit for column in _fits_table(hdus, file.path).columns if column.unit}
    if file.format in ("ECSV", "VOTable"):
        table = Table.read(file.path, format="ascii.ecsv" if file.format == "ECSV" else "votable")
        return {name: str(table[name].unit) for name in table.colnames if table[name].unit is not None}
    return {}


def _unit(text: str, ours: str, name: str, path: Path) -> units.Unit:
    expected = units.Unit(_UNITS[ours]) if _UNITS[ours] else units.dimensionless_unscaled
    if not text or not _UNITS[ours]:
        return expected
    todo = f"give it with --units {ours}={_UNITS[ours].replace(' ', '')}"
    for dialect in _DIALECTS:
        try:
            unit = units.Unit(text, format=dialect)
        except (ValueError, TypeError):
            continue
        if not unit.is_equivalent(expected):
            raise BadData(f"{path}: column {name} is in {text!r}, expected {_UNITS[ours]} or the like; {todo}")
        return unit
    raise BadData(f"{path}: column {name} is in {text!r}, a unit that is not known; {todo}")
