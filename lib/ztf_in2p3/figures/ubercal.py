"""Pictures of a survey that was fitted to its own stars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from astropy_healpix import HEALPix
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.focal_plane import Panel, plot_quadrant_maps
from ztf_in2p3.figures.sheet import Sheet
from ztf_in2p3.figures.style import (
    ACCENT,
    DIVERGING,
    GREY,
    ORANGE,
    SEQUENTIAL,
    around,
    colour_map,
    new_figure,
    robust_limits,
    say_nothing,
    styled,
)
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN, robust_sigma
from ztf_in2p3.ubercal.photometricity import group_medians
from ztf_in2p3.ubercal.tables import external_levels

MOST_PARTS = 6
"""Unconnected parts of the sky with a colour of their own, the largest."""

MOST_POINTS = 6000
"""Drawn of a cloud, evenly chosen."""


def draw_zero_points(sheet: Sheet) -> Figure:
    """Zero points of a filter and period."""
    return plot_zero_points(sheet.table(), title=title_of(sheet))


def draw_repeatability(sheet: Sheet) -> Figure:
    """Scatter of the stars of a filter and period."""
    return plot_repeatability(sheet.table(), title=title_of(sheet))


def draw_sky(sheet: Sheet) -> Figure:
    """Maps of the sky of a filter and period."""
    return plot_sky(sheet.table(), title=title_of(sheet))


def draw_external(sheet: Sheet) -> Figure:
    """Mean stars of a filter and period beside an external catalogue."""
    stars = sheet.table()
    return plot_external(stars, external_levels([stars]), title=title_of(sheet))


def title_of(sheet: Sheet) -> str:
    """Filter and period, above the panels."""
    return f"{sheet.filter}, {sheet.period}"


@styled
def plot_zero_points(table: pa.Table, *, title: str) -> Figure:
    """Zero points against time; columns of `ztf_in2p3.ubercal.tables.ZERO_POINTS`."""
    figure = new_figure(5.6)
    level, spread = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    t = _columns(table)
    level.set(ylabel="zero point (mmag)", title=title)
    spread.set(ylabel="scatter over\nquadrants (mmag)", xlabel="modified Julian date (d)")
    exposures, first, at = np.unique(t["exposure"], return_index=True, return_inverse=True)
    value = group_medians(at, t["zero_point"], len(exposures))
    sigma = group_medians(at, t["sigma"], len(exposures))
    known = np.isfinite(value) & np.isfinite(t["mjd"][first])
    if not known.any():
        say_nothing(level, "no zero point is determined")
        say_nothing(spread, "nothing to compare")
        return figure
    mjd, good = t["mjd"][first], t["photometric"][first].astype(bool)
    groups = [(good, "o", ACCENT, "photometric"), (~good, "x", ORANGE, "not photometric")]
    part = t["component"][first]
    parts, n = np.unique(part[known & (part >= 0)], return_counts=True)
    if len(parts) > 1:
        largest = parts[np.argsort(-n, kind="stable")]
        largest_groups = [
            (good & (part == number), "o", f"C{k}", f"part {number}") for k, number in enumerate(largest[:MOST_PARTS])
        ]
        remainder = good & np.isin(part, largest[MOST_PARTS:])
        groups = [*largest_groups, (remainder, ".", GREY, f"{len(parts) - MOST_PARTS} further parts"), groups[1]]
    for chosen, marker, colour, label in groups:
        these = known & chosen
        if these.any():
            level.errorbar(
                mjd[these],
                1e3 * value[these],
                1e3 * np.nan_to_num(sigma[these]),
                fmt=marker,
                color=colour,
                markersize=3.5,
                linewidth=0.8,
                label=f"{label} ({these.sum()})",
            )
            spread.plot(mjd[these], 1e3 * t["uneven"][first][these], marker, color=colour, markersize=3.5)
    level.legend(loc="best")
    spread.set_ylim(bottom=0)
    for axes in (level, spread):
        axes.grid(True)
    level.ticklabel_format(axis="x", useOffset=False)
    return figure


@styled
def plot_repeatability(table: pa.Table, *, title: str) -> Figure:
    """Columns of `ztf_in2p3.ubercal.tables.REPEATABILITY`; bins of fewer than ten measurements are not drawn."""
    figure = new_figure(4.2)
    axes = figure.subplots()
    t = _columns(table)
    axes.set(xlabel="instrumental magnitude", ylabel="repeatability of a measurement (mmag)", title=title)
    many = (t["count"] >= 10) & np.isfinite(t["rms"])
    if not many.any():
        say_nothing(axes, "no stars were held out, or too few")
        return figure
    error = t["rms"] / np.sqrt(2 * np.maximum(t["count"], 1))
    axes.errorbar(
        t["magnitude"][many],
        1e3 * t["rms"][many],
        1e3 * error[many],
        fmt="o",
        color="black",
        markersize=4,
        capsize=2,
        label="stars held out",
    )
    expected = 1e3 * t["expected"][many]
    axes.plot(t["magnitude"][many], expected, "--", color=ORANGE, label="errors of the measurements")
    axes.set_ylim(bottom=0)
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure


@styled
def plot_residual_map(table: pa.Table, camera: Camera) -> Figure:
    """Residuals over the focal plane; columns of `ztf_in2p3.ubercal.tables.FOCAL_PLANE`."""
    t = _columns(table)
    panels = [
        Panel(_by_quadrant(t, 1e3 * t["residual"]), "measured minus fitted", "residual (mmag)", 0.0),
        Panel(_by_quadrant(t, t["residual"] / t["residual_e"]), "over its error", "standard errors", 0.0),
    ]
    if np.isfinite(t["external"]).any():
        panels[1] = Panel(_by_quadrant(t, 1e3 * t["external"]), "calibrated minus external", "difference (mmag)", 0.0)
    return plot_quadrant_maps(camera, panels)


@styled
def plot_sky(table: pa.Table, *, title: str) -> Figure:
    """Cells of the sky; columns of `ztf_in2p3.ubercal.tables.SKY`."""
    t = _columns(table)
    compared = bool(np.isfinite(t["external"]).any())
    figure = new_figure(3.8)
    axes = figure.subplots(1, 2 if compared else 1, sharex=True, sharey=True, squeeze=False)[0]
    figure.suptitle(title, fontsize=10.5)
    if table.num_rows == 0:
        say_nothing(axes[0], "no stars with a position")
        return figure
    ra, order = _unwrapped(t["ra"]), int(table.schema.metadata[b"order"])
    corners = _corners(t["pixel"], ra, order)
    _cells(figure, axes[0], corners, t["measurements"], "measurements of a star")
    if compared:
        _cells(figure, axes[1], corners, 1e3 * t["external"], "mean - external (mmag)", centre=0.0)
    for panel in axes:
        panel.set(xlabel="right ascension (deg)", aspect=1 / np.cos(np.deg2rad(np.median(t["dec"]))))
    axes[0].set_ylabel("declination (deg)")
    axes[0].invert_xaxis()
    return figure


@styled
def plot_external(stars: pa.Table, levels: Mapping[int, float], *, title: str) -> Figure:
    """Mean minus external magnitudes of constant stars.

    Parameters
    ----------
    stars
        Columns of `ztf_in2p3.ubercal.tables.MEAN_STARS`.
    levels
        Level of each component, magnitudes.
    """
    figure = new_figure(4.6)
    panels = figure.subplot_mosaic([["magnitude", "colour", "histogram"]], width_ratios=[1, 1, 0.6])
    t = _columns(stars)
    level = np.array([levels.get(int(component), np.nan) for component in t["component"]])
    difference = 1e3 * (t["mag"] - t["external"] - level)
    good = np.isfinite(difference) & ~t["variable"].astype(bool) & (t["count"] >= 2)
    panels["magnitude"].set(xlabel="external magnitude", ylabel="mean - external (mmag)")
    panels["colour"].set(xlabel="BP - RP (mag)")
    panels["histogram"].set(xlabel="stars")
    figure.suptitle(title, fontsize=10.5)
    if good.sum() < 2:
        for axes in panels.values():
            say_nothing(axes, "too few stars\nin both")
        return figure
    drawn = np.flatnonzero(good)[:: max(1, int(good.sum()) // MOST_POINTS)]
    low, high = robust_limits(difference[good], n_sigma=6)
    for name, x in (("magnitude", t["external"]), ("colour", t["colour"])):
        axes = panels[name]
        axes.plot(x[drawn], difference[drawn], ".", color=ACCENT, markersize=2.5, alpha=0.4)
        _running(axes, x[good], difference[good])
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.grid(True)
    panels["colour"].tick_params(labelleft=False)
    panels["histogram"].tick_params(labelleft=False)
    panels["histogram"].hist(
        difference[good], bins=list(np.linspace(low, high, 41)), orientation="horizontal", color=ACCENT
    )
    spread = robust_sigma(difference[good])
    panels["histogram"].set_title(f"{good.sum()} stars,\nscatter {spread:.1f} mmag", fontsize=9)
    for axes in panels.values():
        axes.set_ylim(low, high)
    return figure


# --- small parts


def _columns(table: pa.Table) -> dict[str, NDArray]:
    return {name: np.asarray(table[name].to_numpy(zero_copy_only=False)) for name in table.column_names}


def _by_quadrant(t: Mapping[str, NDArray], value: NDArray) -> dict[int, NDArray]:
    n = int(np.sqrt(np.sum(t["rcid"] == t["rcid"][0])))
    return {int(rcid): value[t["rcid"] == rcid].reshape(n, n) for rcid in np.unique(t["rcid"])}


def _unwrapped(ra: NDArray) -> NDArray:
    """Continuous through 0: degrees, negative if need be."""
    return (ra + 180) % 360 - 180 if np.ptp(ra) > 180 else ra


def _cells(
    figure: Figure, axes: Axes, corners: NDArray, value: NDArray, label: str, centre: float | None = None
) -> None:
    """Cells of the sky, by their corners: (cell, corner, 2), degrees."""
    known = np.isfinite(value)
    if not known.any():
        say_nothing(axes, "nothing to compare")
        return
    how = (
        {"cmap": colour_map(SEQUENTIAL)}
        if centre is None
        else {"cmap": colour_map(DIVERGING), "norm": around(centre, value[known])}
    )
    drawn = axes.add_collection(PolyCollection(corners[known], array=value[known], linewidths=0, **how))
    axes.autoscale_view()
    figure.colorbar(drawn, ax=axes, label=label, shrink=0.8)


def _corners(pixel: NDArray, ra: NDArray, order: int) -> NDArray[np.float64]:
    """Corners of nested HEALPix cells, (cell, corner, 2), degrees; right ascensions near `ra` (cell,)."""
    lon, lat = HEALPix(2**order, order="nested").boundaries_lonlat(pixel, step=1)
    near = ra[:, np.newaxis] + (lon.deg - ra[:, np.newaxis] + 180) % 360 - 180
    return np.stack([near, lat.deg], axis=-1)


def _running(axes: Axes, x: NDArray, y: NDArray, n: int = 12) -> None:
    """Medians of as many stars each, with their errors."""
    known = np.isfinite(x)
    for stars in np.array_split(np.flatnonzero(known)[np.argsort(x[known])], n):
        if len(stars) >= 5:
            spread = robust_sigma(y[stars])
            error = MEDIAN_PER_MEAN * spread / np.sqrt(len(stars))
            axes.errorbar(np.median(x[stars]), np.median(y[stars]), error, fmt="o", color="black", markersize=3.5)
