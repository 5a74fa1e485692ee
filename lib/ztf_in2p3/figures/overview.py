"""The night against time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.style import FILTER_COLOURS, FILTER_MARKERS, GREY, new_figure, say_nothing, styled
from ztf_in2p3.figures.summary import filters_in, texts
from ztf_in2p3.tables.column import numbers

_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
_MARGIN = timedelta(minutes=2)
"""Margin of the time axis beyond the first and last exposure, at least."""


@styled
def plot_night(exposures: pa.Table, camera: Camera) -> Figure:
    """Background, seeing, stars and airmass of each exposure; open symbols where quadrants are missing.

    Parameters
    ----------
    exposures
        Columns of `ztf_in2p3.figures.summary.EXPOSURE_SUMMARY`.
    """
    figure = new_figure(7.0)
    panels = figure.subplots(4, 1, sharex=True)
    curves = {
        "background\n(ADU per pixel)": numbers(exposures, "background"),
        "seeing FWHM\n(arcsec)": numbers(exposures, "seeing") * camera.pixel_scale,
        "stars per\nexposure": numbers(exposures, "n_star"),
        "airmass": numbers(exposures, "airmass"),
    }
    known = np.isfinite(numbers(exposures, "mjd"))
    for axes, (label, values) in zip(panels, curves.items(), strict=True):
        _panel(axes, exposures.filter(pa.array(known)), values[known])
        axes.set_ylabel(label)
        axes.grid(True)
    if known.any():
        panels[2].yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    most = max(exposures["n_star"].to_pylist(), default=0)
    panels[2].set_ylim(0, 1.15 * max(most, 1))  # so that a cloud looks like one, and the chance of a few stars does not
    panels[3].invert_yaxis()  # a high star is seen through little air
    if not known.any():
        panels[-1].set_xticks([])
        return figure
    _time_axis(panels[-1], numbers(exposures, "mjd")[known])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.align_ylabels(list(panels))
    return figure


def _panel(axes: Axes, exposures: pa.Table, values: NDArray) -> None:
    if not np.isfinite(values).any():
        say_nothing(axes, "not known" if exposures.num_rows else "no exposures")
    times, filters, n_quadrant = _times(numbers(exposures, "mjd")), texts(exposures, "filter"), exposures["n_quadrant"]
    whole = np.asarray(n_quadrant.to_numpy() == max(n_quadrant.to_pylist(), default=0))
    for name in filters_in(exposures):
        colour, marker = FILTER_COLOURS.get(name, GREY), FILTER_MARKERS.get(name, "D")
        of = filters == name
        n = int(of.sum())
        label = f"{name}, {n} exposure{'s' if n > 1 else ''}"
        for kind, face, entry in ((of & whole, colour, label), (of & ~whole, "none", None)):
            axes.plot(
                times[kind],
                values[kind],
                color=colour,
                marker=marker,
                markerfacecolor=face,
                linestyle="none",
                markersize=5 if n < 100 else 3,
                label=entry,
            )
    axes.margins(y=0.12)


def _times(mjd: NDArray[np.float64]) -> NDArray[np.float64]:
    """matplotlib's dates."""
    return np.asarray([date2num(_MJD_0 + timedelta(days=float(day))) for day in mjd], np.float64)


def _time_axis(axes: Axes, mjd: NDArray[np.float64]) -> None:
    first, last = (_MJD_0 + timedelta(days=float(date)) for date in (mjd.min(), mjd.max()))
    margin = max(_MARGIN, (last - first) * 0.03)
    axes.set_xlim(date2num(first - margin), date2num(last + margin))
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    nights = " and ".join(sorted({f"{day:%Y-%m-%d}" for day in (first, last)}))
    axes.set_xlabel(f"UTC on {nights} (hours:minutes)")
