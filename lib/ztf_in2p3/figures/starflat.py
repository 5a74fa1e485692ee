"""Pictures of a starflat: its map, its quadrants, its residuals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.focal_plane import Panel, plot_quadrant_maps
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.starflat_plots import freedom, plot_differences, plot_residuals_against
from ztf_in2p3.figures.style import png
from ztf_in2p3.figures.summary import numbers

MMAG = 1e3
MIN_CELLS = 4
"""Cells of a map of residuals along each side of a quadrant, at most."""


def map_picture(camera: Camera, table: pa.Table, name: str) -> Picture:
    """Map and its error; `table` has the columns of `ztf_in2p3.tables.STARFLAT_MAP`, `name` says night and filter."""
    return Picture(
        "map",
        f"Starflat {name}",
        "Left: magnitudes by which stars look fainter than on the mean of the camera, after flat fielding; smooth "
        "where the lamps light the camera otherwise than the sky does. A quadrant apart from its neighbours: its flat "
        "or gain is wrong. A plane over the focal plane is not measured, and taken out. Right: standard deviation; it "
        "grows where fewer stars are. Hatched: no stars.",
        png(
            plot_quadrant_maps(
                camera,
                [
                    Panel(_by_quadrant(table, "map"), "response", "response (mmag)", 0.0),
                    Panel(_by_quadrant(table, "map_e"), "its error", "standard deviation (mmag)"),
                ],
            )
        ),
    )


def quadrant_picture(camera: Camera, table: pa.Table, name: str) -> Picture:
    """Both normalisations; parameters as for `map_picture`."""
    whole = _by_quadrant(table, "map")
    medians = {rcid: float(np.nanmedian(plane)) for rcid, plane in whole.items()}
    within = {rcid: plane - medians[rcid] for rcid, plane in whole.items()}
    return Picture(
        "quadrants",
        f"Quadrants of the starflat {name}",
        "Left, normalised over the focal plane: median of each quadrant, which should follow its neighbours' smoothly. "
        "Right, normalised quadrant by quadrant: what is left once each quadrant's own median is taken out; gains and "
        "levels no longer matter, structure within the quadrants remains.",
        png(
            plot_quadrant_maps(
                camera,
                [
                    Panel(medians, "focal-plane normalisation", "median of the quadrant (mmag)", 0.0),
                    Panel(within, "quadrant normalisation", "response over the median (mmag)", 0.0),
                ],
                number_format=".1f",
            )
        ),
    )


def residual_picture(camera: Camera, residuals: pa.Table, name: str) -> Picture:
    """Residuals against what they must not depend on; columns of `ztf_in2p3.tables.STARFLAT_RESIDUALS`."""
    return Picture(
        "residuals",
        f"Residuals of the starflat {name}",
        "Measured minus fitted magnitude of the measurements used; black: means and their errors. They are zero where "
        "the model has a parameter for what is plotted: stars for magnitude and colour, zero points for time; with the "
        "radius they wander if the map is too coarse. The scatter found should be the one expected: larger at the "
        "bright end asks for an error floor, at the faint end the background is wrong.",
        png(plot_residuals_against(residuals, camera)),
    )


def chi2_picture(camera: Camera, residuals: pa.Table, name: str, cells: int) -> Picture:
    """Chi2 and outliers cell by cell; `cells` of the map along each side of a quadrant."""
    n = min(cells, MIN_CELLS)
    chi2, largest = _cells(camera, residuals, n)
    rejected, left_out = (residuals[name].to_numpy(zero_copy_only=False) for name in ("rejected", "left_out"))
    lost, tried = int(rejected.sum()), int((~left_out).sum())
    return Picture(
        "chi2",
        f"Chi2 and outliers of the starflat {name}",
        "Left: mean squared residual over its variance, of the measurements used; that each star was fitted to "
        "the same ones is allowed for. Far above 1 in a place: the map is too coarse there, or the detector "
        f"misbehaves. Right: the largest residual, used or not; {lost} of {tried} measurements were rejected. "
        "Hatched: no stars.",
        png(
            plot_quadrant_maps(
                camera,
                [
                    Panel(chi2, "chi2 per measurement", "mean squared pull"),
                    Panel(largest, "outliers", "largest |residual| / its error"),
                ],
            )
        ),
    )


def gain_picture(camera: Camera, parameters: pa.Table, name: str) -> Picture:
    """Fitted gain of each quadrant; columns of `ztf_in2p3.tables.PARAMETERS`."""
    family = np.asarray(parameters["family"].to_pylist())
    rcid, value, sigma = (parameters[key].to_numpy()[family == "gain"] for key in ("rcid", "value", "sigma"))
    gains = dict(zip(rcid.tolist(), (MMAG * value).tolist(), strict=True))
    errors = dict(zip(rcid.tolist(), (MMAG * sigma).tolist(), strict=True))
    return Picture(
        "gains",
        f"Gains of the starflat {name}",
        "Fitted gain of each quadrant, in magnitudes, and its error. In one sequence it cannot be told from the "
        "quadrant's mean response, which is zero in its place.",
        png(
            plot_quadrant_maps(
                camera,
                [Panel(gains, "gain", "gain (mmag)", 0.0), Panel(errors, "its error", "standard deviation (mmag)")],
                number_format=".1f",
            )
        ),
    )


def comparison_picture(camera: Camera, tables: Mapping[str, pa.Table]) -> Picture:
    """Several starflats of a filter; maps by name of the sequence, in order of time."""
    return Picture(
        "comparison",
        "Starflats compared",
        "Means of the quadrants, in each sequence over the mean of all, with their errors; in the legend the scatter "
        "over the quadrants, and what the errors alone would make. A quadrant that steps has changed its gain, or its "
        "flats have; a smooth change over the camera: the lamps.",
        png(plot_differences(camera, {name: quadrant_means(table) for name, table in tables.items()})),
    )


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
