"""Growth curves: how the flux of stars grows with the aperture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.cards import number, required_number, text
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.hdus import read_header
from ztf_in2p3.image import is_bad
from ztf_in2p3.products import Kind, quadrant_of
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN, robust_sigmas
from ztf_in2p3.store.reading import opened

_TICKS_MMAG = (-100, -30, -20, -10, 0, 10, 20, 30, 100, 300, 1000)
"""Ticks of an axis that is linear near 0 and logarithmic away from it."""


@dataclass(frozen=True, slots=True, eq=False)
class GrowthCurve:
    """Magnitude in each aperture minus that in the reference aperture; arrays (aperture,)."""

    diameter: NDArray[np.float64]
    """Pixels, rising."""
    difference: NDArray[np.float64]
    """Magnitudes: median over the stars; positive where the aperture loses light."""
    error: NDArray[np.float64]
    """Magnitudes: standard error of the median, from the scatter of the stars."""
    reference_diameter: float
    n_star: int


def growth_curve(
    table: pa.Table,
    *,
    zero_point: float,
    magnitudes: tuple[float, float] = (15.0, 18.0),
    reference_diameter: float = 10.0,
) -> GrowthCurve:
    """Growth curve of the isolated stars of a catalogue that no bad pixel touches.

    The mask's saturation counts among what is bad, so saturated stars are out.  The error is
    that of a median, from the robust scatter of the stars.

    Parameters
    ----------
    table
        Columns of `ztf_in2p3.tables.catalogue_schema`; a radius must be half of `reference_diameter`.
    zero_point
        Magnitude of 1 ADU, by which stars are chosen.
    magnitudes
        Magnitudes of the stars, in the reference aperture: brightest and faintest.
    reference_diameter
        Pixels.
    """
    n_radius = sum(re.fullmatch(r"r_\d+", name) is not None for name in table.column_names)
    if not table.num_rows:  # the radii stand in the rows
        nothing = np.zeros(0)
        return GrowthCurve(nothing, nothing, nothing, reference_diameter, 0)
    radii = np.array([table[f"r_{k}"][0].as_py() for k in range(n_radius)])
    matches = np.flatnonzero(np.isclose(2 * radii, reference_diameter))
    if not matches.size:
        raise ValueError(
            f"no aperture of diameter {reference_diameter:g} pixels to compare with; the catalogue has "
            f"{', '.join(f'{2 * radius:g}' for radius in radii)}: take one of them, or add the radius to the recipe"
        )
    flux = np.stack([table[f"f_{k}"].to_numpy() for k in range(len(radii))], axis=1).astype(np.float64)
    flagged = np.stack([table[f"f_{k}_f"].to_numpy() for k in range(len(radii))], axis=1) != 0
    clean = table["isolated"].to_numpy() & ~is_bad(table["flags"].to_numpy()) & ~flagged.any(axis=1)
    clean &= (flux > 0).all(axis=1)
    magnitude = zero_point - 2.5 * np.log10(np.where(clean[:, np.newaxis], flux, 1.0))
    reference = magnitude[:, matches[0]]
    chosen = clean & (reference > magnitudes[0]) & (reference < magnitudes[1])
    order = np.argsort(radii)
    difference = (magnitude - reference[:, np.newaxis])[chosen][:, order]
    n_star = int(chosen.sum())
    if not n_star:
        unknown = np.full(len(radii), np.nan)
        return GrowthCurve(2 * radii[order], unknown, unknown, reference_diameter, 0)
    median = np.median(difference, axis=0)
    scatter = robust_sigmas(difference, median)
    return GrowthCurve(
        2 * radii[order], median, MEDIAN_PER_MEAN * scatter / np.sqrt(n_star), reference_diameter, n_star
    )


def published_growth_curve(header: fits.Header, *, reference_diameter: float = 10.0) -> dict[float, float]:
    """The archive's growth curve, magnitudes by diameter in pixels, from the cards of its science header.

    APCORi = PSF magnitude - aperture magnitude, for the diameters FIXAPERS; empty if the header has none.
    For comparison alone: nothing is measured with it.
    """
    listed = (text(header, "FIXAPERS") or "").split(",")
    diameters = [number({"diameter": diameter}, "diameter") for diameter in listed]
    corrections = {d: number(header, f"APCOR{i}") for i, d in enumerate(diameters, start=1) if d is not None}
    reference = corrections.get(reference_diameter)
    if reference is None:
        return {}
    return {d: float(reference) - float(value) for d, value in corrections.items() if value is not None}


def draw_growth(sheet: Sheet) -> Drawn:
    """Growth curve of one of the archive's images; the differences from the published one are noted, mmag."""
    (image,) = sheet.of(Kind.SCIENCE)
    with opened(sheet.store, [image]) as (path,):
        header = read_header(path)
    table = sheet.table(Kind.SCIENCE_CATALOGUE)
    stars = table.filter(pc.equal(table["qid"], quadrant_of(image.ref).qid))
    curve = growth_curve(stars, zero_point=required_number(header, "MAGZP", image.ref.file_name, "the zero point"))
    published = published_growth_curve(header)
    measured = zip(curve.diameter, curve.difference, strict=True)
    left = {f"D{d:g}_mmag": round(1e3 * (value - published[d]), 2) for d, value in measured if d in published}
    figure = plot_growth_curve({"measured": curve}, published, title=image.ref.file_name)
    return Drawn(figure, about={"n_star": curve.n_star, **left})


