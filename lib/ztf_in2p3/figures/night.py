"""Drawings of a night's report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.detrended import plot_quadrant
from ztf_in2p3.figures.focal_plane import Panel, plot_mosaic, plot_quadrant_maps
from ztf_in2p3.figures.mosaic import Images, Planes, shrink_ccds
from ztf_in2p3.figures.night_growth import ccd_growth, exposure_growth, plot_night_growth
from ztf_in2p3.figures.residuals import residual_map
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.simulated import growth_truth
from ztf_in2p3.figures.summary import relative_background, stars_per_quadrant
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Kind, ccdid_of, exposure_of

Ccds = Iterable[tuple[int, Planes]]
"""CCD number and planes by qid; taken one after the other, so that a generator keeps one in memory."""

_NOTHING = Panel({}, "", "no exposures")


def draw_bias(sheet: Sheet) -> Figure:
    """Master biases over the focal plane, in a simulated survey beside their truth."""
    masters = ((master.ccdid, master.data) for master in sheet.masters(Kind.BIAS))
    truth = _true_planes(sheet, sheet.truth.bias) if sheet.truth else None
    return plot_bias(sheet.camera, masters, truth)


def draw_flat(sheet: Sheet) -> Figure:
    """Master flats of a filter over the focal plane, in a simulated survey beside their truth."""
    masters = ((master.ccdid, master.data) for master in sheet.masters(Kind.FLAT))
    truth = _true_planes(sheet, partial(sheet.truth.flat, sheet.filter)) if sheet.truth else None
    return plot_flat(sheet.camera, masters, str(sheet.filter), truth)


def draw_quadrant(sheet: Sheet) -> Drawn:
    """The first quadrant of the CCD exposure whose catalogue is shown."""
    (ccd,) = sheet.exposures
    qid, image = next(iter(sheet.images(ccd).items()))
    stars = sheet.table(Kind.CATALOGUE)
    truth = sheet.truth.detrended(ccd, qid) if sheet.truth else None
    name = f"{ccd}_q{qid}"
    return Drawn(plot_quadrant(image, stars.filter(pc.equal(stars["qid"], qid)), truth, title=name), {"name": name})


def draw_growth(sheet: Sheet) -> Figure:
    """Growth curves of the exposures of a night, in a simulated survey beside their truth."""
    curves = exposure_growth(map(ccd_growth, sheet.tables(Kind.CATALOGUE)))
    if sheet.truth is None:
        return plot_night_growth(curves, sheet.camera, None)
    exposures = {int(exposure.filefracday): exposure for exposure in (exposure_of(b.ref) for b in sheet.products)}
    truth = {
        curve.exposure: (radii, growth_truth(sheet.truth, exposures[curve.exposure], radii))
        for curve in curves
        for radii in [curve.curve.diameter / 2]
    }
    return plot_night_growth(curves, sheet.camera, truth)


def plot_bias(camera: Camera, ccds: Ccds, truth: Ccds | None = None) -> Figure:
    """Master bias over the focal plane, ADU, and beside it what is left minus the truth.

    Parameters
    ----------
    truth
        True planes of the same CCDs, in the same order.
    """
    images, left = _shrink(camera, ccds, truth, np.subtract)
    panels = [Panel(images, "master bias", "ADU")]
    if truth is not None:
        panels.append(Panel(left, "minus truth", "difference (ADU)", centre=0.0))
    return plot_mosaic(camera, panels)


def plot_flat(camera: Camera, ccds: Ccds, filter: str, truth: Ccds | None = None) -> Figure:
    """Master flat of a filter over the focal plane, as `plot_bias`; pure numbers, each CCD around 1."""
    images, left = _shrink(camera, ccds, truth, lambda fitted, true: 1e3 * (fitted / true - 1))
    panels = [Panel(images, f"master flat {filter}", "response (1: median of the CCD)")]
    if truth is not None:
        panels.append(Panel(left, "over truth, minus 1", "difference (per mille)", centre=0.0))
    return plot_mosaic(camera, panels)


def plot_background(camera: Camera, quadrants: pa.Table) -> Figure:
    """Background over the focal plane, filter by filter.

    Parameters
    ----------
    quadrants
        Columns of `ztf_in2p3.figures.summary.QUADRANT_SUMMARY`.
    """
    maps = relative_background(quadrants)
    panels = [Panel(values, name, "background / median of the exposure", 1.0) for name, values in maps.items()]
    return plot_quadrant_maps(camera, panels or [_NOTHING], number_format=".3f")


def plot_stars(camera: Camera, quadrants: pa.Table) -> Figure:
    """Stars over the focal plane, filter by filter; `quadrants` as for `plot_background`."""
    maps = stars_per_quadrant(quadrants)
    panels = [Panel(values, name, "stars per quadrant and exposure") for name, values in maps.items()]
    return plot_quadrant_maps(camera, panels or [_NOTHING], number_format=".0f")


def plot_residual_map(camera: Camera, residuals: pa.Table) -> Drawn:
    """Residuals over the focal plane; columns of `ztf_in2p3.figures.residuals.RESIDUALS`."""
    quadrants, cells = residual_map(residuals, camera, cells=1), residual_map(residuals, camera)
    chi2 = f" (mean square over the focal plane: {cells.chi2_per_cell:.2f}, expected 1)" if cells.mean else ""
    panels = [
        Panel(quadrants.mean, "mean residual", "mmag", 0.0),
        Panel(cells.pull, "over its error", "standard errors", 0.0),
    ]
    return Drawn(plot_quadrant_maps(camera, panels, number_format="z.1f"), {"chi2": chi2})


def _true_planes(sheet: Sheet, plane: Callable[[int, int], NDArray]) -> Iterator[tuple[int, Planes]]:
    """True planes of the CCDs of a sheet, in its order; `plane`: of a CCD and quadrant."""
    for product in sheet.products:
        ccdid = ccdid_of(product.ref)
        yield ccdid, {qid: plane(ccdid, qid) for qid in range(1, N_QUADRANT + 1)}


def _shrink(
    camera: Camera, ccds: Ccds, truth: Ccds | None, compare: Callable[[NDArray, NDArray], NDArray]
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
