"""The detector over a period: its pictures and whether its numbers are as they should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.figures.focal_plane import Panel, plot_quadrant_maps
from ztf_in2p3.figures.quality import Check
from ztf_in2p3.figures.sheet import Sheet
from ztf_in2p3.figures.style import ACCENT, ORANGE, new_figure, styled
from ztf_in2p3.identifiers import N_QUADRANT, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, period_of
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN

# --- limits: the only place where they are written

MAX_OVERSCAN_ADU = 0.1
"""Limit of what is left of the offset's drift: a hundredth of the noise of a pixel of dark sky."""
MAX_COLUMN_ADU = 0.1
"""Limit of what is left of the pocket in the first columns read, and in the first of the overscan."""
MAX_NOISE_ERROR = 0.02
"""Limit of the pixels' noise over what the variance says, from 1: errors need not be known better."""
MAX_BAD_SHARE = 0.01
_RIM = timedelta(days=10)
"""Margin of the history, on both sides."""
SIGMA = 4.0
"""Standard errors that are granted beside every limit."""


@dataclass(frozen=True, slots=True)
class BiasLevel:
    """One amplifier in one master bias."""

    period: Period
    rcid: int
    level: float
    """Median, ADU."""
    noise: float
    """Noise of one frame, ADU."""


def plot_overscan(camera: Camera, numbers: pa.Table) -> Figure:
    """What is left in the overscan; `numbers`: columns of `ztf_in2p3.figures.detector_numbers.DETECTOR`."""
    panels = [
        Panel(by_quadrant(numbers, "overscan_rms"), "residual", "residual (ADU)"),
        Panel(by_quadrant(numbers, "drift"), "drift taken out", "drift (ADU)"),
    ]
    return plot_quadrant_maps(camera, panels, number_format=".2f")


def plot_first_columns(camera: Camera, numbers: pa.Table) -> Figure:
    """What the serial registers' pockets leave; `numbers` as for `plot_overscan`."""
    panels = [
        Panel(by_quadrant(numbers, "first_columns"), "first columns", "image (ADU)", 0.0),
        Panel(by_quadrant(numbers, "first_overscan"), "first overscan columns", "overscan (ADU)", 0.0),
    ]
    return plot_quadrant_maps(camera, panels, number_format="z.2f")


def plot_variance(camera: Camera, numbers: pa.Table) -> Figure:
    """Noise that the pixels have over that of the variance plane; `numbers` as for `plot_overscan`."""
    panels = [Panel(by_quadrant(numbers, "pixel_noise"), "measured / predicted", "ratio", 1.0)]
    return plot_quadrant_maps(camera, panels, number_format=".3f")


def bias_levels(sheet: Sheet) -> list[BiasLevel]:
    """Bias level and read noise of the amplifiers of all master biases of a sheet."""
    return [
        level
        for product, master in zip(sheet.of(Kind.BIAS), sheet.masters(Kind.BIAS), strict=True)
        for level in levels_of(master, period_of(product.ref))
    ]


def levels_of(bias: CcdMaster, period: Period) -> Iterator[BiasLevel]:
    """Bias level and read noise of the amplifiers of one master bias; those that did not work are left out."""
    for qid in range(1, N_QUADRANT + 1):
        sample = bias.data[qid][::4, ::4]
        if not np.isfinite(sample).any():
            continue
        level = float(np.nanmedian(sample))
        noise = bias.number(f"NOISE{qid}")
        yield BiasLevel(period, Quadrant(bias.ccdid, qid).rcid, level, noise)


def plot_bias_noise(camera: Camera, levels: Sequence[BiasLevel], period: Period) -> Figure:
    """Noise and level of the amplifiers in a period's master bias."""
    now = [amplifier for amplifier in levels if amplifier.period == period]
    panels = [
        Panel({amplifier.rcid: amplifier.noise for amplifier in now}, "noise of a frame", "noise (ADU)"),
        Panel({amplifier.rcid: amplifier.level for amplifier in now}, "level", "level (ADU)"),
    ]
    return plot_quadrant_maps(camera, panels, number_format=".1f")


