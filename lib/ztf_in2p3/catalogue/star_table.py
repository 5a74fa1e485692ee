"""Catalogues, exposure by exposure, become measurements, star by star: what a fit of the whole camera reads.

A partition is a pixel of the nested HEALPix scheme, told by the leading bits of Gaia's source_id: all
measurements of a star are in one partition, and sorted by star they are sorted by sky as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pyarrow as pa
from astropy_healpix import HEALPix
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.recipes import StarTableRecipe
from ztf_in2p3.recipes.star_table import FINEST
from ztf_in2p3.tables import STAR_TABLE, schema_of
from ztf_in2p3.tables.column import numbers

MMAG = 2500 / np.log(10)
"""Millimagnitudes of a relative change of one."""
SORTED_BY = ("star_id", "exposure", "rcid", "y", "x")
_LEADING_ORDER, _LEADING_BIT = 12, 35
"""Leading bits of source_id: pixel of order 12 times 2^35 (Gaia DR3 documentation, gaia_source)."""

Correction = Callable[[pa.Table], NDArray[np.float64]]
"""Function from a catalogue (rcid, x, y, colour) to magnitudes to subtract; NaN where unknown."""

UNKNOWN_BITS = 0x7FFFFFFF
"""Stands for an INFOBITS that nobody could read: every bit that could speak against a quadrant."""


def pixel_of(star_id: ArrayLike, order: int) -> NDArray[np.int64]:
    """Nested HEALPix pixel of stars known by Gaia's source_id; order up to 12.  `star_id`: (star,)."""
    return np.asarray(star_id, np.int64) >> (_LEADING_BIT + 2 * (_LEADING_ORDER - order))


def pixels_touched(star_id: ArrayLike) -> str:
    """Pixels of the finest order that hold some stars, for a manifest: numbers with spaces between.

    `star_id`: (star,).
    """
    known = np.asarray(star_id, np.int64)
    return " ".join(map(str, np.unique(pixel_of(known[known >= 0], FINEST))))


def pixels_of_order(touched: str, order: int) -> set[int]:
    """Pixels of a coarser order, from what `pixels_touched` noted."""
    return {int(text) >> 2 * (FINEST - order) for text in touched.split()}


def may_hold(region: tuple[float, ...], order: int, pixel: int) -> bool:
    """Whether a pixel and a region (see `StarTableRecipe`) may have a place in common; no doubt if False."""
    ra, dec = (float(angle.deg) for angle in HEALPix(2**order, order="nested").healpix_to_lonlat(pixel))
    radius = 60 / 2**order  # degrees from the centre of a pixel to its furthest corner: 48 at order 0, and safely
    if not region[2] - radius <= dec <= region[3] + radius:
        return False
    if abs(dec) + radius >= 89:
        return True
    wider = radius / np.cos(np.deg2rad(abs(dec) + radius))
    width = (region[1] - region[0]) % 360 or 360.0
    return width + 2 * wider >= 360 or (ra - region[0] + wider) % 360 <= width + 2 * wider


def columns_of(recipe: StarTableRecipe) -> list[str]:
    """Columns of a catalogue, by apertures or by the PSF, that are read."""
    flux = [f"{recipe.flux}{end}" for end in ("", "_e", "_f")]
    return [*_COPIED.values(), "field", "isolated", "flags", "infobits", *flux]


_COPIED = {
    "star_id": "star_id",
    "exposure": "exposure",
    "rcid": "rcid",
    "x": "x",
    "y": "y",
    "u": "u",
    "v": "v",
    "mjd": "mjd",
    "airmass": "airmass",
    "colour": "colour",
    "ra": "ra",
    "dec": "dec",
    "g": "g_mag",
}
"""Our columns that are the catalogue's, and their names there."""


def star_table(
    catalogues: Iterable[tuple[pa.Table, Correction | None]], recipe: StarTableRecipe, pixel: int
) -> tuple[pa.Table, dict[str, int]]:
    """Measurements of the stars of one partition.

    Parameters
    ----------
    catalogues
        One after the other, at least the columns `columns_of`, each with what corrects its magnitudes.  Rows of
        other pixels are passed over.
    pixel
        Pixel of the recipe's order.

    Returns
    -------
    table
        Columns `ztf_in2p3.tables.STAR_TABLE`, sorted by `SORTED_BY`; NaN where a value is unknown.
    counts
        Measurements found, taken away by each cut in turn, and kept; stars.

    Raises
    ------
    BadData
        A star was measured twice on one quadrant of an exposure: a catalogue was given twice.
    """
    counts: Counter[str] = Counter(found=0)
    parts = [schema_of(STAR_TABLE).empty_table()]
    for catalogue, correct in catalogues:
        parts.append(_measurements(catalogue, recipe, pixel, correct, counts))
    table = sort_measurements(pa.concat_tables(parts))
    return complete_stars(table, recipe, counts)