def plot_growth_curve(
    curves: Mapping[str, GrowthCurve], published: Mapping[float, float] | None = None, *, title: str = ""
) -> Figure:
    """Growth curves over their diameters, and below them what is left against the published one.

    Parameters
    ----------
    curves
        By the name to show.
    published
        Magnitudes by diameter; without it the lower panel is left out.
    """
    figure = Figure(figsize=(6.4, 6.0 if published else 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        2 if published else 1, 1, sharex=True, squeeze=False, height_ratios=[2, 1][: 1 + bool(published)]
    )
    upper, lower = panels[0, 0], panels[-1, 0]
    for colour, (name, curve) in enumerate(curves.items()):
        label, style = (
            f"{name}, {curve.n_star} stars",
            {"color": f"C{colour}", "marker": "o", "markersize": 4, "capsize": 2},
        )
        upper.errorbar(curve.diameter, 1e3 * curve.difference, 1e3 * curve.error, label=label, linewidth=1, **style)
        if published:
            shared = [i for i, diameter in enumerate(curve.diameter) if float(diameter) in published]
            left = [curve.difference[i] - published[float(curve.diameter[i])] for i in shared]
            lower.errorbar(
                curve.diameter[shared], 1e3 * np.array(left), 1e3 * curve.error[shared], linestyle="none", **style
            )
    if published:
        diameters = sorted(published)
        upper.plot(diameters, [1e3 * published[d] for d in diameters], "kx", label="archive's aperture corrections")
        lower.axhline(0, color="0.6", linewidth=0.8)
        lower.set_ylabel("measured - archive\n(mmag)")
    reference = {curve.reference_diameter for curve in curves.values()}
    apertures = " or ".join(f"{diameter:g}" for diameter in sorted(reference))
    upper.axhline(0, color="0.6", linewidth=0.8)
    upper.set_yscale("symlog", linthresh=30, linscale=1.2)
    upper.set_yticks(_TICKS_MMAG, labels=[f"{tick:g}" for tick in _TICKS_MMAG], minor=False)
    upper.minorticks_off()
    upper.margins(y=0.08)
    upper.set_ylabel(f"magnitude - magnitude in {apertures} pixels\n(mmag)")
    upper.legend(frameon=False)
    upper.set_title(title)
    lower.set_xlabel("diameter of the aperture (pixels)")
    return figure
