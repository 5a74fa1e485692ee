"""Plots of starflat residuals and of several starflats beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.style import ACCENT, GREY, ORANGE, new_figure, say_nothing, styled
from ztf_in2p3.tables.column import numbers

MOST_POINTS = 6000
"""Drawn, evenly chosen: more only thicken the cloud."""
BINS = 12
POINTS: dict[str, Any] = {"color": "black", "markersize": 3.5, "linestyle": "none"}
LEAST = 5
"""Measurements of a bin."""


@styled
def plot_residuals_against(residuals: pa.Table, camera: Camera) -> Figure:
    """Residuals against magnitude, colour, time and radius; columns of `ztf_in2p3.tables.STARFLAT_RESIDUALS`."""
    figure = new_figure(6.2)
    plots = figure.subplots(2, 2, sharey=True).ravel()
    residual, sigma = 1e3 * numbers(residuals, "residual"), 1e3 * numbers(residuals, "sigma")
    spoilt = [residuals[name].to_numpy(zero_copy_only=False) for name in ("rejected", "left_out")]
    used = ~np.logical_or(*spoilt) & np.isfinite(residual)
    mjd = numbers(residuals, "mjd")
    start = float(np.floor(np.nanmin(mjd))) if len(mjd) else 0.0
    degrees = camera.pixel_scale / 3600
    against = {
        "fitted magnitude (instrumental)": numbers(residuals, "mag"),
        "colour BP - RP (mag)": numbers(residuals, "colour"),
        f"time since MJD {start:.0f} (hours)": 24 * (mjd - start),
        "distance from the axis (degrees)": degrees * np.hypot(numbers(residuals, "u"), numbers(residuals, "v")),
    }
    limit = 4 * float(np.median(np.abs(residual[used]))) if used.any() else 1.0
    for axes, (label, value) in zip(plots, against.items(), strict=True):
        axes.set_xlabel(label)
        axes.grid(True)
        good = used & np.isfinite(value)
        if not good.any():
            say_nothing(axes, "no measurements")
            continue
        drawn = np.flatnonzero(good)[:: max(1, int(good.sum()) // MOST_POINTS)]
        axes.plot(value[drawn], residual[drawn], ".", color=ACCENT, markersize=2, alpha=0.3)
        axes.axhline(0, color=GREY, linewidth=0.8)
        _means(axes, value[good], residual[good], sigma[good])
        axes.set_ylim(-limit, limit)
    if used.any():
        residual_scatter = np.sqrt(freedom(residuals))
        _scatter(
            plots[0], against["fitted magnitude (instrumental)"][used], (residual / residual_scatter)[used], sigma[used]
        )
        plots[0].legend(loc="upper left")
    for axes in plots[::2]:
        axes.set_ylabel("residual (mmag)")
    return figure


def _means(axes: Axes, value: NDArray, residual: NDArray, sigma: NDArray) -> None:
    """Weighted means in bins of equal numbers, and their errors."""
    at, n = _bins(value)
    weight = sigma**-2.0
    count, total = np.bincount(at, minlength=n), np.bincount(at, weight, n)
    filled = count >= LEAST
    place, mean = (np.bincount(at, weight * values, n)[filled] / total[filled] for values in (value, residual))
    error = 1 / np.sqrt(total[filled])
    axes.errorbar(place, mean, error, marker="o", capsize=2, label="mean and its error", **POINTS)


def _scatter(axes: Axes, value: NDArray, residual: NDArray, sigma: NDArray) -> None:
    """Scatter in the same bins, and beside it the expected one."""
    at, n = _bins(value)
    count = np.maximum(np.bincount(at, minlength=n), 1)
    place = np.bincount(at, value, n) / count
    measured, expected = (np.sqrt(np.bincount(at, values**2, n) / count) for values in (residual, sigma))
    axes.plot(place, measured, marker="^", label="scatter", **POINTS)
    axes.plot(place, expected, color=ORANGE, linestyle="--", linewidth=1.2, label="scatter expected")


def _bins(value: NDArray) -> tuple[NDArray[np.int64], int]:
    """Bin of each value, of equal numbers, and how many there are."""
    edges = np.unique(np.quantile(value, np.linspace(0, 1, BINS + 1)))
    n = max(len(edges) - 1, 1)
    return np.clip(np.searchsorted(edges, value, side="right") - 1, 0, n - 1), n


def freedom(residuals: pa.Table) -> NDArray[np.float64]:
    """Part of each measurement's variance that its residual has, for its star's magnitude is fitted to it too.

    1 - w / W, with W the weight of all the star's measurements; map and zero points, which take more, are left out.
    """
    star, weight = residuals["star_id"].to_numpy(), numbers(residuals, "sigma") ** -2.0
    used = ~residuals["rejected"].to_numpy(zero_copy_only=False)
    _, at = np.unique(star, return_inverse=True)
    total = np.bincount(at, weight * used)[at]
    return np.clip(1 - np.where(used, weight / np.maximum(total, weight), 0), 1e-9, 1)


@styled
def plot_differences(
    camera: Camera, sequences: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> Figure:
    """Each sequence's quadrants over the mean of all sequences; values and errors by rcid, mmag.

    Both are (quadrant,).
    """
    figure = new_figure(4.2)
    axes = figure.subplots()
    axes.set(xlabel="readout channel (rcid)", ylabel="over the mean of the sequences (mmag)")
    axes.grid(True)
    values = np.array([value for value, _ in sequences.values()])
    common = np.isfinite(values).all(axis=0)
    if not common.any():
        say_nothing(axes, "no quadrant is in all sequences")
        return figure
    mean = values[:, common].mean(axis=0)
    rcid = np.flatnonzero(common)
    for k, (name, (value, error)) in enumerate(sequences.items()):
        over = value[common] - mean
        over -= over.mean()
        expected = np.sqrt(np.mean(error[common] ** 2))
        axes.errorbar(
            rcid + 0.15 * (k - (len(sequences) - 1) / 2),
            over,
            error[common],
            marker="o",
            markersize=3.5,
            linestyle="none",
            capsize=2,
            label=f"{name}: scatter {over.std():.2f}, errors {expected:.2f}",
        )
    axes.axhline(0, color=GREY, linewidth=0.8)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.09 * (high - low) * (len(sequences) + 1))
    axes.legend(loc="upper left")
    return figure
