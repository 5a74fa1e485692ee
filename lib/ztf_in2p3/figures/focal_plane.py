"""Pictures of the whole focal plane: pixels of the CCDs, or one number a quadrant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.mosaic import coarser
from ztf_in2p3.figures.style import DIVERGING, SEQUENTIAL, around, colour_map, new_figure, robust_limits, styled
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, Quadrant


@dataclass(frozen=True, slots=True)
class Outline:
    """Edges of a CCD or a quadrant on the sky: degrees east and north of the optical axis."""

    west: float
    east: float
    south: float
    north: float

    def holds(self, east: float, north: float) -> bool:
        """Whether a place on the focal plane is inside."""
        return self.west < east < self.east and self.south < north < self.north

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north edge, as matplotlib's `imshow` takes them."""
        return self.west, self.east, self.south, self.north


def quadrant_outline(camera: Camera, quadrant: Quadrant) -> Outline:
    """Edges of a quadrant on the focal plane."""
    rows, columns = camera.shape
    u, v = camera.focal_plane(quadrant, np.array([-0.5, columns - 0.5]), np.array([-0.5, rows - 0.5]))
    degrees = camera.pixel_scale / 3600
    return Outline(u.min() * degrees, u.max() * degrees, v.min() * degrees, v.max() * degrees)


