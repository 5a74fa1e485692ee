"""Light curves of the stars of one partition of a star table, and what they say of each star."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.identifiers import Filter
from ztf_in2p3.light_curves.calibration import Columns, PointFlag, SurveyCalibration, measurement_errors
from ztf_in2p3.recipes import StarCurvesRecipe
from ztf_in2p3.robust_statistics import grouped_medians
from ztf_in2p3.tables.light_curves import CURVE_POINTS, NESTED, star_curves_schema

NEEDED = ("star_id", "exposure", "rcid", "x", "y", "mjd", "airmass", "colour", "mag", "mag_e", "ra", "dec", "g")
"""Columns of a star table that are read."""
FITTED = ("star_id", "sigma", "variable", "held_out", "component")
"""Columns of a survey's mean stars that are read."""


def band_name(filter: Filter | str) -> str:
    """Name that sncosmo, and most others, have for a filter: ztfg for zg."""
    return f"ztf{str(filter)[-1]}"


def star_curves(
    table: pa.Table, stars: pa.Table, survey: SurveyCalibration, filter: Filter | str, recipe: StarCurvesRecipe
) -> pa.Table:
    """Calibrated light curves, columns of `ztf_in2p3.tables.light_curves.star_curves_schema`: a row a star.

    Parameters
    ----------
    table
        Measurements of one filter, sorted by star: the columns `NEEDED` of a star table.
    stars
        Mean stars of the survey, ascending, the columns `FITTED`; at least those of the table.
    """
    table = table.sort_by([("star_id", "ascending"), ("mjd", "ascending"), ("exposure", "ascending")])
    rows = {name: table[name].to_numpy(zero_copy_only=False) for name in NEEDED}
    star_id, first, star = np.unique(rows["star_id"], return_index=True, return_inverse=True)
    known = _mean_stars(stars, star_id)
    points, good = _points(rows, star, known, survey, recipe)
    objects = _objects(points, good, star, first, known) | {
        "star_id": star_id,
        "band": np.full(len(star_id), band_name(filter), object),
        "colour": rows["colour"][first],
        "g": rows["g"][first],
    }
    objects["ra"], objects["dec"] = _positions(rows, star, first)
    return _nested(objects, points, np.append(first, len(star)))


def _mean_stars(stars: pa.Table, star_id: NDArray[np.int64]) -> dict[str, NDArray]:
    """Columns `FITTED` for stars; those that the survey does not know took no part in it.  All (star,)."""
    listed = stars["star_id"].to_numpy()
    if not len(listed):
        nothing = np.zeros(len(star_id), bool)
        return {
            "sigma": np.full(len(star_id), np.nan),
            "variable": nothing,
            "held_out": ~nothing,
            "component": np.full(len(star_id), -1),
        }
    at = np.minimum(np.searchsorted(listed, star_id), len(listed) - 1)
    present = listed[at] == star_id
    column = {name: stars[name].to_numpy(zero_copy_only=False)[at] for name in FITTED[1:]}
    return {
        "sigma": np.where(present, column["sigma"], np.nan),
        "variable": column["variable"] & present,
        "held_out": column["held_out"] | ~present,
        "component": np.where(present, column["component"], -1),
    }


