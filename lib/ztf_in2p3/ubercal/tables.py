"""What a solved survey leaves behind: zero points, mean stars, and maps of what is left over.

Everything that grows with the number of measurements is made a partition at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from astropy import units
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.fit.external import External
from ztf_in2p3.fit.model import Floats, Partition
from ztf_in2p3.fit.sources import Columns, Source
from ztf_in2p3.fit.stars import STAR_COLUMNS, residuals
from ztf_in2p3.fit.superpixels import Superpixels
from ztf_in2p3.fit.trust import MEANING
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN, robust_sigma
from ztf_in2p3.tables import Column, schema_of
from ztf_in2p3.ubercal.beside import beside
from ztf_in2p3.ubercal.lack_of_fit import LackOfFit
from ztf_in2p3.ubercal.model import Ubercal

ZERO_POINTS = (
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("mjd", pa.float64(), "d", "UTC of the exposure, modified Julian date; NaN if unknown"),
    Column("zero_point", pa.float64(), "mag", "to be subtracted from measured magnitudes; NaN if nothing tells"),
    Column("sigma", pa.float64(), "mag", "its standard deviation, in the gauge of the metadata"),
    Column("count", pa.int64(), "", "measurements used"),
    Column("component", pa.int32(), "", "part of the sky that stars connect; -1 if nothing determines the zero point"),
    Column("flag", pa.int8(), "", f"0: nothing is wrong; bits: {MEANING}"),
    Column("reference", pa.bool_(), "", "the best measured of its component, to quote the others against"),
    Column("photometric", pa.bool_(), "", "the exposure was taken through a clear sky, as its own stars tell"),
    Column("extinction", pa.float64(), "mag", "of the exposure, over the median one; positive: stars look fainter"),
    Column("uneven", pa.float64(), "mag", "scatter of the exposure's zero points over the quadrants"),
    Column("chi2", pa.float64(), "", "of the exposure, per measurement used"),
    Column("rejected", pa.float64(), "", "fraction of the exposure's measurements"),
    Column("error_factor", pa.float64(), "", "what the errors of the exposure's measurements were multiplied with"),
)
"""Zero points of a survey, by exposure and quadrant."""

MEAN_STARS = (
    STAR_COLUMNS[0],
    Column("ra", pa.float64(), "deg", "ICRS right ascension, mean of the measurements; NaN if unknown"),
    Column("dec", pa.float64(), "deg", "ICRS declination, mean of the measurements; NaN if unknown"),
    *STAR_COLUMNS[1:],
    Column("colour", pa.float32(), "mag", "BP - RP of the reference catalogue"),
    Column("g", pa.float32(), "mag", "G of the reference catalogue"),
    Column("external", pa.float64(), "mag", "in the catalogue compared with; NaN if it is not there"),
)
"""Mean stars of a survey, in the order of the star table."""

REPEATABILITY = (
    Column("magnitude", pa.float64(), "mag", "middle of the bin"),
    Column("rms", pa.float64(), "mag", "scatter of stars that took no part in the fit, measurement by measurement"),
    Column("expected", pa.float64(), "mag", "the same from the errors of the measurements alone"),
    Column("count", pa.int64(), "", "measurements, rejected ones not included"),
    Column("rejected", pa.int64(), "", "measurements rejected"),
)

FOCAL_PLANE = (
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("row", pa.int16(), "", "of the cell in the quadrant as stored"),
    Column("column", pa.int16(), "", "of the cell in the quadrant as stored"),
    Column("u", pa.float32(), "pix", "centre on the focal plane, east of the optical axis"),
    Column("v", pa.float32(), "pix", "centre on the focal plane, north of the optical axis"),
    Column("count", pa.int64(), "", "measurements used"),
    Column("residual", pa.float64(), "mag", "measured minus fitted, weighted mean"),
    Column("residual_e", pa.float64(), "mag", "its standard deviation"),
    Column("external", pa.float64(), "mag", "calibrated minus external magnitude, weighted mean, levels taken out"),
    Column("external_e", pa.float64(), "mag", "its standard deviation, from the errors of our measurements alone"),
)

SKY = (
    Column("pixel", pa.int64(), "", "HEALPix pixel, nested, of the order in the metadata"),
    Column("ra", pa.float64(), "deg", "centre, ICRS right ascension"),
    Column("dec", pa.float64(), "deg", "centre, ICRS declination"),
    Column("stars", pa.int64(), "", "constant stars with two measurements or more"),
    Column("measurements", pa.float64(), "", "used of a star, mean"),
    Column("compared", pa.int64(), "", "of these stars, those in the external catalogue"),
    Column("external", pa.float64(), "mag", "median of mean minus external magnitude, levels taken out"),
    Column("external_e", pa.float64(), "mag", "its standard deviation, from the scatter"),
)


def zero_point_table(solved: Ubercal) -> pa.Table:
    """Columns `ZERO_POINTS`, by exposure and rcid."""
    zero, quality = solved.zero_points, solved.exposures
    at = np.searchsorted(solved.known.exposures, zero.exposure)
    best = np.zeros(len(at), bool)
    order = np.lexsort((-zero.count, zero.component))
    first = np.flatnonzero(np.diff(zero.component[order], prepend=-2))
    best[order[first]] = True
    values = {
        "exposure": zero.exposure,
        "rcid": zero.rcid,
        "mjd": solved.known.mjd[at],
        "zero_point": zero.value,
        "sigma": zero.sigma,
        "count": zero.count,
        "component": zero.component,
        "flag": zero.flag,
        "reference": best & (zero.component >= 0),
        "photometric": quality.photometric[at],
        "extinction": quality.extinction[at],
        "uneven": quality.uneven[at],
        "chi2": quality.chi2[at],
        "rejected": quality.rejected[at],
        "error_factor": np.exp(solved.fit.errors.exposure / 2)[at],
    }
    return pa.table(values).cast(schema_of(ZERO_POINTS))


def repeatability_table(solved: Ubercal) -> pa.Table:
    """Columns `REPEATABILITY`; empty if no stars were held out."""
    empty = schema_of(REPEATABILITY).empty_table()
    if solved.repeatability is None:
        return empty
    return pa.table({name: getattr(solved.repeatability, name) for name in empty.column_names}).cast(empty.schema)


def mean_stars(solved: Ubercal, source: Source, external: External | None) -> Iterator[pa.Table]:
    """Columns `MEAN_STARS`, a partition at a time; `source` is what was fitted."""
    further = [name for name in ("ra", "dec", "colour", "g") if name in source.column_names]
    for stars, (part, columns) in zip(solved.fit.star_parts(), beside(solved.fit.model, source, further), strict=True):
        nothing = np.full(part.n_star, np.nan)
        ra, dec = _position(part, columns) if {"ra", "dec"} <= set(further) else (nothing, nothing)
        first = part.first[:-1]
        extra = {name: columns[name][first] if name in further else nothing for name in ("colour", "g")}
        extra |= {"ra": ra, "dec": dec}
        extra["external"] = external.magnitudes(stars.star_id, ra, dec) if external else nothing
        star_columns = {name: getattr(stars, name) for name in (column.name for column in STAR_COLUMNS)}
        schema = schema_of(MEAN_STARS)
        yield pa.table(
            [pa.array((star_columns | extra)[name]).cast(schema.field(name).type) for name in schema.names], schema
        )


def _position(part: Partition, columns: Columns) -> tuple[Floats, Floats]:
    """Mean of each star's measurements; through RA 0 if need be."""
    star, n_row = part.star_of_rows(), np.diff(part.first)
    ra0 = columns["ra"][part.first[:-1]]
    turn = (columns["ra"] - ra0[star] + 180) % 360 - 180
    dec = np.bincount(star, columns["dec"], part.n_star) / n_row
    return (ra0 + np.bincount(star, turn, part.n_star) / n_row) % 360, dec


