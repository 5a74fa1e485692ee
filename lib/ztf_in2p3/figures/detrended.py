"""One detrended quadrant: its pixels, its stars, and its noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ztf_in2p3.figures.mosaic import block_starts
from ztf_in2p3.figures.style import ACCENT, GREY, colour_map, new_figure, say_nothing, styled
from ztf_in2p3.image import Image, is_bad
from ztf_in2p3.robust_statistics import robust_sigma

CELLS = 420
"""Cells of the picture along the longer side of the quadrant, at most."""
MOST_MARKS = 250
"""Stars marked, the brightest ones: more would hide the picture."""
_REACH = 8.0
"""Half width of the histogram, standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelNoise:
    """Good pixels over their expected noise, as a histogram; arrays (bin,)."""

    centre: NDArray[np.float64]
    """Standard deviations."""
    density: NDArray[np.float64]
    """Fraction of all good pixels per standard deviation."""
    n: int
    median: float
    width: float
    """Robust standard deviation: 1 if the noise is what the variance says."""


def pixel_noise(image: Image, expected: NDArray | float) -> PixelNoise:
    """Histogram of (pixel - expected) / sqrt(variance) of the pixels that are not masked.

    Parameters
    ----------
    image
    expected : (row, column), ADU
        The truth, or the level of the sky.
    """
    good = ~is_bad(image.mask) & np.isfinite(image.data) & (image.variance > 0)
    difference = image.data - np.asarray(expected, np.float32)
    pulls = difference[good] / np.sqrt(image.variance[good])
    pulls = pulls[np.isfinite(pulls)]
    edges = np.linspace(-_REACH, _REACH, 81)
    centre = (edges[1:] + edges[:-1]) / 2
    if not pulls.size:
        return PixelNoise(centre, np.zeros(len(centre)), 0, float("nan"), float("nan"))
    density = np.histogram(pulls, edges)[0] / (pulls.size * np.diff(edges))
    median = float(np.median(pulls))
    width = robust_sigma(pulls, median)
    return PixelNoise(centre, density, pulls.size, median, width)


@styled
def plot_quadrant(image: Image, stars: pa.Table | None = None, truth: NDArray | None = None, *, title: str) -> Figure:
    """A detrended quadrant, north up and east to the right, beside the histogram of its pixels.

    Parameters
    ----------
    stars
        Catalogue of the quadrant (columns of `ztf_in2p3.tables.catalogue_schema`), to be marked.
    truth : (row, column), ADU
        The image without noise.  Without it, pixels are compared with the median of the image.
    """
    figure = new_figure(5.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.75, 1])
    _draw_pixels(left, image, figure)
    if stars is not None:
        _mark(left, stars)
    left.set_title(title)
    good = image.data[~is_bad(image.mask) & np.isfinite(image.data)]
    sky = float(np.median(good)) if good.size else float("nan")
    _draw_noise(right, pixel_noise(image, sky if truth is None else truth), known_truth=truth is not None)
    return figure


