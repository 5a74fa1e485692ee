"""The pictures of a night's report, each with the words that go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.detrended import plot_quadrant
from ztf_in2p3.figures.focal_plane import Images, Panel, Planes, plot_mosaic, plot_quadrant_maps, shrink_ccds
from ztf_in2p3.figures.night_growth import ExposureGrowth, plot_night_growth
from ztf_in2p3.figures.overview import plot_night
from ztf_in2p3.figures.residual_plots import plot_residuals
from ztf_in2p3.figures.residuals import residual_map
from ztf_in2p3.figures.style import png
from ztf_in2p3.figures.summary import exposure_summary, relative_background, stars_per_quadrant
from ztf_in2p3.image import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a report."""

    name: str
    """Short, for a file: letters, digits and hyphens."""
    title: str
    caption: str
    """What one should see, and what would be wrong."""
    png: bytes


def bias_picture(
    camera: Camera,
    ccds: Iterable[tuple[int, Planes]],
    *,
    period: str,
    truth: Iterable[tuple[int, Planes]] | None = None,
) -> Picture:
    """Master bias over the focal plane, and beside it what is left minus the truth.

    Parameters
    ----------
    ccds
        CCD number and planes by qid, ADU; taken one after the other, so that a generator keeps one in memory.
    truth
        The same of the true planes: of the same CCDs, in the same order.
    period
        Nights of the master, for the title.
    """
    images, left = _shrink(camera, ccds, truth, np.subtract)
    panels = [Panel(images, "master bias", "ADU")]
    if truth is not None:
        panels.append(Panel(left, "minus truth", "difference (ADU)", centre=0.0))
    return Picture(
        "bias",
        f"Master bias, {period}",
        "Offset over the overscan, medians of blocks of pixels. Each amplifier has its own faint pattern; nothing "
        "should be larger than some tens of ADU over its neighbours. A whole quadrant apart from the others: its "
        "overscan was read wrongly. Stripes: interference during readout. Hatched: no master."
        + (
            " Minus truth: noise around zero. Rows and quadrants differ by a tenth of an ADU, the noise of their "
            "overscan; more is wrong."
            if truth is not None
            else ""
        ),
        png(plot_mosaic(camera, panels)),
    )


def flat_picture(
    camera: Camera,
    ccds: Iterable[tuple[int, Planes]],
    *,
    filter: str,
    period: str,
    truth: Iterable[tuple[int, Planes]] | None = None,
) -> Picture:
    """Master flat of a filter over the focal plane, as `bias_picture`; pure numbers, each CCD around 1."""
    images, left = _shrink(camera, ccds, truth, lambda found, true: 1e3 * (found / true - 1))
    panels = [Panel(images, f"master flat {filter}", "response (1: median of the CCD)")]
    if truth is not None:
        panels.append(Panel(left, "over truth, minus 1", "difference (per mille)", centre=0.0))
    return Picture(
        f"flat-{filter}",
        f"Master flat {filter}, {period}",
        "Response to the lamps, each CCD divided by its median: smooth within a quadrant, with the lamps' "
        "illumination and the vignetting at the corners; amplifiers of a CCD, whose gains differ, are some "
        "percent apart. Rings and spots are dust. A CCD that is grainy or dark all over was badly exposed. "
        "Hatched: no master."
        + (
            " Over truth: noise around zero. A pattern that follows the flat itself tells of a wrong bias or linearity."
            if truth is not None
            else ""
        ),
        png(plot_mosaic(camera, panels)),
    )


def quadrant_picture(
    image: Image, stars: pa.Table | None = None, truth: NDArray | None = None, *, name: str
) -> Picture:
    """One detrended quadrant, see `ztf_in2p3.figures.detrended.plot_quadrant`; `name` says which."""
    against = (
        "each good pixel minus its true value, over its expected noise: the histogram should lie on the Gaussian. "
        "Wider: the variance is too small. Shifted: bias, flat or level are wrong."
        if truth is not None
        else "each good pixel minus the median of the image, over its expected noise: the left half should lie on the "
        "Gaussian, the right one ends in a tail of stars."
    )
    return Picture(
        "quadrant",
        f"Detrended quadrant {name}",
        "Left: no step, stripe or gradient of the detector should be left, only stars on an even sky, and each "
        "circle should hold a star; circles beside their stars mean that the astrometry is wrong. Masked pixels "
        f"are tinted. Right: {against}",
        png(plot_quadrant(image, stars, truth, title=name)),
    )


def night_picture(camera: Camera, quadrants: pa.Table) -> Picture:
    """The night against time.

    Parameters
    ----------
    quadrants
        Columns of `ztf_in2p3.figures.summary.QUADRANT_SUMMARY`.
    """
    return Picture(
        "night",
        "The night against time",
        "Background rises towards twilight, with the moon and with airmass; seeing grows with airmass. A sudden "
        "drop of the number of stars is a cloud, lost tracking or a wrong astrometry. Open symbols: some "
        "quadrants have no catalogue.",
        png(plot_night(exposure_summary(quadrants), camera)),
    )