def external_levels(stars: Iterable[pa.Table]) -> dict[int, float]:
    """Median of mean minus external magnitude of each component: what the fit cannot know."""
    differences, components = [np.zeros(0)], [np.zeros(0, int)]
    for table in stars:
        good = _constant(table) & np.isfinite(_column(table, "external"))
        differences.append((_column(table, "mag") - _column(table, "external"))[good])
        components.append(_column(table, "component")[good])
    difference, component = np.concatenate(differences), np.concatenate(components)
    return {int(number): float(np.median(difference[component == number])) for number in np.unique(component)}


def focal_plane_map(
    solved: Ubercal, source: Source, stars: Iterable[pa.Table], levels: dict[int, float], camera: Camera, cells: int
) -> pa.Table:
    """Columns `FOCAL_PLANE`, from the measurements that were used and whose pixels are known.

    `stars` as `mean_stars` gives them.
    """
    grid = Superpixels(camera, cells)
    if not {"x", "y"} <= set(source.column_names):
        grid = Superpixels(camera, 1)
    count, sums = np.zeros(grid.size), np.zeros((4, grid.size))
    for table, (part, columns) in zip(stars, beside(solved.fit.model, source, ["rcid", *grid.columns]), strict=True):
        star = part.star_of_rows()
        placed = np.all([np.isfinite(columns[name]) for name in grid.columns], axis=0)
        used = (part.kept > 0) & _constant(table)[star] & placed
        r = residuals(part, solved.fit.vector).astype(float)
        level = np.array([levels.get(int(number), np.nan) for number in _column(table, "component")])
        off = r + (_column(table, "mag") - _column(table, "external") - level)[star]
        at = grid.index_of_rows(columns)
        compared = used & np.isfinite(off)
        weights = (
            part.weight * used,
            np.where(used, part.weight * r, 0),
            part.weight * compared,
            np.where(compared, part.weight * off, 0),
        )
        sums += [np.bincount(at, weight, grid.size) for weight in weights]
        count += np.bincount(at, used, grid.size)
    rcid, row, column = (index.ravel() for index in np.indices(grid.shape))
    u, v = grid.centres()
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "rcid": rcid,
            "row": row,
            "column": column,
            "u": u,
            "v": v,
            "count": count.astype(np.int64),
            "residual": sums[1] / sums[0],
            "residual_e": _error(sums[0]),
            "external": sums[3] / sums[2],
            "external_e": _error(sums[2]),
        }
    return pa.table(values).cast(schema_of(FOCAL_PLANE))


