"""Pictures of the PSFs of many quadrant exposures, and of what they lack."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.figures.sheet import Drawn
from ztf_in2p3.figures.style import ACCENT, DIVERGING, GREY, ORANGE, colour_map, new_figure, say_nothing, styled
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.goodness import width_slope
from ztf_in2p3.psf.size import FLOOR
from ztf_in2p3.robust_statistics import finite_median
from ztf_in2p3.tables.column import numbers

MOST_CELLS, PER_CELL = 12, 40
"""Most cells of a quadrant along each axis, where widths are averaged; stars that make a cell."""
BIN_MAG = 0.5


def draw_shapes(psfs: pa.Table) -> Drawn:
    """Widths and growth residuals; columns `ztf_in2p3.tables.PSF`."""
    growth = 1000 * _growth(psfs)[1]
    lacking = np.abs(np.median(growth, axis=0)).max() if growth.size else np.nan
    words = {
        "n": str(psfs.num_rows),
        "fwhm": f"{finite_median(numbers(psfs, 'fwhm')):.2f}",
        "lacking": f"{lacking:.1f}",
    }
    return Drawn(plot_shapes(psfs), words)


def draw_stars(stars: pa.Table) -> Drawn:
    """Stars that the PSFs were measured with; columns `ztf_in2p3.tables.PSF_CATALOGUE`."""
    magnitude, width, error = _widths(stars)
    try:
        slope, slope_error = width_slope(magnitude, width, error)
        trend = f"The slope with magnitude is {1e3 * slope:+.2f} +- {1e3 * slope_error:.2f} thousandths per magnitude."
    except NoStars:
        trend = "There are too few stars for a slope."
    return Drawn(plot_widths(stars), {"n": str(len(width)), "trend": trend})


@styled
def plot_shapes(psfs: pa.Table) -> Figure:
    """FWHM over time, and growth residuals; columns `ztf_in2p3.tables.PSF`."""
    figure = new_figure(3.4)
    fwhm, growth = figure.subplots(1, 2)
    mjd = numbers(psfs, "mjd")
    start = np.floor(mjd.min()) if len(mjd) else 0.0
    long = len(mjd) > 0 and mjd.max() - start > 3
    fwhm.plot((mjd - start) * (1 if long else 24), numbers(psfs, "fwhm"), ".", color=ACCENT, markersize=3, alpha=0.6)
    fwhm.set(
        xlabel=f"time since MJD {start:.0f} ({'days' if long else 'hours'})", ylabel="FWHM (pixels)", ylim=(0, None)
    )
    fwhm.grid(True)
    radius, lacking = _growth(psfs)
    for curve in lacking:
        growth.plot(radius, 1000 * curve, color=ACCENT, linewidth=0.5, alpha=0.25)
    if len(lacking):
        growth.plot(radius, 1000 * np.median(lacking, axis=0), color=ORANGE, linewidth=1.6, label="median")
        growth.legend(loc="upper right")
    growth.axhline(0, color=GREY, linewidth=0.8)
    growth.set(xlabel="radius (pixels)", ylabel="stars - PSF within it\n(thousandths of the flux)")
    return figure


@styled
def plot_widths(stars: pa.Table) -> Figure:
    """Widths of the stars against magnitude and over the quadrant; columns `ztf_in2p3.tables.PSF_CATALOGUE`."""
    figure = new_figure(3.4)
    against, over = figure.subplots(1, 2)
    magnitude, width, error = _widths(stars)
    if not len(width):
        for axes in (against, over):
            say_nothing(axes, "no star's width is known")
        return figure
    weight = 1 / (error**2 + FLOOR**2)
    _draw_against_magnitude(against, magnitude, width, weight)
    x, y = (numbers(stars, name)[_usable(stars)] for name in ("x", "y"))
    cells = int(np.clip(np.sqrt(len(width) / PER_CELL), 1, MOST_CELLS))
    edges = [np.linspace(0, 1 + axis.max(), cells + 1) for axis in (x, y)]
    total, weights = (np.histogram2d(x, y, edges, weights=values)[0].T for values in (weight * width, weight))
    mean = 1000 * total / np.where(weights > 0, weights, np.nan)
    limit = max(float(np.nanpercentile(np.abs(mean), 98)), 1e-6)
    drawn = over.pcolormesh(*edges, mean, cmap=colour_map(DIVERGING), vmin=-limit, vmax=limit)
    figure.colorbar(drawn, ax=over, label="stars wider than the PSF (thousandths)")
    over.set_facecolor("#dddddd")  # where no star was
    over.set(xlabel="column of the quadrant (pixels)", ylabel="row of the quadrant (pixels)", aspect="equal")
    return figure


def _draw_against_magnitude(axes: Axes, magnitude: NDArray, width: NDArray, weight: NDArray) -> None:
    edges = np.arange(np.floor(magnitude.min() / BIN_MAG), magnitude.max() / BIN_MAG + 1) * BIN_MAG
    which = np.digitize(magnitude, edges) - 1
    total, weights = (np.bincount(which, values, len(edges)) for values in (weight * width, weight))
    filled = weights > 0
    axes.errorbar(
        edges[filled] + BIN_MAG / 2,
        1000 * total[filled] / weights[filled],
        1000 * weights[filled] ** -0.5,
        fmt="o",
        color=ACCENT,
        markersize=3.5,
        linewidth=0.8,
        capsize=2,
    )
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="G (mag)", ylabel="stars wider than the PSF\n(thousandths)")


def _usable(stars: pa.Table) -> NDArray[np.bool_]:
    """Stars whose width means something: isolated, on good pixels; (star,)."""
    isolated = stars["isolated"].to_numpy(zero_copy_only=False).astype(bool)
    width, error = numbers(stars, "width"), numbers(stars, "width_e")
    known = np.isfinite(width) & (error > 0) & np.isfinite(numbers(stars, "g_mag"))
    usable: NDArray[np.bool_] = isolated & (numbers(stars, "f_psf_f") == 0) & known
    return usable


def _widths(stars: pa.Table) -> tuple[NDArray, NDArray, NDArray]:
    """Magnitude, width and its error of the stars that tell."""
    usable = _usable(stars)
    magnitude, width, error = (numbers(stars, name)[usable] for name in ("g_mag", "width", "width_e"))
    return magnitude, width, error


def _growth(psfs: pa.Table) -> tuple[NDArray, NDArray]:
    """Radii, and (exposure, ring) what each PSF lacks within them."""
    if not psfs.num_rows:
        return np.empty(0), np.empty((0, 0))
    return np.array(psfs["radius"][0].as_py()), np.array(psfs["growth"].to_pylist())