def background_picture(camera: Camera, quadrants: pa.Table) -> Picture:
    """Background over the focal plane, filter by filter; `quadrants` as for `night_picture`."""
    maps = relative_background(quadrants)
    panels = [Panel(values, name, "background / median of the exposure", 1.0) for name, values in maps.items()]
    return Picture(
        "background",
        "Background over the focal plane",
        "Background of each quadrant over the median of its exposure, median over the night. It should vary "
        "smoothly, by some percent: lamps and sky do not light the camera alike. A quadrant apart from its "
        "neighbours: its gain, bias or flat is wrong. Hatched: no stars measured there.",
        png(plot_quadrant_maps(camera, panels or [_NOTHING], number_format=".3f")),
    )


def stars_picture(camera: Camera, quadrants: pa.Table) -> Picture:
    """Stars over the focal plane, filter by filter; `quadrants` as for `night_picture`."""
    maps = stars_per_quadrant(quadrants)
    panels = [Panel(values, name, "stars per quadrant and exposure") for name, values in maps.items()]
    return Picture(
        "stars",
        "Stars over the focal plane",
        "Stars measured on a quadrant, median over the exposures of a filter. The numbers follow the sky, with a "
        "gradient near the Galactic plane. A quadrant with far fewer than its neighbours: its astrometry is "
        "wrong. Hatched: none.",
        png(plot_quadrant_maps(camera, panels or [_NOTHING], number_format=".0f")),
    )


def growth_picture(
    growth: Sequence[ExposureGrowth], camera: Camera, truth: Mapping[int, tuple[NDArray, NDArray]] | None = None
) -> Picture:
    """Growth curves, see `ztf_in2p3.figures.night_growth.plot_night_growth`."""
    below = " Bottom: noise around zero; a trend with the radius means a wrong background." if truth else ""
    return Picture(
        "growth",
        "Growth curves",
        "Median over the bright isolated stars of each exposure. All curves rise to 1, more slowly in worse "
        "seeing, and stay there. Rising on or falling at large radii: the background is wrong, or neighbours were "
        f"not recognised.{below}",
        png(plot_night_growth(growth, camera, truth)),
    )


def residual_picture(residuals: pa.Table) -> Picture:
    """Fluxes against truth.

    Parameters
    ----------
    residuals
        Columns of `ztf_in2p3.figures.residuals.RESIDUALS`.
    """
    return Picture(
        "residuals",
        "Flux residuals against truth",
        "Isolated stars without bad pixels; residual = 1085.7 (flux - truth) / truth. Bottom left: medians should "
        "be zero within their errors; a slope at the bright end is non-linearity, one at the faint end a wrong "
        "background. Middle: the scatter found should follow the error expected. Right: pulls, given as mean ± "
        "standard deviation, should follow the Gaussian.",
        png(plot_residuals(residuals)),
    )


def residual_map_picture(camera: Camera, residuals: pa.Table) -> Picture:
    """Residuals over the focal plane; `residuals` as for `residual_picture`."""
    quadrants, cells = residual_map(residuals, camera, cells=1), residual_map(residuals, camera)
    chi2 = f" (mean square over the focal plane: {cells.chi2_per_cell:.2f}, expected 1)" if cells.mean else ""
    return Picture(
        "residual-map",
        "Flux residuals over the focal plane",
        f"Left: weighted mean of each quadrant. Right: quarters of quadrants, mean over its standard error{chi2}. "
        "Both should be noise around zero. A pattern of quadrants or CCDs is a wrong gain or level; a smooth one, "
        "a flat that is not the response to starlight.",
        png(
            plot_quadrant_maps(
                camera,
                [
                    Panel(quadrants.mean, "mean residual", "mmag", 0.0),
                    Panel(cells.pull, "over its error", "standard errors", 0.0),
                ],
                number_format="z.1f",
            )
        ),
    )


def _shrink(
    camera: Camera,
    ccds: Iterable[tuple[int, Planes]],
    truth: Iterable[tuple[int, Planes]] | None,
    compare: Callable[[NDArray, NDArray], NDArray],
) -> tuple[Images, Images]:
    """Small images of the CCDs and of what is left of them; compared pixel by pixel, since medians do not subtract."""
    if truth is None:
        return shrink_ccds(ccds, camera), {}
    images: Images = {}
    left: Images = {}
    for (ccdid, planes), (true_ccdid, true) in zip(ccds, truth, strict=True):
        if ccdid != true_ccdid:
            raise ValueError(f"master of CCD {ccdid} with the truth of CCD {true_ccdid}; expected in one order")
        images |= shrink_ccds([(ccdid, planes)], camera)
        left |= shrink_ccds([(ccdid, {qid: compare(plane, true[qid]) for qid, plane in planes.items()})], camera)
    return images, left


_NOTHING = Panel({}, "", "no exposures")
