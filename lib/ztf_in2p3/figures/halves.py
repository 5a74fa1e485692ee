"""How PSF photometry of a real image compares with apertures: magnitude, width, phase, residual images."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.cards import required_number
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.style import ACCENT, DIVERGING, GREY, ORANGE, colour_map, new_figure, say_nothing, styled
from ztf_in2p3.products import Kind, quadrant_of
from ztf_in2p3.scene.halves import Halves, compare_halves, of_sources
from ztf_in2p3.scene.inputs import ExposureImage, matrix_at
from ztf_in2p3.store.reading import opened

RADIUS = 3.0
"""Radius of the aperture with which PSF photometry is compared, pixels."""


def draw_halves(sheet: Sheet) -> Drawn:
    """PSF of one image, from half of its stars, compared with apertures around the other half."""
    name = sheet.image
    with opened(sheet.store, sheet.of(Kind.SCIENCE, Kind.MASK)) as (image_path, mask_path):
        pixels, header = science_image(image_path, mask_path)
    (image,) = sheet.of(Kind.SCIENCE)
    table = sheet.table(Kind.SCIENCE_CATALOGUE).filter(pc.field("qid") == quadrant_of(image.ref).qid)
    exposure = ExposureImage.of(pixels, header, wcs_of(header, name), name)
    light = np.asarray(table[f"f_{_aperture(table)}"].to_numpy(), np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = required_number(header, "MAGZP", name, "the zero point") - 2.5 * np.log10(light)
    mag[~np.isfinite(mag)] = np.nan
    x, y, ra, dec = (np.asarray(table[column].to_numpy(), np.float64) for column in ("x", "y", "ra", "dec"))
    stars = of_sources(x, y, ra, dec, mag)
    scale = float(abs(np.linalg.det(matrix_at(exposure.wcs, stars.ra[0], stars.dec[0]))) ** -0.5)
    halves = compare_halves(exposure, stars, light, RADIUS, scale, sheet.recipe)
    return Drawn(plot_halves(halves, name), about=summary_of_halves(halves))


def _aperture(catalogue: pa.Table) -> int:
    """Index of the catalogue's aperture of `RADIUS`."""
    return next(k for k in itertools.count() if catalogue[f"r_{k}"][0].as_py() == RADIUS)


@styled
def plot_halves(halves: Halves, title: str = "") -> Figure:
    """Aperture minus PSF and width against magnitude, scatter, phase, and stars with what the PSF leaves of them."""
    figure = new_figure(8.6)
    figure.suptitle(title, fontsize=9)
    panels = figure.subplot_mosaic(
        [["offset", "scatter"], ["width", "phase"], ["stars", "stars"]], height_ratios=[1, 1, 0.9]
    )
    magnitudes = np.arange(np.ceil(halves.mag.min(initial=14.0)), 20.0)
    _draw_offset(panels["offset"], halves, magnitudes)
    for values, label, colour in (
        (halves.total, "aperture - PSF", ORANGE),
        (halves.within, "aperture - PSF within it", ACCENT),
    ):
        panels["scatter"].plot(magnitudes, halves.binned(values, magnitudes)[1], "o-", color=colour, label=label)
    panels["scatter"].plot(magnitudes, halves.binned(halves.error, magnitudes)[0], "--", color=GREY, label="error")
    panels["scatter"].set(xlabel="magnitude", ylabel="scatter (mmag)", yscale="log")
    panels["scatter"].legend(fontsize=7)
    panels["width"].plot(halves.mag, 100 * halves.width, ".", color=GREY, markersize=2, alpha=0.5)
    panels["width"].plot(magnitudes, 100 * halves.binned(halves.width, magnitudes)[0], "o-", color=ACCENT)
    panels["width"].axhline(0, color=GREY, linewidth=0.8)
    panels["width"].set(xlabel="magnitude", ylabel="star wider than the PSF (%)", ylim=(-8, 12))
    bright = halves.mag < np.nanpercentile(halves.mag, 30)
    for axis, name, colour in ((0, "column", ACCENT), (1, "row", ORANGE)):
        phase, middle = _by_phase(halves.phase[bright, axis], halves.within[bright])
        panels["phase"].plot(phase, middle, "o-", color=colour, label=name)
    panels["phase"].set(
        xlabel="place on the pixel",
        ylabel="aperture - PSF within it (mmag)",
        title=f"sum of the PSF over the phases: {1086 * halves.phase_error:.1f} mmag",
    )
    panels["phase"].legend(fontsize=7)
    _draw_stars(panels["stars"], halves)
    return figure


def summary_of_halves(halves: Halves) -> dict[str, float | int]:
    """Figures by which it is judged: scatter and offset of the light within the aperture by magnitude, mmag."""
    magnitudes = np.arange(13.0, 19.0)
    middle, scatter = halves.binned(halves.within, magnitudes)
    facts: dict[str, float | int] = {"n_compared": len(halves.mag), "n_psf": min(halves.n_star)}
    facts |= {f"scatter_{m:.0f}_mmag": round(float(s), 2) for m, s in zip(magnitudes, scatter, strict=True)}
    zero = middle[list(magnitudes).index(14.0)]
    facts |= {f"offset_{m:.0f}_mmag": round(float(o - zero), 2) for m, o in zip(magnitudes, middle, strict=True)}
    facts |= {"phase_mmag": round(1086 * halves.phase_error, 2), "floor_mmag": round(1086 * halves.flux_floor, 2)}
    return {name: value for name, value in facts.items() if np.isfinite(value)}


def _draw_offset(axes: Axes, halves: Halves, magnitudes: NDArray) -> None:
    middle = np.nanmedian(halves.within)
    axes.plot(halves.mag, halves.within - middle, ".", color=GREY, markersize=2, alpha=0.5)
    at, scatter = halves.binned(halves.within, magnitudes)
    axes.errorbar(magnitudes, at - middle, scatter, fmt="o-", color=ACCENT, capsize=2)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="magnitude", ylabel="aperture - PSF within it (mmag)", ylim=(-60, 60))


def _by_phase(phase: NDArray, value: NDArray) -> tuple[NDArray, NDArray]:
    edges = np.linspace(-0.5, 0.5, 7)
    which = np.clip(np.digitize(phase, edges) - 1, 0, 5)
    middle = [np.median(value[which == k]) if np.any(which == k) else np.nan for k in range(6)]
    return (edges[1:] + edges[:-1]) / 2, np.array(middle) - np.nanmedian(value)


def _draw_stars(axes: Axes, halves: Halves) -> None:
    if not len(halves.data):
        say_nothing(axes, "no bright star is far from full well")
        return
    rows = [np.concatenate(list(images), axis=1) for images in (halves.data, 10 * halves.residual)]
    image = axes.imshow(np.concatenate(rows), origin="lower", cmap=colour_map(DIVERGING), vmin=-0.3, vmax=0.3)
    axes.figure.colorbar(image, ax=axes, label="share of the peak")
    axes.set(xticks=[], yticks=[], xlabel="bright stars; above, ten times what the PSF leaves of each")
