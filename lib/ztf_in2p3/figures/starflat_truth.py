"""A starflat beside the truth of a simulated survey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.figures.focal_plane import Panel, plot_quadrant_maps
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.style import ACCENT, GREY, ORANGE, new_figure, say_nothing, styled
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Kind
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.simulate.exposures import ObjectFrame
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.simulate.wcs import axis_position
from ztf_in2p3.tables.column import numbers


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Parameters of one family beside their truth, what the fit cannot know taken out of both; mmag."""

    fitted: NDArray[np.float64]
    true: NDArray[np.float64]
    sigma: NDArray[np.float64]
    freedom: int
    """Number of parameters less the directions taken out."""

    @property
    def pull(self) -> NDArray[np.float64]:
        """Fitted minus true in units of its error."""
        return (self.fitted - self.true) / self.sigma

    @property
    def pull_scatter(self) -> float:
        """Root mean square, expected 1; NaN where there is nothing to compare."""
        return float(np.sqrt(np.sum(self.pull**2) / self.freedom)) if self.freedom > 0 else float("nan")

    def told(self) -> str:
        """Scatter about the truth and of the pulls, as a sentence."""
        error = 1 / np.sqrt(2 * self.freedom) if self.freedom > 0 else float("nan")
        off = robust_sigma(self.fitted - self.true, 0.0) if len(self.true) else float("nan")
        return (
            f"{len(self.true)} parameters, injected scatter {self.true.std():.2f} mmag, median error "
            f"{np.median(self.sigma):.2f}, robust scatter of fitted minus injected {off:.2f}, pulls "
            f"{self.pull_scatter:.2f} ± {error:.2f}"
        )


def compare_map(table: pa.Table, truth: Truth, filter: Filter) -> tuple[Compared, NDArray[np.bool_]]:
    """The map (columns of `ztf_in2p3.tables.STARFLAT_MAP`) beside the injected ratio of lamps to sky, without planes.

    Returns also which superpixels, of the rows of the table, are compared: those with stars.
    """
    value, sigma = 1e3 * numbers(table, "map"), 1e3 * numbers(table, "map_e")
    known = np.isfinite(value) & (sigma > 0)
    rcid, x, y, u, v = (numbers(table, name)[known] for name in ("rcid", "x", "y", "u", "v"))
    true = np.empty(len(x))
    for channel in np.unique(rcid):
        on = rcid == channel
        true[on] = 1e3 * truth.response(filter, int(channel), x[on], y[on])
    return without(np.column_stack([np.ones(len(u)), u, v]), value[known], true, sigma[known]), known


def compare_zero_points(parameters: pa.Table, truth: Truth, radius: float) -> Compared:
    """Zero points of exposures (of columns `ztf_in2p3.tables.PARAMETERS`) beside the injected ones.

    A plane over the focal plane looks like zero points that follow the pointing, so both are taken without that part;
    without an airmass term they hold the extinction at the pointing.

    Parameters
    ----------
    radius
        Radius of the aperture, pixels.
    """
    family = np.asarray(parameters["family"].to_pylist())
    zero = family == "zero_point"
    value, sigma = (1e3 * numbers(parameters, name)[zero] for name in ("value", "sigma"))
    frames = exposures_of(truth)
    fitted = [frames[int(label)] for label in numbers(parameters, "label")[zero]]
    ra, dec = np.array([axis_position(truth.plan_of(frame.exposure), frame) for frame in fitted]).reshape(-1, 2).T
    true = 1e3 * np.array([truth.zero_point(frame.exposure, radius) for frame in fitted])
    if "airmass" not in family:
        true += 1e3 * np.array([frame.extinction * (frame.airmass - 1) for frame in fitted])
    return without(pointing_plane(ra, dec), value, true, sigma)


