"""Pictures of a light curve: the curve, its pixels beside their model, the stars it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ztf_in2p3.figures.style import (
    ACCENT,
    DIVERGING,
    FILTER_COLOURS,
    GREY,
    ORANGE,
    SEQUENTIAL,
    colour_map,
    new_figure,
    robust_limits,
    say_nothing,
    styled,
)
from ztf_in2p3.scene.pixel_kernels import border_level
from ztf_in2p3.tables.column import numbers

LIMIT_PULL = 5.0
"""Reach of the axes of pulls."""
SMOOTH_ARCSEC = 1.2
"""Standard deviation."""
FEW = 5
"""Exposures; with fewer a scatter says little."""
TICKS_MMAG = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True, eq=False)
class ScenePixels:
    """What was fitted, exposure by exposure, in order of time."""

    data: NDArray[np.float64]
    """(exposure, row, column), ADU."""
    model: NDArray[np.float64]
    rejected: NDArray[np.uint8]
    """Not 0: not used."""
    galaxy: NDArray[np.float64] | None
    """(y, x): north up, east to the right, before any PSF."""
    step_arcsec: float
    """Distance of the galaxy's nodes, arcsec."""
    pixel_arcsec: float


@styled
def plot_light_curve(table: pa.Table, truth: tuple[NDArray, NDArray] | None = None) -> Figure:
    """Fluxes with their errors; below, what is left against the truth, or the errors; and how well the pixels fit.

    Parameters
    ----------
    table
        Columns `ztf_in2p3.tables.LIGHT_CURVE`.
    truth
        MJD and flux of the true curve, densely; both (point,).
    """
    figure = new_figure(6.4)
    panels = figure.subplot_mosaic([["curve", "curve"], ["left", "right"]], height_ratios=[1.6, 1])
    curve, left, right = (panels[name] for name in ("curve", "left", "right"))
    mjd, flux, error = numbers(table, "mjd"), numbers(table, "flux"), numbers(table, "flux_e")
    used = np.array([not reason for reason in table["reason"].to_pylist()], bool)
    measured = np.isfinite(flux)
    band = table["band"][0].as_py() if table.num_rows else ""
    colour = FILTER_COLOURS.get(band, ACCENT)
    if truth is not None:
        curve.plot(*truth, color=GREY, linewidth=1.2, label="truth")
    curve.errorbar(
        mjd[measured],
        flux[measured],
        error[measured],
        fmt="o",
        color=colour,
        markersize=4,
        capsize=2,
        linewidth=1,
        label=f"{band}, {measured.sum()} exposures",
    )
    quiet = used & ~measured
    if quiet.any():
        label = f"no transient by assumption, or hidden: {quiet.sum()}"
        curve.plot(mjd[quiet], np.zeros(quiet.sum()), "|", color="black", markersize=9, label=label)
    curve.axhline(0, color=GREY, linewidth=0.7)
    zero = table["zero_point"][0].as_py() if table.num_rows else np.nan
    curve.set(xlabel="MJD (days)", ylabel=f"flux (1: magnitude {zero:g})")
    curve.legend(loc="upper right")
    curve.margins(y=0.12)

    if not measured.any():
        for axes in (left, right):
            say_nothing(axes, "no flux was measured")
        return figure
    if truth is not None:
        pull = (flux - np.interp(mjd, *truth))[measured] / error[measured]
        left.plot(mjd[measured], pull, "o", color=colour, markersize=4)
        left.axhspan(-1, 1, color="#eeeeee", zorder=0)
        limit = max(3.0, 1.2 * float(np.abs(pull).max()))
        left.set(xlabel="MJD (days)", ylabel="(flux - truth) / error", ylim=(-limit, limit))
        left.set_title(f"mean {pull.mean():+.2f}, standard deviation {pull.std():.2f}")
    else:
        left.plot(mjd[measured], error[measured], "o", color=colour, markersize=4)
        left.set(xlabel="MJD (days)", ylabel="error of the flux", ylim=(0, None))
    chi2 = numbers(table, "chi2") / np.maximum(numbers(table, "n_pixel"), 1)
    for rows, mark, label in ((measured, colour, "transient"), (quiet, "black", "quiet")):
        right.plot(mjd[rows], chi2[rows], "o", color=mark, markersize=4, label=label)
    expected = 1 - 1 / used.sum()  # the galaxy takes nearly as many numbers as one exposure has pixels
    spread = np.sqrt(2 / np.nanmedian(numbers(table, "n_pixel")))
    right.axhspan(expected - spread, expected + spread, color="#eeeeee", zorder=0)
    right.set(xlabel="MJD (days)", ylabel="chi2 of the pixels / number")
    right.margins(y=0.35)
    right.legend(loc="upper right", ncols=2)
    for axes in (left, right):
        axes.locator_params(axis="x", nbins=5)
    return figure