def _draw_pixels(axes: Axes, image: Image, figure: Figure) -> None:
    rows, columns = image.data.shape
    block = math.ceil(max(rows, columns) / CELLS)
    known = np.where(is_bad(image.mask), np.nan, image.data)
    pixels = block_mean(known, block) if block > 1 else known
    finite = pixels[np.isfinite(pixels)]
    sky = float(np.median(finite)) if finite.size else 0.0
    sigma = robust_sigma(finite, sky) if finite.size else 1.0
    soft = 2 * sigma or 1.0
    top = float(np.quantile(finite, 0.9995)) if finite.size else 1.0
    low, high = sky - 3 * (sigma or 1.0), max(top, sky + 20 * (sigma or 1.0))
    norm = FuncNorm(
        (lambda v: np.arcsinh((np.asarray(v) - sky) / soft), lambda t: sky + soft * np.sinh(t)), vmin=low, vmax=high
    )
    # Drawn in the coordinates of storage with both axes reversed: x runs west and y south on the sky.
    drawn = axes.imshow(
        pixels, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), origin="upper", norm=norm, cmap=colour_map("gray_r")
    )
    axes.set_facecolor("#f0c9c9")  # pixels without data
    axes.set_xlim(columns - 0.5, -0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlabel("x as stored (pixels); west to the left")
    axes.set_ylabel("y as stored (pixels); north up")
    if not finite.size:
        say_nothing(axes, "no data")
        return
    bar = figure.colorbar(
        drawn, ax=axes, label="ADU (asinh scale)", location="bottom", shrink=0.75, aspect=35, pad=0.02
    )
    ends = np.arcsinh((np.array([low, high]) - sky) / soft)
    values = sky + soft * np.sinh(np.linspace(ends[0], ends[1], 7)[1:-1])
    bar.set_ticks([tick for tick in _round_alike(values) if low < tick < high])
    bar.ax.minorticks_off()
    bar.ax.xaxis.set_major_formatter("{x:,g}")


def block_mean(pixels: NDArray, block: int) -> NDArray[np.float32]:
    """Means of blocks of pixels, NaNs left out: a median would lose the stars.  Blocks as `block_median` has them.

    `pixels`: (row, column).
    """
    finite = np.isfinite(pixels)
    tops, lefts = (block_starts(n, block) for n in pixels.shape)

    def sums(values: NDArray) -> NDArray:
        return np.add.reduceat(np.add.reduceat(values, tops, axis=0, dtype=np.float64), lefts, axis=1)

    with np.errstate(invalid="ignore"):  # 0/0 = NaN where a block holds nothing finite
        return np.asarray(sums(np.where(finite, pixels, 0)) / sums(finite), np.float32)


def _round_alike(values: NDArray) -> list[float]:
    """Numbers with as few digits, at least two, as leave them different."""
    for digits in range(2, 9):
        rounded = [float(f"{value:.{digits}g}") for value in values]
        if len(set(rounded)) == len(rounded):
            break
    return sorted(set(rounded))


def _mark(axes: Axes, stars: pa.Table) -> None:
    largest = max((name for name in stars.column_names if name.startswith("f_") and name.count("_") == 1), default="")
    flux = np.nan_to_num(stars[largest].to_numpy(), nan=-np.inf) if largest else np.zeros(stars.num_rows)
    brightest = np.argsort(-flux, kind="stable")[:MOST_MARKS]
    x, y = stars["x"].to_numpy()[brightest], stars["y"].to_numpy()[brightest]
    isolated = np.asarray(stars["isolated"].to_numpy(), bool)[brightest]
    kinds = {"isolated": (isolated, "#0072b2", 34), "not isolated": (~isolated, "#d55e00", 34)}
    handles = []
    for name, (of, colour, size) in kinds.items():
        axes.scatter(x[of], y[of], s=size, facecolors="none", edgecolors=colour, linewidths=0.8)
        handles.append(
            Line2D(
                [],
                [],
                marker="o",
                markerfacecolor="none",
                color=colour,
                linestyle="none",
                label=f"{int(of.sum())} {name}",
            )
        )
    few = f"brightest {MOST_MARKS} of {stars.num_rows} stars: " if stars.num_rows > MOST_MARKS else ""
    axes.legend(handles=handles, title=few or None, loc="lower center", bbox_to_anchor=(0.5, 1.07), ncols=2)


def _draw_noise(axes: Axes, noise: PixelNoise, *, known_truth: bool) -> None:
    gauss = np.exp(-(noise.centre**2) / 2) / np.sqrt(2 * np.pi)
    compared = "truth" if known_truth else "sky"
    axes.set_xlabel(f"(pixel - {compared}) / expected noise")
    axes.set_ylabel("fraction of pixels per unit")
    axes.set_box_aspect(1.25)
    if not noise.n:
        say_nothing(axes, "no pixels")
        return
    axes.step(noise.centre, noise.density, where="mid", color=ACCENT, label=f"{noise.n:,} good pixels")
    axes.plot(noise.centre, gauss, color="black", linestyle="--", linewidth=1, label="unit Gaussian")
    axes.set_yscale("log")
    axes.set_ylim(0.3 / max(noise.n, 10), 2)
    axes.set_xlim(-_REACH, _REACH)
    axes.set_title(f"median {noise.median:+.3f}, width {noise.width:.3f}", color="black", fontsize=9)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.09))
    axes.axvline(0, color=GREY, linewidth=0.6)
