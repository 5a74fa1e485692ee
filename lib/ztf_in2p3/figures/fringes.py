"""Fringes of a CCD before and after, and how strong they were over a period."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ztf_in2p3.camera import mosaic_ccd
from ztf_in2p3.figures.sheet import Sheet
from ztf_in2p3.figures.style import ACCENT, DIVERGING, GREY, ORANGE, colour_map, new_figure, robust_limits, styled
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import FringeFitRecipe
from ztf_in2p3.sensor.fringe import CcdFringes, fit_fringes
from ztf_in2p3.sensor.fringe_amplitudes import without_sky
from ztf_in2p3.sensor.fringe_cells import Cells, sky_cells
from ztf_in2p3.store.reading import opened

_NO_SKY = "#c8c8c8"


def draw_fringes(sheet: Sheet) -> Figure:
    """The exposure of a CCD whose fringes are the median of all, before and after."""
    with opened(sheet.store, sheet.of(Kind.FRINGE)) as (path,):
        maps = CcdFringes.read(path, sheet.camera)
    measured, fit = sheet.table(Kind.SUMMARY).sort_by("before"), sheet.recipe.exposures.fringe_fit
    usual = int(measured["exposure"][measured.num_rows // 2].as_py())
    (ccd,) = (ccd for ccd in sheet.exposures if int(ccd.exposure.filefracday) == usual)
    cells = {qid: sky_cells(image, fit.cell) for qid, image in sheet.images(ccd).items()}
    return plot_fringes(ccd, cells, maps, measured, fit)


@styled
def plot_fringes(
    ccd: CcdExposure,
    cells: Mapping[int, Cells],
    fringes: CcdFringes,
    amplitudes: pa.Table,
    recipe: FringeFitRecipe,
) -> Figure:
    """Sky of a CCD exposure before and after, the first component of the map, and the scatter of all exposures.

    Parameters
    ----------
    cells
        Cells of the exposure, with its fringes, by qid.
    amplitudes
        Columns of `ztf_in2p3.sensor.fringe_amplitudes.FRINGE_AMPLITUDES`.
    """
    figure = new_figure(7.6)
    (left, right), (below, beside) = figure.subplots(2, 2)
    before, after = {}, {}
    for qid, sky in cells.items():
        if sky.tell:
            of = fringes.maps[qid]
            pattern = np.tensordot(fit_fringes(sky, of, recipe).amplitude, of.patterns, 1)
            before[qid] = without_sky(sky, np.zeros_like(pattern), recipe.sky_degree)
            after[qid] = without_sky(sky, pattern, recipe.sky_degree)
    limit = max(np.abs(robust_limits(_finite(before))))
    for axes, planes, title in ((left, before, "sky before"), (right, after, "after")):
        drawn = _draw(axes, planes, limit, f"{title}, smooth part removed")
    figure.colorbar(drawn, ax=[left, right], label="ADU; grey: sources", shrink=0.8, aspect=30, pad=0.02)
    first = {qid: fringe_map.patterns[0] for qid, fringe_map in fringes.maps.items()}
    _draw(below, first, 2.0, "first component of the map (rms 1)")
    _scatters(beside, amplitudes)
    figure.suptitle(f"Fringes of CCD {ccd.ccdid}: exposure {ccd.exposure}", fontsize=10.5)
    return figure


def _draw(axes: Axes, planes: Mapping[int, NDArray], limit: float, title: str):  # type: ignore[no-untyped-def]
    empty = np.full_like(next(iter(planes.values()), np.zeros((2, 2))), np.nan)
    image = mosaic_ccd({qid: planes.get(qid, empty) for qid in range(1, N_QUADRANT + 1)})
    axes.set_facecolor(_NO_SKY)
    drawn = axes.imshow(image, origin="lower", cmap=colour_map(DIVERGING), vmin=-limit, vmax=limit)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("east")
    axes.set_ylabel("north")
    return drawn


def _scatters(axes: Axes, amplitudes: pa.Table) -> None:
    """Scatter of the sky beyond its noise, over the sky, exposure by exposure."""
    sky = amplitudes["sky"].to_numpy()
    for name, colour, marker in (("before", ORANGE, "o"), ("after", ACCENT, "s")):
        scatter = 100 * amplitudes[name].to_numpy() / sky
        axes.plot(
            sky,
            scatter,
            marker,
            color=colour,
            markersize=4,
            markerfacecolor="none",
            label=f"{name}: median {np.median(scatter):.2f} %",
        )
    noise = 100 * np.median(amplitudes["cell_noise"].to_numpy() / sky)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axhline(noise, color=GREY, linestyle="--", linewidth=1, label=f"noise of a cell: {noise:.2f} %")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))
    axes.set_title("fringes over the sky, each quadrant")
    axes.set_xlabel("sky (ADU)")
    axes.set_ylabel("scatter beyond the noise (% of the sky)")
    axes.legend(loc="upper right")


def _finite(planes: Mapping[int, NDArray]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(1), *(plane[np.isfinite(plane)] for plane in planes.values())])