@styled
def plot_scene(table: pa.Table, pixels: ScenePixels) -> Figure:
    """Data, model and what is left of the exposure that tells most and of the one that fits worst; galaxy; pulls.

    Parameters
    ----------
    table
        Columns `ztf_in2p3.tables.LIGHT_CURVE`.
    """
    figure = new_figure(8.6)
    panels = figure.subplot_mosaic([["a0", "a1", "a2"], ["b0", "b1", "b2"], ["galaxy", "pulls", "pulls"]])
    used = table.filter(pa.array([not reason for reason in table["reason"].to_pylist()]))
    pulls = pixel_pulls(used, pixels)
    best, worst = best_and_worst(used)
    for row, i, word in (("a", best, "largest signal"), ("b", worst, "largest chi2")):
        light = [pixels.data[i], pixels.model[i]]
        low, high = robust_limits(pixels.data[i])[0], float(np.nanmax(pixels.model[i]))
        for k, (image, title) in enumerate(
            zip(light, (f"data, MJD {used['mjd'][i].as_py():.1f}", "model"), strict=True)
        ):
            axes = panels[f"{row}{k}"]
            drawn = axes.imshow(image, origin="lower", cmap=colour_map(SEQUENTIAL), vmin=low, vmax=high)
            axes.set_title(title)
            figure.colorbar(drawn, ax=axes, shrink=0.8, label="ADU")
        axes = panels[f"{row}2"]
        limit = LIMIT_PULL
        drawn = axes.imshow(pulls[i], origin="lower", cmap=colour_map(DIVERGING), vmin=-limit, vmax=limit)
        figure.colorbar(drawn, ax=axes, shrink=0.8, label="(data - model) / error")
        axes.set_title("residual")
        for k in range(3):
            panels[f"{row}{k}"].set(xticks=[], yticks=[])
        panels[f"{row}0"].set_ylabel(word)
    _draw_galaxy(figure, panels["galaxy"], pixels)
    _draw_pulls(panels["pulls"], pulls[np.isfinite(pulls)])
    return figure


def pixel_pulls(used: pa.Table, pixels: ScenePixels) -> NDArray[np.float64]:
    """(exposure, row, column): (data - model) / standard deviation of the model; NaN where a pixel was not used."""
    noise, gain = (numbers(used, name)[:, None, None] for name in ("noise", "gain"))
    above = np.array([model - border_level(model) for model in pixels.model])
    sigma = np.sqrt(noise**2 + np.maximum(above, 0) / gain)
    pull: NDArray[np.float64] = np.where(pixels.rejected == 0, (pixels.data - pixels.model) / sigma, np.nan)
    return pull


def best_and_worst(used: pa.Table) -> tuple[int, int]:
    """Rows of the exposure of the largest flux over its error, and of the other with the largest chi2."""
    signal, n = numbers(used, "flux") / numbers(used, "flux_e"), np.maximum(numbers(used, "n_pixel"), 1)
    off = (numbers(used, "chi2") - n) / np.sqrt(2 * n)
    best = int(np.nanargmax(signal)) if np.isfinite(signal).any() else 0
    if len(off) > 1:
        off[best] = np.nan
    return best, int(np.nanargmax(off)) if np.isfinite(off).any() else 0


def _draw_galaxy(figure: Figure, axes: Axes, pixels: ScenePixels) -> None:
    axes.set_title("galaxy, smoothed")
    if pixels.galaxy is None:
        say_nothing(axes, "no galaxy was fitted")
        return
    # Beyond the stamps nothing tells how bright it is.
    beyond = len(pixels.galaxy) // 2 - int((pixels.data.shape[1] // 2 - 1) * pixels.pixel_arcsec / pixels.step_arcsec)
    inner = slice(max(beyond, 0), len(pixels.galaxy) - max(beyond, 0))
    # What is finer than the PSF is noise, and the nodes are full of it.
    smooth = gaussian_filter(pixels.galaxy[inner, inner], SMOOTH_ARCSEC / pixels.step_arcsec)
    half = len(smooth) / 2 * pixels.step_arcsec
    extent = (-half, half, -half, half)
    low = float(np.median(smooth))  # a constant is the sky's as well
    drawn = axes.imshow(smooth - low, origin="lower", extent=extent, cmap=colour_map(SEQUENTIAL), vmin=0)
    axes.plot(0, 0, "+", color="white", markersize=8)
    axes.set(xlabel="east (arcsec)", ylabel="north (arcsec)")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="flux of a node")


