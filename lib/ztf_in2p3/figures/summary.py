"""What a night was like: stars, background and seeing, quadrant by quadrant and exposure by exposure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.robust_statistics import finite_median
from ztf_in2p3.tables import Column, schema_of
from ztf_in2p3.tables.column import numbers

_COMMON = (
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("filter", pa.string(), "", "filter code: zg, zr, zi"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date"),
    Column("airmass", pa.float64(), "", "median over the stars"),
    Column("background", pa.float64(), "adu", "median over the stars of the global background, per pixel"),
    Column("background_rms", pa.float64(), "adu", "median over the stars of the background's noise, per pixel"),
    Column("seeing", pa.float64(), "pix", "full width at half maximum"),
    Column("n_star", pa.int64(), "", "stars measured"),
    Column("n_isolated", pa.int64(), "", "isolated stars among them"),
)
QUADRANT_SUMMARY = (*_COMMON, Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"))
EXPOSURE_SUMMARY = (*_COMMON, Column("n_quadrant", pa.int64(), "", "quadrants with stars"))

_MEDIANS = ("mjd", "airmass", "background", "background_rms", "seeing")


def texts(table: pa.Table, name: str) -> NDArray[np.object_]:
    """Column of texts of a table (row,)."""
    return np.asarray(table[name].to_pylist(), dtype=object)


def quadrant_summary(catalogue: pa.Table) -> pa.Table:
    """One row per quadrant and exposure of a catalogue: columns of `QUADRANT_SUMMARY`.

    Catalogues go in one by one, their summaries are joined by `join`: a night of summaries is small.
    A quadrant without stars has no rows in a catalogue, hence none here.

    Parameters
    ----------
    catalogue
        Columns of `ztf_in2p3.tables.catalogue_schema`.
    """
    exposure, rcid = catalogue["exposure"].to_numpy(), catalogue["rcid"].to_numpy()
    isolated = np.asarray(catalogue["isolated"].to_numpy(), bool)
    columns = {name: numbers(catalogue, name) for name in _MEDIANS}
    filters = texts(catalogue, "filter")
    rows = []
    for group in _groups(exposure, rcid):
        first = group[0]
        rows.append(
            {"exposure": int(exposure[first]), "rcid": int(rcid[first]), "filter": filters[first]}
            | {name: finite_median(column[group]) for name, column in columns.items()}
            | {"n_star": len(group), "n_isolated": int(isolated[group].sum())}
        )
    return pa.Table.from_pylist(rows, schema=schema_of(QUADRANT_SUMMARY))


def join(summaries: Iterable[pa.Table]) -> pa.Table:
    """One table of many, sorted by exposure and quadrant; empty if there is none."""
    empty = schema_of(QUADRANT_SUMMARY).empty_table()
    return pa.concat_tables([empty, *summaries]).sort_by([("exposure", "ascending"), ("rcid", "ascending")])


def exposure_summary(quadrants: pa.Table) -> pa.Table:
    """One row per exposure, in the order of time: columns of `EXPOSURE_SUMMARY`.

    Medians over the quadrants; numbers of stars are summed.
    """
    exposure = quadrants["exposure"].to_numpy()
    columns = {name: numbers(quadrants, name) for name in _MEDIANS}
    counts = {name: quadrants[name].to_numpy() for name in ("n_star", "n_isolated")}
    filters = texts(quadrants, "filter")
    rows = [
        {"exposure": int(exposure[group[0]]), "filter": filters[group[0]], "n_quadrant": len(group)}
        | {name: finite_median(column[group]) for name, column in columns.items()}
        | {name: int(count[group].sum()) for name, count in counts.items()}
        for group in _groups(exposure)
    ]
    rows.sort(key=lambda row: (row["mjd"], row["exposure"]))
    return pa.Table.from_pylist(rows, schema=schema_of(EXPOSURE_SUMMARY))


def relative_background(quadrants: pa.Table) -> dict[str, dict[int, float]]:
    """Background of each quadrant over the median of its exposure, median over the exposures: by filter, by rcid."""
    background, exposure = numbers(quadrants, "background"), quadrants["exposure"].to_numpy()
    relative = np.full(len(background), np.nan)
    for group in _groups(exposure):
        middle = finite_median(background[group])
        if middle > 0:
            relative[group] = background[group] / middle
    return _by_filter_and_quadrant(quadrants, relative)


def stars_per_quadrant(quadrants: pa.Table) -> dict[str, dict[int, float]]:
    """Number of stars, median over the exposures: by filter, by rcid."""
    return _by_filter_and_quadrant(quadrants, numbers(quadrants, "n_star"))


def filters_in(table: pa.Table) -> list[str]:
    """Filters that occur, in the order of wavelength."""
    order = {"zg": 0, "zr": 1, "zi": 2}
    return sorted(set(table["filter"].to_pylist()), key=lambda name: (order.get(name, 9), name))


# --- small parts


def _groups(*keys: NDArray) -> list[NDArray[np.intp]]:
    """Rows that share all their keys, in the order of the keys."""
    if not len(keys[0]):
        return []
    order = np.lexsort(keys[::-1])
    change = np.zeros(len(order) - 1, bool)
    for key in keys:
        change |= np.diff(key[order].astype(np.int64)) != 0
    return np.split(order, np.flatnonzero(change) + 1)


def _by_filter_and_quadrant(quadrants: pa.Table, values: NDArray) -> dict[str, dict[int, float]]:
    filters, rcid = texts(quadrants, "filter"), quadrants["rcid"].to_numpy()
    return {
        name: {int(rcid[of[0]]): finite_median(values[of]) for of in _within(filters == name, rcid)}
        for name in filters_in(quadrants)
    }


def _within(chosen: NDArray[np.bool_], key: NDArray) -> Sequence[NDArray[np.intp]]:
    rows = np.flatnonzero(chosen)
    return [rows[group] for group in _groups(key[rows])]
