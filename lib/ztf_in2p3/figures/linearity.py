"""Measured responses of readout channels beside those of the dated table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.figures.sheet import Sheet
from ztf_in2p3.figures.style import ACCENT, GREY, ORANGE, new_figure, styled
from ztf_in2p3.products import Kind
from ztf_in2p3.sensor.linearity import Linearity

_BAND = 3.0
"""Standard deviations of the band around the fit."""


def draw_linearity(sheet: Sheet) -> Figure:
    """Measured responses of a CCD."""
    return plot_linearity(sheet.table(Kind.LINEARITY), f"Linearity of CCD {int(sheet.ccd)}, {sheet.period}")


@styled
def plot_linearity(table: pa.Table, title: str) -> Figure:
    """Correction against signal, measured and of the table; how the channels differ; what the fit leaves of the flats.

    What the four channels have in common is known as well as the lamp is steady; the middle row shows what is known
    far better: measured over the table's, less the mean of the channels, in the same light.

    Parameters
    ----------
    table
        Columns `ztf_in2p3.tables.LINEARITY` of one CCD.
    """
    rows = table.to_pylist()
    figure = new_figure(6.6)
    panels = figure.subplots(3, len(rows), sharex=True, sharey="row", squeeze=False, height_ratios=[1.6, 1, 1])
    for row, curve, upper, middle, lower in zip(rows, _own(rows), *panels, strict=True):
        _correction(upper, row)
        middle.plot(*curve, color=ACCENT, linewidth=1.2)
        middle.axhline(0, color="black", linewidth=0.6)
        lower.plot(_kilo(row["shown"]), 1e3 * np.array(row["left"]), ".", color=ACCENT, markersize=4)
        lower.axhline(0, color="black", linewidth=0.6)
        lower.set_xlabel("signal (1000 ADU)")
    panels[0, 0].set_ylabel("true / measured - 1 (%)")
    panels[1, 0].set_ylabel("own part, measured\n- table (per mille)")
    panels[2, 0].set_ylabel("left of the flats\n(per mille)")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(title, fontsize=10.5)
    return figure


def _own(rows: Sequence[dict[str, Any]]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Signal of each channel (1000 ADU), and its correction over the table's less the channels' mean (per mille)."""
    channels = np.array([row["shown"] for row in rows])
    response = np.median(channels / channels.mean(axis=0), axis=1)
    signals = response[:, np.newaxis] * np.linspace(0, channels.max(), 100)
    names = (("a", "b"), ("table_a", "table_b"))
    both = [
        [1 + _excess(Linearity(row[a], row[b]), signal) for a, b in names]
        for row, signal in zip(rows, signals, strict=True)
    ]
    over = np.array([measured / known for measured, known in both])
    return [
        (_kilo(signal), 1e3 * correction) for signal, correction in zip(signals, over - over.mean(axis=0), strict=True)
    ]


def _correction(axes: Axes, row: dict[str, Any]) -> None:
    signal = np.linspace(0, 1.1 * row["most"], 100)
    measured = 100 * _excess(Linearity(row["a"], row["b"]), signal)
    covariance = row["ab_correlation"] * row["a_error"] * row["b_error"]
    variance = (row["a_error"] * signal**2) ** 2 + (row["b_error"] * signal) ** 2 + 2 * covariance * signal**3
    band = 100 * _BAND * np.sqrt(np.maximum(variance, 0))
    axes.fill_between(
        _kilo(signal), measured - band, measured + band, color=GREY, alpha=0.35, linewidth=0, label=f"{_BAND:.0f} sigma"
    )
    axes.plot(_kilo(signal), measured, color=ACCENT, linewidth=1.2, label="measured")
    known = Linearity(row["table_a"], row["table_b"])
    axes.plot(_kilo(signal), 100 * _excess(known, signal), "--", color=ORANGE, linewidth=1.2, label="dated table")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_title(f"quadrant {row['qid']}")


def _excess(response: Linearity, signal: NDArray) -> NDArray[np.float64]:
    return 1 / ((response.a * signal + response.b) * signal + 1) - 1


def _kilo(adu: object) -> NDArray[np.float64]:
    return np.asarray(adu, dtype=np.float64) / 1000
