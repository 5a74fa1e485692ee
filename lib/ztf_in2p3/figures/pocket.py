"""What the pockets of a CCD hold, and how well the measurements follow the fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.figures.sheet import Sheet
from ztf_in2p3.figures.style import ACCENT, GREY, ORANGE, new_figure, say_nothing, styled
from ztf_in2p3.products import Kind
from ztf_in2p3.sensor.pocket_calibration import CcdPockets, profiles_of
from ztf_in2p3.sensor.pocket_fit import Compared, compare
from ztf_in2p3.sensor.pocket_function import PocketFunction

_LEVELS = np.geomspace(1, 50_000, 200)
_BAND = 3.0
"""Standard deviations of the band around the fit."""
_GROUPS = ((0.0, 300.0, ACCENT), (300.0, 3000.0, ORANGE), (3000.0, np.inf, GREY))
"""Levels, ADU, whose mean residuals are drawn, each with its colour."""


@dataclass(frozen=True, slots=True, eq=False)
class Amplifier:
    """Pocket of one amplifier as measured, and what it was measured on."""

    function: PocketFunction
    shown: Compared
    kelvin: NDArray[np.float64]
    """(profile,)"""


def draw_pocket(sheet: Sheet) -> Figure:
    """Pockets of a CCD."""
    return plot_pocket(amplifiers_of(sheet), pocket_title(sheet))


def draw_residuals(sheet: Sheet) -> Figure:
    """What the fit of the pockets of a CCD leaves."""
    return plot_pocket_residuals(amplifiers_of(sheet), pocket_title(sheet))


def amplifiers_of(sheet: Sheet) -> dict[int, Amplifier]:
    """Amplifiers of a CCD beside the profiles that they were measured on, by qid."""
    measured, profiles = CcdPockets.of(sheet.table(Kind.POCKET)), sheet.table(Kind.POCKET_PROFILES)
    return {
        qid: Amplifier(function, compare(function, of_qid), of_qid.kelvin)
        for qid, function in measured.functions.items()
        for of_qid in [profiles_of(profiles, qid, measured.thermometer)]
    }


def pocket_title(sheet: Sheet) -> str:
    """CCD and period, above the panels."""
    return f"Pockets of CCD {int(sheet.ccd)}, {sheet.period}"


@styled
def plot_pocket(amplifiers: Mapping[int, Amplifier], title: str) -> Figure:
    """Charge against level with the measurements, and below their ratio to the fit.

    Parameters
    ----------
    amplifiers
        By qid.
    """
    figure = new_figure(5.4)
    panels = figure.subplots(2, len(amplifiers), sharex=True, sharey="row", squeeze=False, height_ratios=[1.5, 1])
    for (qid, amplifier), upper, lower in zip(sorted(amplifiers.items()), *panels, strict=True):
        compared, reference = amplifier.shown, amplifier.function.reference
        fit = amplifier.function.charge(_LEVELS, reference)
        upper.plot(_LEVELS, fit, color="black", linewidth=1, label="fit", zorder=3)
        at_level = amplifier.function.charge(compared.level, reference)
        upper.plot(
            compared.level, compared.ratio * at_level, ".", color=ACCENT, markersize=3, label="overscan", alpha=0.6
        )
        upper.plot(compared.first, compared.filled, ".", color=ORANGE, markersize=2.5, label="first pixels", alpha=0.35)
        upper.set(xscale="log", yscale="log", ylim=(0.5 * fit[0], 3 * fit[-1]), title=f"quadrant {qid}")
        band = 100 * _BAND * amplifier.function.relative_error(_LEVELS, reference)
        lower.fill_between(_LEVELS, -band, band, color=GREY, alpha=0.35, linewidth=0, label="band")
        lower.errorbar(
            compared.level,
            100 * (compared.ratio - 1),
            100 * compared.ratio_error,
            fmt=".",
            color=ACCENT,
            markersize=3,
            elinewidth=0.4,
            alpha=0.6,
        )
        lower.axhline(0, color="black", linewidth=0.6)
        lower.set(xlabel="level (ADU)", xlim=(3, 60_000), ylim=_reach(amplifiers))
    panels[0, 0].set_ylabel("charge in the pocket (ADU)")
    panels[1, 0].set_ylabel("shown / fit - 1 (%)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    band, _ = panels[1, 0].get_legend_handles_labels()
    figure.legend([*handles, *band], [*labels, f"fit, {_BAND:.0f} sigma"], loc="outside lower center", ncols=4)
    figure.suptitle(title, fontsize=10.5)
    return figure


@styled
def plot_pocket_residuals(amplifiers: Mapping[int, Amplifier], title: str) -> Figure:
    """Ratio of release to model against temperature, and the mean residual of each overscan column."""
    figure = new_figure(5.0)
    panels = figure.subplots(2, len(amplifiers), sharey="row", squeeze=False)
    for (qid, amplifier), upper, lower in zip(sorted(amplifiers.items()), *panels, strict=True):
        _against_temperature(upper, amplifier, qid)
        upper.set_ylim(_reach(amplifiers))
        _by_column(lower, amplifier.shown)
    panels[0, 0].set_ylabel("shown / fit - 1 (%)")
    panels[1, 0].set_ylabel("mean residual (ADU)")
    figure.legend(*panels[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(_GROUPS))
    figure.suptitle(title, fontsize=10.5)
    return figure


def _against_temperature(axes: Axes, amplifier: Amplifier, qid: int) -> None:
    axes.set(title=f"quadrant {qid}", xlabel="temperature (K)")
    if not np.ptp(amplifier.kelvin):
        say_nothing(axes, "one temperature")
        return
    axes.plot(amplifier.kelvin, 100 * (amplifier.shown.ratio - 1), ".", color=ACCENT, markersize=3, alpha=0.6)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.locator_params(axis="x", nbins=2)


def _by_column(axes: Axes, compared: Compared) -> None:
    for low, high, colour in _GROUPS:
        chosen = (compared.level >= low) & (compared.level < high)
        if chosen.any():
            mean = np.median(compared.left[chosen], axis=0)
            label = f"level below {high:.0f} ADU" if np.isfinite(high) else f"level above {low:.0f} ADU"
            axes.plot(np.arange(1, len(mean) + 1), mean, "o-", color=colour, markersize=2, linewidth=0.8, label=label)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xlabel("overscan column")


def _reach(amplifiers: Mapping[int, Amplifier]) -> tuple[float, float]:
    """Limits in per cent that hold nearly all ratios of a CCD."""
    width = max(
        float(np.percentile(np.abs(100 * (amplifier.shown.ratio - 1)), 98)) for amplifier in amplifiers.values()
    )
    return -2.4 * width, 2.4 * width
