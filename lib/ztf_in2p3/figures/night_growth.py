"""How the flux of stars grows with the aperture, exposure by exposure of a night."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.apertures import aperture_at, is_clean, radii_of
from ztf_in2p3.figures.growth import GrowthCurve, growth_curve
from ztf_in2p3.figures.style import GREY, SEQUENTIAL, new_figure, say_nothing, styled
from ztf_in2p3.robust_statistics import finite_median
from ztf_in2p3.tables.column import numbers

REFERENCE_RADIUS = 10.0
"""Pixels; of the aperture that the others are compared with."""
LEAST_SNR = 50.0
"""Flux over error in the reference aperture of the stars used."""


@dataclass(frozen=True, slots=True, eq=False)
class ExposureGrowth:
    """Growth curve of one exposure."""

    exposure: int
    seeing: float
    """Pixels."""
    curve: GrowthCurve


def ccd_growth(catalogue: pa.Table) -> ExposureGrowth | None:
    """Growth curve of the bright stars of one CCD exposure; None if it has none."""
    if not catalogue.num_rows:
        return None
    k = aperture_at(catalogue, REFERENCE_RADIUS)
    bright = is_clean(catalogue, k) & (numbers(catalogue, f"f_{k}") > LEAST_SNR * numbers(catalogue, f"f_{k}_e"))
    curve = growth_curve(
        catalogue.filter(pa.array(bright)),
        zero_point=0.0,
        magnitudes=(-np.inf, np.inf),
        reference_diameter=2 * float(radii_of(catalogue)[k]),
    )
    if not curve.n_star:
        return None
    return ExposureGrowth(int(catalogue["exposure"][0].as_py()), finite_median(numbers(catalogue, "seeing")), curve)


def exposure_growth(ccds: Iterable[ExposureGrowth | None]) -> list[ExposureGrowth]:
    """The CCDs of each exposure together: means, each CCD weighted with its number of stars.

    Sorted by exposure.  CCDs with other radii than the first of their exposure are left out.
    """
    by_exposure: dict[int, list[ExposureGrowth]] = {}
    for ccd in ccds:
        if ccd is not None:
            by_exposure.setdefault(ccd.exposure, []).append(ccd)
    return [_together(exposure, by_exposure[exposure]) for exposure in sorted(by_exposure)]


@styled
def plot_night_growth(
    growth: Sequence[ExposureGrowth],
    camera: Camera,
    truth: Mapping[int, tuple[NDArray, NDArray]] | None = None,
) -> Figure:
    """Flux relative to that in the reference aperture, one line an exposure, coloured by seeing.

    Parameters
    ----------
    truth
        By exposure: radii (pixels) and the fraction of a star's flux within them, both (radius,).  Drawn as crosses,
        and in a second panel the difference.
    """
    figure = new_figure(5.6 if truth else 4.2)
    panels = figure.subplots(
        2 if truth else 1, 1, sharex=True, squeeze=False, height_ratios=[1.8, 1][: 1 + bool(truth)]
    )
    upper, lower = panels[0, 0], panels[-1, 0]
    seeing = np.array([exposure.seeing for exposure in growth]) * camera.pixel_scale
    known = seeing[np.isfinite(seeing)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    norm = Normalize(low - 0.05, high + 0.05) if high - low < 0.1 else Normalize(low, high)
    colours = ScalarMappable(norm, SEQUENTIAL)
    few = len(growth) < 60
    for exposure, arcsec in zip(growth, seeing, strict=True):
        colour = colours.to_rgba(arcsec) if np.isfinite(arcsec) else GREY
        radius, flux = exposure.curve.diameter / 2, 10 ** (-0.4 * exposure.curve.difference)
        upper.plot(radius, flux, color=colour, marker="o", linewidth=1.2 if few else 0.6, markersize=3 if few else 0)
        if truth and exposure.exposure in truth:
            expected = _expected(exposure.curve, *truth[exposure.exposure])
            upper.plot(radius, expected, "x", color="black", markersize=4, markeredgewidth=0.7, zorder=3)
            left = 1e3 * (flux - expected)
            lower.errorbar(
                radius,
                left,
                1e3 * exposure.curve.error * flux * 0.4 * np.log(10),
                color=colour,
                capsize=2,
                elinewidth=0.8,
                linewidth=0.8,
                marker="o",
                markersize=3,
            )
    if growth:
        reference = growth[0].curve.reference_diameter / 2
        upper.set_ylabel(f"flux / flux within {reference:g} pixels")
        figure.colorbar(colours, ax=panels[:, 0].tolist(), label="seeing FWHM (arcsec)", aspect=35, pad=0.015)
    else:
        say_nothing(upper, "no bright isolated stars")
    for axes in panels[:, 0]:
        axes.axhline(1 if axes is upper else 0, color=GREY, linewidth=0.8, zorder=0)
        axes.grid(True)
    if truth:
        lower.set_ylabel("measured - true\n(per mille)")
        upper.plot([], [], "x", color="black", markersize=4, markeredgewidth=0.7, label="truth")
        upper.legend(loc="lower right")
    lower.set_xlabel("radius of the aperture (pixels)")
    return figure


def _together(exposure: int, ccds: Sequence[ExposureGrowth]) -> ExposureGrowth:
    first = ccds[0].curve
    alike = [ccd for ccd in ccds if np.array_equal(ccd.curve.diameter, first.diameter)]
    weight = np.array([ccd.curve.n_star for ccd in alike], np.float64)
    weight /= weight.sum()
    difference = sum(w * ccd.curve.difference for w, ccd in zip(weight, alike, strict=True))
    error = np.sqrt(sum((w * ccd.curve.error) ** 2 for w, ccd in zip(weight, alike, strict=True)))
    n_star = sum(ccd.curve.n_star for ccd in alike)
    curve = GrowthCurve(first.diameter, np.asarray(difference), error, first.reference_diameter, n_star)
    return ExposureGrowth(exposure, finite_median([ccd.seeing for ccd in alike]), curve)


def _expected(curve: GrowthCurve, radii: NDArray, fraction: NDArray) -> NDArray[np.float64]:
    """True flux relative to the reference aperture, at the radii of a curve."""
    within = np.interp(curve.diameter / 2, radii, fraction, left=np.nan, right=np.nan)
    return np.asarray(within / np.interp(curve.reference_diameter / 2, radii, fraction, left=np.nan, right=np.nan))
