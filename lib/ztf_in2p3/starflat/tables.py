"""What a fitted starflat leaves behind: parameters, the map ready to apply, the residual of every measurement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.fit.parameter_table import parameter_table as parameter_table_of
from ztf_in2p3.fit.superpixels import Superpixels
from ztf_in2p3.starflat.model import Starflat
from ztf_in2p3.tables import STARFLAT_MAP, STARFLAT_RESIDUALS, schema_of

MOST_CONNECTED, MOST_FLAGGED = 0.9, 0.5
"""Parts of the superpixels with stars that must be compared with one another, and that may be flagged, in a map that
corrects measurements."""


def parameter_table(starflat: Starflat) -> pa.Table:
    """Every parameter, see `ztf_in2p3.fit.parameter_table`."""
    return parameter_table_of(starflat.fit, summary(starflat))


def summary(starflat: Starflat) -> dict[str, str | int | float | bool]:
    """How well it went, in a few numbers."""
    fit, intake = starflat.fit, starflat.fit.intake
    known = np.isfinite(starflat.map)
    return {
        "model": starflat.recipe.model,
        "measurements": intake.used if intake else 0,
        "left_out": intake.rows - intake.used if intake else 0,
        "rejected": len(fit.rejected),
        "stars": len(fit.stars.star_id),
        "variable_stars": int(fit.stars.variable.sum()),
        "chi2_per_dof": round(fit.chi2 / max(fit.dof, 1), 4),
        "dof": fit.dof,
        "errors_changed": not fit.errors.is_unchanged,
        "superpixels": int(known.sum()),
        "superpixels_flagged": int((fit["map"].flag != 0).sum()),
        "superpixels_without_stars": int((~known).sum()),
        "median_sigma_mmag": round(1e3 * float(np.median(starflat.map_sigma[known])), 4) if known.any() else 0.0,
        "parts": int(fit["map"].component.max()) + 1,
        "converged": fit.converged,
        "iterations": fit.iterations,
        "rounds": fit.rounds,
    }


def map_quality(starflat: Starflat) -> dict[str, str | int | float | bool]:
    """Whether a map may correct measurements, and by what that was judged."""
    known = np.isfinite(starflat.map)
    component = starflat.fit["map"].component
    largest = np.bincount(component[component >= 0]).max(initial=0) / max(int(known.sum()), 1)
    error = float(np.median(starflat.map_sigma[known])) if known.any() else float("nan")
    flagged = float(np.mean(starflat.fit["map"].flag[known.ravel()] != 0)) if known.any() else 1.0
    good = starflat.fit.converged and largest > MOST_CONNECTED and error <= starflat.recipe.largest_error
    return {
        "good": bool(good and flagged < MOST_FLAGGED),
        "median_sigma_mmag": round(1e3 * error, 4),
        "connected": round(float(largest), 4),
        "flagged": round(flagged, 4),
        "converged": starflat.fit.converged,
    }


def map_table(starflat: Starflat, about: Mapping[str, str]) -> pa.Table:
    """Columns of `ztf_in2p3.tables.STARFLAT_MAP`; `about` goes into the metadata, beside what applying it needs."""
    fit, camera, n = starflat.fit, starflat.camera, starflat.recipe.superpixels
    cells = Superpixels(camera, n)
    rcid, row, column = (index.ravel() for index in np.indices(cells.shape))
    rows, columns = camera.shape
    x, y = (column + 0.5) * columns / n - 0.5, (row + 0.5) * rows / n - 0.5
    u, v = cells.centres()
    response, sigma = starflat.map.ravel(), starflat.map_sigma.ravel()
    if "gain" in fit.parameters:  # of one sequence: nothing but their sum can be applied
        gain = fit["gain"]
        response = response + np.nan_to_num(gain.value)[np.searchsorted(np.asarray(gain.labels)[:, 1], rcid)]
    coarse = Superpixels(camera, starflat.recipe.colour_cells).index(rcid, x, y)
    colour, colour_sigma = np.zeros(len(x)), np.zeros(len(x))
    if "colour_map" in fit.parameters:
        colour, colour_sigma = fit["colour_map"].value[coarse], fit["colour_map"].sigma[coarse]
    values = {
        "rcid": rcid,
        "row": row,
        "column": column,
        "x": x,
        "y": y,
        "u": u,
        "v": v,
        "map": response,
        "map_e": sigma,
        "count": fit["map"].count,
        "flag": fit["map"].flag,
        "component": fit["map"].component,
        "colour_map": colour,
        "colour_map_e": colour_sigma,
    }
    metadata = {
        **about,
        "camera": camera.name,
        "colour_centre": repr(starflat.colour_centre),
        "gauge": fit["map"].gauge,
        "interpolation": "bilinear between centres of superpixels of a quadrant, continued beyond the outermost ones",
    }
    return pa.table(values).cast(schema_of(STARFLAT_MAP)).replace_schema_metadata(metadata)


def residual_table(starflat: Starflat, table: pa.Table) -> pa.Table:
    """Measured minus fitted magnitude of each measurement, columns of `ztf_in2p3.tables.STARFLAT_RESIDUALS`.

    Parameters
    ----------
    table
        The measurements that were fitted, in the same order: columns of `ztf_in2p3.tables.STAR_TABLE`.

    Returns
    -------
    As many rows.  NaN where the measurement took no part and a parameter of it is unknown.
    """
    fit, column = starflat.fit, {name: table[name].to_numpy() for name in table.column_names}
    at, known = _find(fit.stars.star_id, column["star_id"])
    model = np.where(known, fit.stars.mag[at], np.nan)
    model += starflat.correction(column["rcid"], column["x"], column["y"], column["colour"])
    for name, key, value in (
        ("night", np.floor(column["mjd"]), 1.0),
        ("zero_point", column["exposure"], 1.0),
        ("airmass", np.floor(column["mjd"]), column["airmass"] - 1.0),
    ):
        if name in fit.parameters:
            index, known_label = _find(np.asarray(fit[name].labels), key)
            model += np.where(known_label, fit[name].value[index], np.nan) * value
    if "gain" in fit.parameters:
        model += _gains(starflat, np.floor(column["mjd"]), column["rcid"])
    rejected = np.zeros(table.num_rows, bool)
    rejected[fit.rejected] = True
    left_out = fit.stars.variable[at] | fit.stars.held_out[at] | ~known
    values = {
        **{name: column[name] for name in ("star_id", "exposure", "rcid", "x", "y", "u", "v", "mjd", "colour")},
        "mag": np.where(known, fit.stars.mag[at], np.nan),
        "residual": column["mag"] - model,
        "sigma": np.hypot(column["mag_e"], starflat.recipe.error_floor) * _error_factors(starflat, column),
        "rejected": rejected,
        "left_out": left_out,
    }
    return pa.table(values).cast(schema_of(STARFLAT_RESIDUALS))


def _error_factors(starflat: Starflat, column: Mapping[str, NDArray]) -> NDArray[np.float64]:
    """What the errors of measurements were multiplied with, by the plain means of their stars."""
    star = np.unique(column["star_id"], return_inverse=True)[1]
    known = np.isfinite(column["mag"])
    with np.errstate(invalid="ignore"):
        mean = np.bincount(star[known], column["mag"][known], star.max() + 1) / np.bincount(
            star[known], minlength=star.max() + 1
        )
    fit, exposure = starflat.fit, np.full(len(column["mag"]), -1)
    if "zero_point" in fit.parameters:
        at, fitted = _find(np.asarray(fit["zero_point"].labels), column["exposure"])
        exposure = np.where(fitted, at, -1)
    return fit.errors.factors(mean[star], exposure)


def _gains(starflat: Starflat, night: NDArray, rcid: NDArray) -> NDArray[np.float64]:
    gain, n_quadrant = starflat.fit["gain"], len(starflat.camera.quadrants)
    nights = np.unique(np.asarray(gain.labels)[:, 0])
    index, known_label = _find(nights, night)
    return np.where(known_label, gain.value[index * n_quadrant + rcid], np.nan)


def _find(labels: NDArray, wanted: NDArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place of each one in ascending labels, and whether it is there."""
    at = np.minimum(np.searchsorted(labels, wanted), max(len(labels) - 1, 0))
    return at, labels[at] == wanted
