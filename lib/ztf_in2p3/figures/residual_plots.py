"""Pictures of measured minus true flux."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ztf_in2p3.figures.residuals import OUTLIER, Running, bright_and_faint, running, scatter
from ztf_in2p3.figures.style import ACCENT, GREY, ORANGE, new_figure, say_nothing, styled
from ztf_in2p3.tables.column import numbers

MOST_POINTS = 6000
"""Drawn, evenly chosen: more only thicken the cloud."""
_REACH = 6.0
_TICKS = (-1000, -100, -10, -1, 0, 1, 10, 100, 1000)
"""mmag."""


@styled
def plot_residuals(table: pa.Table) -> Figure:
    """Residuals against magnitude, and pulls of bright and faint stars beside a unit Gaussian.

    Parameters
    ----------
    table
        Columns of `ztf_in2p3.figures.residuals.RESIDUALS`; empty if no star could be compared.
    """
    figure = new_figure(6.4)
    panels = figure.subplot_mosaic([["cloud"] * 3, ["median", "scatter", "pulls"]], height_ratios=[1.15, 1])
    cloud, median, spread, pulls = (panels[name] for name in ("cloud", "median", "scatter", "pulls"))
    magnitude, residual = numbers(table, "magnitude"), numbers(table, "residual")
    cloud.set(xlabel="true magnitude", ylabel="flux residual (mmag)")
    median.set(xlabel="true magnitude", ylabel="median residual (mmag)")
    spread.set(xlabel="true magnitude", ylabel="scatter (mmag)")
    pulls.set(xlabel="(flux - truth) / error", ylabel="stars per unit, normalised")
    for axes in (cloud, median, spread):
        axes.grid(True)
    if not np.isfinite(residual).any():
        for axes in (cloud, median, spread, pulls):
            say_nothing(axes, "no stars to compare")
        return figure

    bins = running(table)
    drawn = np.unique(np.linspace(0, len(residual) - 1, MOST_POINTS).astype(int))
    cloud.plot(magnitude[drawn], residual[drawn], ".", color=ACCENT, markersize=2, alpha=0.35)
    limit = max(5.0, 1.2 * float(np.nanquantile(np.abs(residual), 0.98)))
    cloud.set_ylim(-limit, limit)
    for axes in (cloud, median):
        axes.axhline(0, color=GREY, linewidth=0.8)
    if len(bins.n):
        _draw_bins(cloud, median, spread, bins)
    else:
        say_nothing(median, "too few stars\nfor medians")
        say_nothing(spread, "too few stars\nfor a scatter")
    _draw_pulls(pulls, table)
    return figure


def _draw_bins(cloud: Axes, median: Axes, spread: Axes, bins: Running) -> None:
    points: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 3.5, "linestyle": "none"}
    for axes in (cloud, median):
        axes.errorbar(bins.magnitude, bins.median, bins.error, capsize=2, label="median and its error", **points)
    for sign in (1, -1):
        label = "error expected" if sign > 0 else None
        cloud.plot(bins.magnitude, sign * bins.expected, color=ORANGE, linestyle="--", linewidth=1.2, label=label)
    cloud.legend(loc="upper left")
    spread.plot(bins.magnitude, bins.scatter, label="found", **points)
    spread.plot(bins.magnitude, bins.expected, color=ORANGE, linestyle="--", linewidth=1.2, label="expected")
    spread.set_yscale("log")
    spread.legend(loc="upper left")
    # Linear within 1 mmag and logarithmic beyond: the errors of the faint stars are 1000 times those of the bright.
    median.set_yscale("symlog", linthresh=1, linscale=0.8)
    limit = 1.5 * max(1.0, float(np.max(np.abs(bins.median) + bins.error)))
    ticks = [tick for tick in _TICKS if abs(tick) <= limit]
    median.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    median.minorticks_off()
    median.set_ylim(-limit, limit)


def _draw_pulls(axes: Axes, table: pa.Table) -> None:
    edges = np.linspace(-_REACH, _REACH, 49)
    centre = (edges[1:] + edges[:-1]) / 2
    tallest = 0.4
    for name, colour, part in zip(("bright", "faint"), (ORANGE, ACCENT), bright_and_faint(table), strict=True):
        of = scatter(part)
        if of.n:
            counts = np.histogram(np.clip(numbers(part, "pull"), -_REACH, _REACH), edges)[0]
            tallest = max(tallest, float(counts.max()) / (part.num_rows * (edges[1] - edges[0])))
            label = f"{name}: {of.pull_mean:+.2f} ± {of.pull_std:.2f}"
            axes.step(centre, counts / (part.num_rows * np.diff(edges)), where="mid", color=colour, label=label)
    axes.plot(centre, np.exp(-(centre**2) / 2) / np.sqrt(2 * np.pi), "k--", linewidth=1, label="unit Gaussian")
    axes.set_ylim(0, 1.6 * tallest)
    axes.legend(loc="upper center")
    axes.set_title(
        f"|pull| > {OUTLIER:g}: {sum(scatter(p).n_outlier for p in bright_and_faint(table))} stars", fontsize=9
    )