def _draw_pulls(axes: Axes, pulls: NDArray) -> None:
    edges = np.linspace(-LIMIT_PULL, LIMIT_PULL, 41)
    density = np.histogram(np.clip(pulls, *edges[[0, -1]]), edges)[0] / max(pulls.size, 1) / np.diff(edges)
    centre = (edges[1:] + edges[:-1]) / 2
    axes.step(centre, density, where="mid", color=ACCENT, label="pixels")
    axes.plot(centre, np.exp(-(centre**2) / 2) / np.sqrt(2 * np.pi), "k--", linewidth=1, label="unit Gaussian")
    axes.set(xlabel="(data - model) / error", ylabel="pixels per unit, normalised", ylim=(0, 0.6))
    if pulls.size:
        axes.set_title(f"standard deviation {pulls.std():.3f}")
    axes.legend(loc="upper right")


@styled
def plot_curve_stars(table: pa.Table, stars: pa.Table, psfs: Sequence[pa.Table]) -> Figure:
    """How well the stars repeat, what the PSFs lack, how the residuals change with magnitude, the throughputs.

    Parameters
    ----------
    table, stars
        Columns `ztf_in2p3.tables.LIGHT_CURVE`, `ztf_in2p3.tables.CURVE_STARS`.
    psfs
        One row each, columns `ztf_in2p3.tables.PSF`.
    """
    figure = new_figure(6.8)
    ((repeat, growth), (slope, through)) = figure.subplots(2, 2)
    mag, scatter, expected = (numbers(stars, name) for name in ("mag", "scatter", "expected"))
    if len(mag):
        many = numbers(stars, "n") >= FEW
        for rows, colour in ((~many, "#c8c8c8"), (many, ACCENT)):
            word = f"{rows.sum()} stars, {'at least' if colour == ACCENT else 'fewer than'} {FEW} exposures"
            repeat.plot(mag[rows], 1000 * scatter[rows], ".", color=colour, markersize=5, label=word)
        order = np.argsort(mag)
        repeat.plot(mag[order], 1000 * expected[order], color=ORANGE, linewidth=1.2, label="photons and read noise")
        repeat.set_yscale("log")
        _, high = repeat.get_ylim()
        repeat.set_yticks(TICKS_MMAG, labels=[f"{tick}" for tick in TICKS_MMAG])
        repeat.minorticks_off()
        repeat.set_ylim(0.4 * 1000 * float(np.min(expected)), 2.5 * high)  # two exposures may agree by chance
        repeat.legend(loc="upper left")
    else:
        say_nothing(repeat, "no star was seen twice")
    repeat.set(xlabel="magnitude", ylabel="scatter of an exposure (mmag)")

    for psf in psfs:
        growth.plot(
            psf["radius"][0].as_py(), 1000 * np.array(psf["growth"][0].as_py()), color=ACCENT, linewidth=0.6, alpha=0.5
        )
    growth.axhline(0, color=GREY, linewidth=0.8)
    growth.set(xlabel="radius (pixels)", ylabel="stars - PSF within it\n(thousandths of the flux)")
    growth.set_title(f"PSF residuals of {len(psfs)} exposures")

    mjd = numbers(table, "mjd")
    rows = np.isfinite(numbers(table, "slope"))
    slope.errorbar(
        mjd[rows],
        numbers(table, "slope")[rows],
        numbers(table, "slope_e")[rows],
        fmt="o",
        color=ACCENT,
        markersize=3.5,
        linewidth=0.8,
        capsize=2,
    )
    slope.axhline(0, color=GREY, linewidth=0.8)
    slope.set(xlabel="MJD (days)", ylabel="slope of the stars' residuals\nwith magnitude (mmag/mag)")
    ratio, error = numbers(table, "throughput"), numbers(table, "throughput_e")
    known = np.isfinite(ratio)
    middle = np.median(ratio[known]) if known.any() else 1.0
    through.errorbar(
        mjd[known],
        ratio[known] / middle,
        error[known] * ratio[known] / middle,
        fmt="o",
        color=ACCENT,
        markersize=3.5,
        linewidth=0.8,
        capsize=2,
    )
    through.set(xlabel="MJD (days)", ylabel="throughput over the median")
    for axes in (slope, through):
        axes.locator_params(axis="x", nbins=5)
    return figure