def ccd_outline(camera: Camera, ccdid: int) -> Outline:
    """Edges of a CCD on the focal plane."""
    parts = [quadrant_outline(camera, Quadrant(ccdid, qid)) for qid in range(1, N_QUADRANT + 1)]
    return Outline(
        min(p.west for p in parts),
        max(p.east for p in parts),
        min(p.south for p in parts),
        max(p.north for p in parts),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One focal plane of a picture."""

    values: Mapping[int, NDArray | float]
    """Values by CCD: images of `shrink_ccds`.  Or by rcid: a number, or a few, (row, column) as stored."""
    title: str
    label: str
    """Label of the colour bar, with the unit.  Panels of one label share their colours."""
    centre: float | None = None
    """Value that is white on a scale of two colours, for differences; None: one sequence of colours."""


@styled
def plot_mosaic(camera: Camera, panels: Sequence[Panel]) -> Figure:
    """Pixels of the CCDs where they are on the sky, north up and east to the right; missing CCDs are hatched.

    Where there is but one CCD, it is shown alone.
    """
    tiles = [
        [
            _Tile(ccdid, ccd_outline(camera, ccdid), np.atleast_2d(panel.values.get(ccdid, np.nan)))
            for ccdid in range(1, N_CCD + 1)
        ]
        for panel in panels
    ]
    return _draw(camera, panels, tiles, number_format="")


@styled
def plot_quadrant_maps(camera: Camera, panels: Sequence[Panel], *, number_format: str = "") -> Figure:
    """The focal plane coloured quadrant by quadrant; quadrants that are not there, or are NaN, are hatched.

    Parameters
    ----------
    each
        A format: the number is written into its quadrant, where there is one number.
    """
    tiles = [
        [
            _Tile(
                quadrant.ccdid,
                quadrant_outline(camera, quadrant),
                np.atleast_2d(panel.values.get(quadrant.rcid, np.nan))[::-1, ::-1],
            )
            for quadrant in camera.quadrants
        ]
        for panel in panels
    ]
    return _draw(camera, panels, tiles, number_format=number_format)


# --- small parts


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    """A piece of the focal plane."""

    ccdid: int
    where: Outline
    image: NDArray
    """Rows to the north, columns to the east."""

    @property
    def present(self) -> bool:
        return bool(np.isfinite(self.image).any())


def _draw(camera: Camera, panels: Sequence[Panel], tiles: Sequence[Sequence[_Tile]], *, number_format: str) -> Figure:
    n = max(1, len(panels))
    figure = new_figure({1: 6.9, 2: 5.2}.get(n, 3.9))
    plots = figure.subplots(1, n, sharey=True, squeeze=False)[0]
    only = _only_ccd(tiles)
    shared = len({(panel.label, panel.centre) for panel in panels}) == 1
    everything = [_finite(part) for part in tiles]
    for axes, panel, tile, values in zip(plots, panels, tiles, everything, strict=False):
        scale = _Scale.of(np.concatenate(everything) if shared else values, panel)
        for part in tile:
            _hatch(axes, part.where)
            if part.present:
                image = part.image if only else coarser(part.image)
                extent = part.where.extent
                axes.imshow(image, extent=extent, norm=scale.norm, cmap=scale.colours, origin="lower", zorder=2)
                if number_format and image.size == 1 and n < 3:
                    _write(
                        axes,
                        part.where,
                        format(image[0, 0], number_format),
                        scale,
                        image[0, 0],
                        small=n > 1 and not only,
                    )
        _frame(axes, camera, only, north=axes is plots[0])
        if n < 3:
            _name_ccds(axes, camera, only, outside=len(tile) > N_CCD)
        axes.set_title(panel.title)
        if not shared:
            scale.bar(figure, [axes], panel.label, below=True)
    if shared:
        scale.bar(figure, list(plots), panels[0].label, below=n > 1)
    return figure


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """Colours of values."""

    norm: Normalize
    colours: Colormap
    extend: str
    """Which ends of the colour bar get an arrow: there are values beyond."""

    @classmethod
    def of(cls, values: NDArray, panel: Panel) -> _Scale:
        centred = panel.centre is not None
        norm = around(panel.centre, values) if panel.centre is not None else Normalize(*robust_limits(values))
        low = bool(values.size) and float(values.min()) < float(norm.vmin or 0)
        high = bool(values.size) and float(values.max()) > float(norm.vmax or 0)
        extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        return cls(norm, colour_map(DIVERGING if centred else SEQUENTIAL), extend[low, high])

    def bar(self, figure: Figure, axes: list[Axes], label: str, *, below: bool) -> None:
        figure.colorbar(
            ScalarMappable(self.norm, self.colours),
            ax=axes,
            label=label,
            extend=self.extend,
            location="bottom" if below else "right",
            shrink=0.75 if below else 0.9,
            aspect=35,
            pad=0.02,
        )


def _finite(tiles: Sequence[_Tile]) -> NDArray[np.float64]:
    values = np.concatenate([np.ravel(tile.image) for tile in tiles])
    return np.asarray(values[np.isfinite(values)], np.float64)


def _only_ccd(tiles: Sequence[Sequence[_Tile]]) -> int:
    """Number of the CCD that alone has values, or 0."""
    present = {part.ccdid for tile in tiles for part in tile if part.present}
    return present.pop() if len(present) == 1 else 0


def _hatch(axes: Axes, where: Outline) -> None:
    size = where.east - where.west, where.north - where.south
    axes.add_patch(
        Rectangle((where.west, where.south), *size, facecolor="#f4f4f4", edgecolor="#b5b5b5", hatch="////", lw=0.4)
    )


def _frame(axes: Axes, camera: Camera, ccdid: int, *, north: bool) -> None:
    corner = ccd_outline(camera, 1)  # the south-eastern one of a mosaic that is symmetric about the axis
    whole = Outline(-corner.east, corner.east, corner.south, -corner.south)
    view = ccd_outline(camera, ccdid) if ccdid else whole
    margin = 0.02 * (view.north - view.south)
    axes.set_xlim(view.west - margin, view.east + margin)
    axes.set_ylim(view.south - margin, view.north + margin)
    axes.set_aspect("equal")
    axes.set_xlabel("east of the axis (degrees)")
    if north:
        axes.set_ylabel("north of the axis (degrees)")
    else:
        axes.tick_params(left=False)
    axes.spines[:].set_visible(False)
    axes.locator_params(nbins=5)


def _name_ccds(axes: Axes, camera: Camera, only: int, *, outside: bool) -> None:
    """Numbers of the CCDs in their corners, or small above them."""
    for ccdid in [only] if only else range(1, N_CCD + 1):
        where = ccd_outline(camera, ccdid)
        height = where.north - where.south
        if outside:
            axes.text(
                where.west,
                where.north + 0.012 * height,
                f"CCD {ccdid}",
                ha="left",
                va="baseline",
                fontsize=5.5,
                color="#444444",
                zorder=3,
            )
        else:
            axes.text(
                where.west + 0.03 * height,
                where.north - 0.04 * height,
                f"CCD {ccdid}" if only else str(ccdid),
                ha="left",
                va="top",
                fontsize=8,
                zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
            )


def _write(axes: Axes, where: Outline, text: str, scale: _Scale, value: float, *, small: bool) -> None:
    red, green, blue, _ = scale.colours(scale.norm(value))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    axes.text(
        (where.west + where.east) / 2,
        (where.south + where.north) / 2,
        text,
        ha="center",
        va="center",
        zorder=3,
        fontsize=5.5 if small else 7.5,
        color="white" if dark else "#222222",
    )