def pointing_plane(ra: NDArray, dec: NDArray) -> NDArray[np.float64]:
    """A constant, and the pointings of some exposures (degrees) east and north of the first: (exposure, 3)."""
    east = ((ra - ra[:1] + 180) % 360 - 180) * np.cos(np.deg2rad(dec))
    return np.column_stack([np.ones(len(dec)), east, dec - dec[:1]])


def draw_truth(sheet: Sheet) -> Drawn:
    """Fitted response, the injected one, and their difference, superpixel by superpixel."""
    table = sheet.table(Kind.STARFLAT_MAP)
    cells, known = compare_map(table, sheet.required_truth, sheet.filter)
    rcid, n = numbers(table, "rcid").astype(int), int(numbers(table, "row").max(initial=0)) + 1

    def planes(values: NDArray) -> dict[int, NDArray]:
        whole = np.full(len(rcid), np.nan)
        whole[known] = values
        return {channel: whole[rcid == channel].reshape(n, n) for channel in np.unique(rcid[known])}

    panels = [
        Panel(planes(cells.fitted), "fitted", "response (mmag)", 0.0),
        Panel(planes(cells.true), "injected", "injected (mmag)", 0.0),
        Panel(planes(cells.pull), "difference", "standard errors", 0.0),
    ]
    return Drawn(plot_quadrant_maps(sheet.camera, panels), {"cells": cells.told()})


def draw_pulls(sheet: Sheet) -> Drawn:
    """Fitted against injected response, and the exposures' zero points beside the injected ones."""
    cells, _ = compare_map(sheet.table(Kind.STARFLAT_MAP), sheet.required_truth, sheet.filter)
    zero = compare_zero_points(sheet.table(Kind.STARFLAT), sheet.required_truth, sheet.recipe.sequence.stars.radius)
    words = {"cells": cells.told(), "zero_points": zero.told()}
    return Drawn(plot_compared(cells, zero, "response"), words)


@styled
def plot_compared(cells: Compared, zero: Compared, what: str) -> Figure:
    """Fitted against injected parameters (of which `what` is the name), and differences of exposures' zero points."""
    figure = new_figure(4.2)
    left, right = figure.subplots(1, 2)
    left.set(xlabel=f"injected {what} (mmag)", ylabel=f"fitted {what} (mmag)")
    right.set(xlabel="exposure", ylabel="zero point, fitted - injected (mmag)")
    for axes, compared in ((left, cells), (right, zero)):
        axes.grid(True)
        if not len(compared.true):
            say_nothing(axes, "nothing to compare")
            continue
        axes.set_title(f"pulls {compared.pull_scatter:.2f}")
        difference = compared.fitted - compared.true
        x, y = (compared.true, compared.fitted) if axes is left else (np.arange(len(difference)), difference)
        points: dict[str, Any] = {
            "color": ACCENT,
            "marker": "o",
            "markersize": 3,
            "linestyle": "none",
            "elinewidth": 0.7,
        }
        axes.errorbar(x, y, compared.sigma, **points)
    if len(cells.true):
        ends = np.array([cells.true.min(), cells.true.max()])
        left.plot(ends, ends, color=ORANGE, linestyle="--", linewidth=1.2)
    right.axhline(0, color=GREY, linewidth=0.8)
    return figure


def without(shapes: NDArray, fitted: NDArray, true: NDArray, sigma: NDArray) -> Compared:
    """Both without the combination of shapes (parameter, shape) that fits each best."""
    weighted = shapes / sigma[:, None]

    def left(values: NDArray) -> NDArray[np.float64]:
        return np.asarray(values - shapes @ np.linalg.lstsq(weighted, values / sigma)[0])

    return Compared(left(fitted), left(true), sigma, len(true) - shapes.shape[1])


def exposures_of(truth: Truth) -> dict[int, ObjectFrame]:
    """Exposures of the sky of a simulated survey, by their filefracday."""
    return {int(frame.exposure.filefracday): frame for plan in truth.nights for frame in plan.objects}