def _points(
    rows: Columns, star: NDArray, known: Columns, survey: SurveyCalibration, recipe: StarCurvesRecipe
) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
    """Columns `CURVE_POINTS` of all measurements, and which of them are good.  All (row,)."""
    n_star = len(known["sigma"])
    at, present = survey.quadrants(rows)
    component = np.where(present, survey.component[at], -1)
    nothing = np.nan if survey.levels else 0.0  # a part of the sky that the external catalogue does not reach
    level = np.array([survey.levels.get(number, nothing) for number in range(int(component.max(initial=0)) + 1)])
    zero = np.where(present, survey.zero_point[at], np.nan) + survey.terms(rows) + level[np.maximum(component, 0)]
    mag = rows["mag"] - zero
    flags = np.where(np.isfinite(mag), np.where(present, survey.flags[at], 0), PointFlag.UNCALIBRATED)
    home = known["component"][star]
    flags |= np.where((component != home) & (component >= 0) & (home >= 0), PointFlag.APART, 0)
    if len(survey.colour):
        flags |= np.where(np.isfinite(rows["colour"]), 0, PointFlag.NO_COLOUR)
    alone = np.hypot(rows["mag_e"].astype(float), recipe.survey.fit.error_floor)
    alone = alone * np.where(present, survey.error_factor[at], 1.0)
    alone = alone * survey.error_factors(grouped_medians(rows["mag"].astype(float), star, n_star))[star]
    zero_point_sigma = np.where(present, survey.sigma[at], 0.0)
    usable = (flags & recipe.unusable) == 0
    middle = grouped_medians(np.where(usable, mag, np.nan), star, n_star)[star]
    far = usable & (np.abs(mag - middle) > recipe.clip * np.hypot(alone, zero_point_sigma))
    flags |= np.where(far & ~known["variable"][star], PointFlag.OUTLIER, 0)
    good = (flags & recipe.unusable) == 0
    weight = np.where(good, alone**-2.0, 0.0)
    share = weight / np.maximum(np.bincount(star, weight, n_star), 1e-30)[star]
    fitted = good & ~(known["variable"] | known["held_out"])[star]
    error = measurement_errors(alone, zero_point_sigma, share, fitted)
    copied = {name: rows[name] for name in ("mjd", "exposure", "rcid", "x", "y", "airmass")}
    calibrated = {"mag": mag, "mag_e": error, "flags": flags, "instrumental": rows["mag"], "zero_point": zero}
    return copied | calibrated, good


def _objects(
    points: Columns, good: NDArray[np.bool_], star: NDArray, first: NDArray, known: Columns
) -> dict[str, NDArray]:
    """What the good measurements of each star say.  (star,) each, from (row,)."""
    n_star = len(first)

    def total(values: NDArray) -> NDArray:
        return np.bincount(star, np.where(good, values, 0.0), n_star)

    mag = np.where(good, points["mag"], 0.0)
    weight = points["mag_e"] ** -2.0
    n, weights = total(np.ones(len(star))), total(weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, total(weight * mag) / weights, np.nan)
        plain = total(mag) / n
        variance = np.where(n > 1, total((mag - plain[star]) ** 2) / (n - 1), np.nan)
        expected = np.sqrt(np.where(n > 0, total(points["mag_e"] ** 2) / n, np.nan))
        chi2 = np.where(n > 1, total(weight * (mag - mean[star]) ** 2) / (n - 1), np.nan)
        successive = np.flatnonzero(good)
        same = star[successive[1:]] == star[successive[:-1]]
        step = np.diff(mag[successive])[same] ** 2
        steps = np.bincount(star[successive[1:]][same], step, n_star)
        neumann = np.where(n > 2, steps / (n - 1) / variance, np.nan)
        own = np.where(n > 0, weights**-0.5, np.nan)
    return {
        "mag": mean,
        "mag_e": np.where(np.isfinite(known["sigma"]), known["sigma"], own),
        "n": n,
        "n_flagged": np.bincount(star, ~good, n_star),
        "scatter": np.sqrt(variance),
        "expected": expected,
        "excess": np.sqrt(np.maximum(variance - expected**2, 0)),
        "chi2": chi2,
        "neumann": neumann,
        **{name: known[name] for name in ("variable", "held_out", "component")},
    }


def _positions(rows: Columns, star: NDArray, first: NDArray) -> tuple[NDArray, NDArray]:
    """Mean right ascension, through 0 if need be, and declination, degrees; both (star,)."""
    count = np.bincount(star, minlength=len(first))
    turn = (rows["ra"] - rows["ra"][first][star] + 180) % 360 - 180
    ra = (rows["ra"][first] + np.bincount(star, turn, len(first)) / count) % 360
    return ra, np.bincount(star, rows["dec"], len(first)) / count


def _nested(objects: Mapping[str, NDArray], points: Columns, edges: NDArray) -> pa.Table:
    """One table of objects and measurements; those of object k are the rows from `edges` k to k + 1."""
    schema = star_curves_schema()
    offsets = pa.array(edges.astype(np.int32))
    lists = [
        pa.ListArray.from_arrays(offsets, pa.array(points[column.name]).cast(column.type, safe=False))
        for column in CURVE_POINTS
    ]
    nested = pa.StructArray.from_arrays(lists, fields=list(schema.field(NESTED).type))
    flat = [pa.array(objects[name]).cast(schema.field(name).type, safe=False) for name in schema.names[:-1]]
    return pa.table([*flat, nested], schema=schema)