def complete_stars(table: pa.Table, recipe: StarTableRecipe, counts: Counter[str]) -> tuple[pa.Table, dict[str, int]]:
    """Stars with enough measurements, of a table sorted by star; the counts with what this took away."""
    star = table["star_id"].to_numpy()
    _, at, n = np.unique(star, return_inverse=True, return_counts=True)
    enough = n >= recipe.observations
    counts["observations"] += int((~enough[at]).sum()) if len(star) else 0
    kept = table.filter(pa.array(enough[at])).combine_chunks() if len(star) else table
    return kept, dict(counts) | {"kept": kept.num_rows, "stars": int(enough.sum())}


def _measurements(
    catalogue: pa.Table, recipe: StarTableRecipe, pixel: int, correct: Correction | None, counts: Counter[str]
) -> pa.Table:
    """Rows of one catalogue that pass all cuts."""
    star_id = catalogue["star_id"].to_numpy()
    rows = catalogue.filter(pa.array((star_id >= 0) & (pixel_of(star_id, recipe.order) == pixel)))
    flux, error, flag = (numbers(rows, f"{recipe.flux}{end}") for end in ("", "_e", "_f"))
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = flux / error
        mag = -2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        mag_e = np.where(flux > 0, MMAG / 1000 / signal, np.nan)
    whole = {name: rows[name].to_numpy() for name in ("field", "flags", "isolated")}
    whole["infobits"] = rows["infobits"].fill_null(UNKNOWN_BITS).to_numpy()
    tests = {
        "fields": np.isin(whole["field"], recipe.fields) if recipe.fields else np.ones(len(mag), bool),
        "infobits": (whole["infobits"] & recipe.infobits) == 0,
        "not isolated": np.asarray(whole["isolated"], bool) | (not recipe.isolated),
        "flags": ((whole["flags"] & recipe.flags) == 0) & (flag == 0),
    }
    columns: dict[str, NDArray] = {
        ours: rows[theirs].to_numpy() if ours in ("star_id", "exposure", "rcid") else numbers(rows, theirs)
        for ours, theirs in _COPIED.items()
    }
    if correct is not None:
        mag = mag - correct(rows)
        tests["no starflat"] = np.isfinite(mag) | ~(flux > 0)
    columns |= {"mag": mag, "mag_e": mag_e}
    return passing(columns, tests | tests_of_any(columns, recipe), counts)


def tests_of_any(columns: Mapping[str, NDArray], recipe: StarTableRecipe) -> dict[str, NDArray[np.bool_]]:
    """Cuts that need nothing but our own columns: region, magnitude, signal; what is unknown passes the first two.

    Columns and tests are (row,).
    """
    ra, dec, g, mag_e = (columns[name] for name in ("ra", "dec", "g", "mag_e"))
    first, last, south, north = recipe.region
    everywhere = last - first >= 360
    inside = everywhere | ((ra - first) % 360 <= (last - first) % 360) | np.isnan(ra)
    with np.errstate(divide="ignore", invalid="ignore"):
        strong = (MMAG / 1000 / mag_e >= recipe.signal_to_noise) & np.isfinite(columns["mag"]) & np.isfinite(mag_e)
    return {
        "region": inside & ((dec >= south) & (dec <= north) | np.isnan(dec)),
        "magnitude": (g >= recipe.bright) & (g <= recipe.faint) | np.isnan(g),
        "signal to noise": strong,
    }


def passing(columns: Mapping[str, NDArray], tests: Mapping[str, NDArray[np.bool_]], counts: Counter[str]) -> pa.Table:
    """The rows that pass all tests; what each took away is added to the counts, the first that fails a row.

    Columns and tests are (row,).
    """
    good = np.ones(len(columns["star_id"]), bool)
    counts["found"] += len(good)
    for reason, passed in tests.items():
        counts[reason] += int((good & ~passed).sum())
        good &= passed
    schema = schema_of(STAR_TABLE)
    arrays = [pa.array(columns[field.name][good].astype(field.type.to_pandas_dtype())) for field in schema]
    return pa.table(arrays, schema=schema)


def sort_measurements(table: pa.Table) -> pa.Table:
    """Sort measurements by `SORTED_BY`; raises BadData if a star is there twice on one quadrant of an exposure."""
    table = table.sort_by([(name, "ascending") for name in SORTED_BY])
    _require_once(table)
    return table


def _require_once(table: pa.Table) -> None:
    names = ("star_id", "exposure", "rcid")
    same = np.ones(max(table.num_rows - 1, 0), bool)
    for name in names:
        values = table[name].to_numpy()
        same &= values[1:] == values[:-1]
    if same.any():
        row = int(np.flatnonzero(same)[0])
        star, exposure, rcid = (table[name][row].as_py() for name in names)
        raise BadData(
            f"star {star} was measured twice in exposure {exposure} on quadrant {rcid}; "
            "each catalogue is to be given once: look for two of one CCD exposure"
        )
