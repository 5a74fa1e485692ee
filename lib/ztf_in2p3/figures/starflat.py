"""Pictures of a starflat: its map, its quadrants, its residuals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.focal_plane import Panel, plot_quadrant_maps
from ztf_in2p3.figures.sheet import Drawn, Sheet, sequence_name
from ztf_in2p3.figures.starflat_plots import freedom, plot_differences
from ztf_in2p3.products import Kind
from ztf_in2p3.tables.column import numbers

MMAG = 1e3
MIN_CELLS = 4
"""Cells of a map of residuals along each side of a quadrant, at most."""


def plot_map(camera: Camera, table: pa.Table) -> Figure:
    """Map and its error; `table` has the columns of `ztf_in2p3.tables.STARFLAT_MAP`."""
    panels = [
        Panel(_by_quadrant(table, "map"), "response", "response (mmag)", 0.0),
        Panel(_by_quadrant(table, "map_e"), "its error", "standard deviation (mmag)"),
    ]
    return plot_quadrant_maps(camera, panels)


def plot_quadrants(camera: Camera, table: pa.Table) -> Figure:
    """Both normalisations of a map; columns as for `plot_map`."""
    whole = _by_quadrant(table, "map")
    medians = {rcid: float(np.nanmedian(plane)) for rcid, plane in whole.items()}
    within = {rcid: plane - medians[rcid] for rcid, plane in whole.items()}
    panels = [
        Panel(medians, "focal-plane normalisation", "median of the quadrant (mmag)", 0.0),
        Panel(within, "quadrant normalisation", "response over the median (mmag)", 0.0),
    ]
    return plot_quadrant_maps(camera, panels, number_format=".1f")


def plot_chi2(camera: Camera, residuals: pa.Table, superpixels: int) -> Drawn:
    """Chi2 and outliers cell by cell.

    Parameters
    ----------
    residuals
        Columns of `ztf_in2p3.tables.STARFLAT_RESIDUALS`.
    superpixels
        Cells of the map along each side of a quadrant.
    """
    chi2, largest = _cells(camera, residuals, min(superpixels, MIN_CELLS))
    rejected, left_out = (residuals[name].to_numpy(zero_copy_only=False) for name in ("rejected", "left_out"))
    panels = [
        Panel(chi2, "chi2 per measurement", "mean squared pull"),
        Panel(largest, "outliers", "largest |residual| / its error"),
    ]
    words = {"lost": str(int(rejected.sum())), "tried": str(int((~left_out).sum()))}
    return Drawn(plot_quadrant_maps(camera, panels), words)


def plot_gains(camera: Camera, parameters: pa.Table) -> Figure:
    """Fitted gain of each quadrant; columns of `ztf_in2p3.tables.PARAMETERS`."""
    family = np.asarray(parameters["family"].to_pylist())
    rcid, value, sigma = (parameters[key].to_numpy()[family == "gain"] for key in ("rcid", "value", "sigma"))
    gains = dict(zip(rcid.tolist(), (MMAG * value).tolist(), strict=True))
    errors = dict(zip(rcid.tolist(), (MMAG * sigma).tolist(), strict=True))
    panels = [Panel(gains, "gain", "gain (mmag)", 0.0), Panel(errors, "its error", "standard deviation (mmag)")]
    return plot_quadrant_maps(camera, panels, number_format=".1f")


def draw_comparison(sheet: Sheet) -> Figure:
    """Starflats of a filter beside one another, in order of time."""
    maps = zip(sheet.products, sheet.tables(Kind.STARFLAT_MAP), strict=True)
    return plot_comparison(sheet.camera, {sequence_name(product.ref): table for product, table in maps})


def plot_comparison(camera: Camera, maps: Mapping[str, pa.Table]) -> Figure:
    """Maps by name of their sequence, columns as for `plot_map`, in order of time."""
    return plot_differences(camera, {name: quadrant_means(table) for name, table in maps.items()})


def quadrant_means(table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean of each quadrant's map and its error, mmag; NaN where no star was.  (rcid,) each."""
    rcid, value, sigma = (numbers(table, name) for name in ("rcid", "map", "map_e"))
    known, n = np.isfinite(value) & (sigma > 0), int(rcid.max(initial=-1)) + 1
    at, weight = rcid[known].astype(int), sigma[known] ** -2.0
    total = np.bincount(at, weight, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(at, weight * value[known], n) / total
        return np.where(total > 0, MMAG * mean, np.nan), np.where(total > 0, MMAG / np.sqrt(total), np.nan)


# --- small parts


def _by_quadrant(table: pa.Table, name: str) -> dict[int, NDArray[np.float64]]:
    """(row, column) in mmag by rcid; quadrants without any star are left out."""
    rcid = numbers(table, "rcid")
    n = int(numbers(table, "row").max(initial=0)) + 1
    planes = MMAG * numbers(table, name)[np.lexsort([numbers(table, key) for key in ("column", "row", "rcid")])]
    by_rcid = zip(np.unique(rcid), planes.reshape(-1, n, n), strict=True)
    return {int(channel): plane for channel, plane in by_rcid if np.isfinite(plane).any()}


def _cells(
    camera: Camera, residuals: pa.Table, n: int
) -> tuple[dict[int, NDArray[np.float64]], dict[int, NDArray[np.float64]]]:
    """Mean squared pull of what was used and the largest of all, (row, column) by rcid."""
    rows, columns = camera.shape
    rcid, x, y = (numbers(residuals, name) for name in ("rcid", "x", "y"))
    pull = numbers(residuals, "residual") / numbers(residuals, "sigma") / np.sqrt(freedom(residuals))
    rejected, left_out = (residuals[name].to_numpy(zero_copy_only=False) for name in ("rejected", "left_out"))
    row, column = (np.clip((place + 0.5) * n / size, 0, n - 1).astype(int) for place, size in ((y, rows), (x, columns)))
    cell, size = (rcid.astype(int) * n + row) * n + column, len(camera.quadrants) * n**2
    tried = ~left_out & np.isfinite(pull)
    used = tried & ~rejected
    with np.errstate(invalid="ignore"):
        chi2 = np.bincount(cell[used], pull[used] ** 2, size) / np.bincount(cell[used], minlength=size)
    largest = np.full(size, -1.0)
    np.maximum.at(largest, cell[tried], np.abs(pull[tried]))
    largest[largest < 0] = np.nan
    planes = (plane.reshape(-1, n, n) for plane in (chi2, largest))
    first, second = ({rcid: plane for rcid, plane in enumerate(whole) if np.isfinite(plane).any()} for whole in planes)
    return first, second