@styled
def plot_history(levels: Sequence[BiasLevel]) -> Figure:
    """Level and noise of the amplifiers over the periods of the masters."""
    figure = new_figure(4.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, name, colour, label in (
        (upper, "noise", ACCENT, "noise (ADU)"),
        (lower, "level", ORANGE, "level (ADU)"),
    ):
        for rcid in sorted({amplifier.rcid for amplifier in levels}):
            series = sorted(
                (_middle(amplifier.period), getattr(amplifier, name)) for amplifier in levels if amplifier.rcid == rcid
            )
            days, values = [day for day, _ in series], np.array([value for _, value in series])
            axes.plot(days, values - np.median(values), "o-", color=colour, markersize=3, linewidth=0.6, alpha=0.5)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_ylabel(f"{label}\nless the median")
        axes.grid(True)
    days = [_middle(amplifier.period) for amplifier in levels]
    lower.set_xlim(min(days) - _RIM, max(days) + _RIM)
    lower.set_xlabel("middle of the master's period")
    locator = AutoDateLocator(minticks=1, maxticks=8)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return figure


def detector_checks(
    numbers: pa.Table, *, suspects: int, masters: int, bad_share: float, fringes: pa.Table | None
) -> list[Check]:
    """The lines at the top of the page.

    Parameters
    ----------
    suspects, masters
        Masters that differ from those before them by more than they may, and all.
    bad_share
        Largest share of bad pixels of a CCD; NaN if no such map was made.
    fringes
        Columns of `ztf_in2p3.sensor.fringe_amplitudes.FRINGE_AMPLITUDES`, if maps were made.
    """
    checks = [
        Check("Exposures looked at", f"{len(set(numbers['exposure'].to_pylist()))}", "", None),
        _offset_check(numbers),
        _column_check("First columns read, worst quadrant", numbers, "first_columns", "ADU"),
    ]
    undone = numbers.filter(numbers["pocket"])
    if undone.num_rows:
        checks.append(_column_check("First overscan columns, worst quadrant", undone, "first_overscan", "ADU"))
    checks += [_variance_check(numbers), Check("Suspect masters", f"{suspects} of {masters}", "none", not suspects)]
    if np.isfinite(bad_share):
        limit = f"at most {100 * MAX_BAD_SHARE:g} %"
        checks.append(Check("Bad pixels, worst CCD", f"{100 * bad_share:.2f} %", limit, bad_share <= MAX_BAD_SHARE))
    if fringes is not None and fringes.num_rows:
        checks.append(_fringe_check(fringes))
    return checks


def _offset_check(numbers: pa.Table) -> Check:
    """The drift left beyond the noise of the blocks of rows, in the middle over exposures and quadrants."""
    left = numbers["overscan_rms"].to_numpy() ** 2 - numbers["overscan_noise"].to_numpy() ** 2
    value = float(np.sqrt(max(np.median(left), 0.0)))
    text = f"{value:.3f} ADU beside a noise of {np.median(numbers['overscan_noise'].to_numpy()):.3f}"
    return Check("Overscan residual", text, f"at most {MAX_OVERSCAN_ADU:g} ADU", value <= MAX_OVERSCAN_ADU)


def _column_check(name: str, numbers: pa.Table, column: str, unit: str) -> Check:
    values, errors = by_quadrant(numbers, column), _errors(numbers, f"{column}_error")
    rcid = max(values, key=lambda one: abs(values[one]) - SIGMA * errors[one])
    limit = MAX_COLUMN_ADU + SIGMA * errors[rcid]
    text = f"{values[rcid]:+.2f} +- {errors[rcid]:.2f} {unit} (rcid {rcid})"
    return Check(name, text, f"within {limit:.2f} {unit}", abs(values[rcid]) <= limit)


def _variance_check(numbers: pa.Table) -> Check:
    values, errors = by_quadrant(numbers, "pixel_noise"), _errors(numbers, "pixel_noise_error")
    rcid = max(values, key=lambda one: abs(values[one] - 1) - SIGMA * errors[one])
    limit = MAX_NOISE_ERROR + SIGMA * errors[rcid]
    text = f"{values[rcid]:.3f} (rcid {rcid})"
    return Check("Noise over prediction, worst quadrant", text, f"1 within {limit:.3f}", abs(values[rcid] - 1) <= limit)


def _fringe_check(fringes: pa.Table) -> Check:
    before, after = (float(np.median(fringes[name].to_numpy())) for name in ("before", "after"))
    limit = max(0.1 * before, float(np.median(fringes["cell_noise"].to_numpy())))
    text = f"{after:.2f} ADU left of {before:.2f}"
    return Check("Fringes, median", text, f"at most {limit:.2f} ADU", after <= limit)


def by_quadrant(numbers: pa.Table, column: str) -> Mapping[int, float]:
    """Median over the exposures, by rcid."""
    return {rcid: float(np.median(values)) for rcid, values in _grouped(numbers, column).items()}


def _errors(numbers: pa.Table, column: str) -> Mapping[int, float]:
    """Standard error of `by_quadrant`: that of a median of so many, 1.25 times that of their mean."""
    return {
        rcid: float(np.median(values) / np.sqrt(len(values)) * (MEDIAN_PER_MEAN if len(values) > 2 else 1.0))
        for rcid, values in _grouped(numbers, column).items()
    }


def _grouped(numbers: pa.Table, column: str) -> dict[int, NDArray[np.float64]]:
    rcid, values = numbers["rcid"].to_numpy(), numbers[column].to_numpy()
    return {int(channel): values[(rcid == channel) & np.isfinite(values)] for channel in np.unique(rcid)}


def _middle(period: Period) -> date:
    return period.first + (period.last - period.first) / 2


def rcids(ccdid: int) -> range:
    """Readout channels of a CCD."""
    return range(N_QUADRANT * (ccdid - 1), N_QUADRANT * ccdid)
