"""How every picture looks, and how it becomes a file."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image as Raster

from ztf_in2p3.robust_statistics import robust_sigma

P = ParamSpec("P")

WIDTH = 8.0
"""Inches; of every picture, so that letters have one size over the page."""
DPI = 125
COLOURS = 256
"""Colours of a picture's palette: a third of the bytes of true colour.  Chosen for coverage, so that the rare
colours of a colour bar survive beside the many of its map."""
LEVELS = 64
"""Levels of a colour map: so many fit into the palette as they are."""

FILTER_COLOURS = {"zg": "#009e73", "zr": "#d55e00", "zi": "#0072b2"}
"""Told apart by colour-blind eyes too (Okabe & Ito 2008, "Color universal design")."""
FILTER_MARKERS = {"zg": "o", "zr": "s", "zi": "^"}
GREY = "#8a8a8a"
ACCENT, ORANGE = "#0072b2", "#d55e00"
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "axes.grid": False,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "hatch.linewidth": 0.5,
    "hatch.color": "#b5b5b5",
    "image.interpolation": "nearest",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

_one_at_a_time = threading.RLock()
"""matplotlib's settings belong to the process, and tasks may draw in several threads."""


@contextmanager
def style() -> Iterator[None]:
    """The settings of our pictures, and only within this context."""
    with _one_at_a_time, matplotlib.rc_context(cast("dict[Any, Any]", _STYLE)):
        yield


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in our style."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return plot(*args, **kwargs)

    return drawn


def new_figure(height: float) -> Figure:
    """Empty, with a canvas of its own; `height` in inches."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The picture as a PNG file: equal figures give equal bytes (no date, no version inside)."""
    with style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    palette = Raster.fromarray(np.ascontiguousarray(pixels)).quantize(
        COLOURS, method=Raster.Quantize.MAXCOVERAGE, dither=Raster.Dither.NONE
    )
    file = io.BytesIO()
    palette.save(file, "PNG", optimize=True, dpi=(figure.dpi, figure.dpi))
    return file.getvalue()


def save_png(figure: Figure, path: Path) -> None:
    """Write a picture, see `png`."""
    path.write_bytes(png(figure))


# --- small parts that the plots share


def colour_map(name: str) -> Colormap:
    """A colour map in as many steps as a small file can hold."""
    return matplotlib.colormaps[name].resampled(LEVELS)


def robust_limits(values: ArrayLike, *, n_sigma: float = 4.0) -> tuple[float, float]:
    """Limits of a colour scale: median -+ `reach` robust standard deviations, within what occurs.

    (0, 1) if nothing is finite; never of zero width.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    median = float(np.median(finite))
    sigma = robust_sigma(finite, median)
    if sigma == 0:
        sigma = float(np.std(finite)) / n_sigma
    low, high = max(float(finite.min()), median - n_sigma * sigma), min(float(finite.max()), median + n_sigma * sigma)
    least = max(1e-6 * abs(median), 1e-9)
    return (low, high) if high - low > least else (median - least, median + least)


def around(centre: float, values: ArrayLike) -> Normalize:
    """Colour scale as wide on both sides of `centre`, for a diverging map.  `values` have any shape."""
    low, high = robust_limits(values)
    half_width = max(abs(low - centre), abs(high - centre), 1e-3 * abs(centre))
    return Normalize(centre - half_width, centre + half_width)


def say_nothing(axes: Axes, text: str) -> None:
    """Words in the place of data that are not there, and no scale."""
    axes.set_yticks([])
    if len(axes.get_shared_x_axes().get_siblings(axes)) == 1:
        axes.set_xticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