def sky_map(stars: Iterable[pa.Table], levels: dict[int, float], order: int) -> pa.Table:
    """Columns `SKY`, of cells with stars; stars without a position are passed over."""
    names = ("pixel", "count", "difference")
    parts: dict[str, list[NDArray]] = {name: [] for name in names}
    cells = HEALPix(2**order, order="nested")
    for table in stars:
        ra, dec = _column(table, "ra"), _column(table, "dec")
        good = _constant(table) & np.isfinite(ra) & np.isfinite(dec)
        level = np.array([levels.get(int(number), np.nan) for number in _column(table, "component")])
        parts["pixel"].append(np.asarray(cells.lonlat_to_healpix(ra[good] * units.deg, dec[good] * units.deg)))
        parts["count"].append(_column(table, "count")[good])
        parts["difference"].append((_column(table, "mag") - _column(table, "external") - level)[good].astype("f4"))
    pixel, count, difference = (np.concatenate([np.zeros(0), *parts[name]]) for name in names)
    order_of = np.argsort(pixel, kind="stable")
    cuts = np.flatnonzero(np.diff(pixel[order_of])) + 1
    rows = []
    for members in np.split(order_of, cuts) if len(pixel) else []:
        d = difference[members][np.isfinite(difference[members])]
        spread = robust_sigma(d) if len(d) else np.nan
        lon, lat = cells.healpix_to_lonlat(int(pixel[members[0]]))
        rows.append(
            {
                "pixel": int(pixel[members[0]]),
                "ra": float(lon.deg),
                "dec": float(lat.deg),
                "stars": len(members),
                "measurements": float(np.mean(count[members])),
                "compared": len(d),
                "external": float(np.median(d)) if len(d) else np.nan,
                "external_e": float(MEDIAN_PER_MEAN * spread / np.sqrt(len(d))) if len(d) else np.nan,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema_of(SKY).with_metadata({"order": str(order)}))


def summary(solved: Ubercal, lack: LackOfFit | None = None) -> dict[str, str | int | float | bool]:
    """How well it went, in a few numbers; `lack`: what stands out of the residuals."""
    fit, zero, intake = solved.fit, solved.zero_points, solved.fit.intake
    known = zero.component >= 0
    sigma = zero.sigma[np.isfinite(zero.sigma)]
    return {
        "zero_points": len(zero.value),
        "undetermined": int((~known).sum()),
        "dof": fit.dof,
        "flagged": int((zero.flag[known] != 0).sum()),
        "components": len(np.unique(zero.component[known])),
        "exposures": len(solved.exposures.exposure),
        "not_photometric": int((~solved.exposures.photometric).sum()),
        "measurements": intake.used if intake else fit.model.n_row,
        "left_out": intake.rows - intake.used if intake else 0,
        "rejected": sum(len(rows) for rows in fit.rejected_parts()),
        "stars": fit.model.n_star,
        "variable_stars": fit.quality.variables,
        "chi2_per_dof": round(fit.chi2 / max(fit.dof, 1), 4),
        "errors_changed": not fit.errors.is_unchanged,
        "median_sigma_mmag": round(1e3 * float(np.median(sigma)), 4) if len(sigma) else 0.0,
        "converged": fit.converged,
        "iterations": fit.iterations,
        "rounds": fit.rounds,
    } | ({} if lack is None else {"lack_of_fit": str(lack), "proposed_epochs": " ".join(map(str, lack.epochs))})


def _constant(table: pa.Table) -> NDArray[np.bool_]:
    return ~_column(table, "variable") & (_column(table, "count") >= 2)


def _column(table: pa.Table, name: str) -> NDArray:
    return np.asarray(table[name].to_numpy(zero_copy_only=False))


def _error(weight: Floats) -> Floats:
    return np.where(weight > 0, 1 / np.sqrt(weight), np.nan)
