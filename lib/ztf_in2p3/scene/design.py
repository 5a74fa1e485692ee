"""The galaxy as nodes of a cubic B-spline, and their images in each exposure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.model import Psf
from ztf_in2p3.scene.model import Series
from ztf_in2p3.scene.node_kernels import CELLS, LANES, draw_nodes, galaxy_table

EMPTY = np.empty(0)


@dataclass(frozen=True)
class Nodes:
    """A square grid of B-splines around the catalogue position, or none at all."""

    step: float
    half: int
    """Nodes to either side of the middle one; -1: no galaxy."""

    @classmethod
    def covering(cls, series: Series, step: float, margin: float) -> Nodes:
        """Nodes over all stamps, and `margin` pixels beyond."""
        if not 0 < step <= 1 or abs(step * CELLS - round(step * CELLS)) > 1e-9:
            raise ValueError(f"step {step}: expected a multiple of 1/{CELLS} pixel, at most 1")
        return cls(step, int(np.floor(((series.side - 1) / 2 + margin) / step + 1e-9)))

    @property
    def side(self) -> int:
        """Nodes in each direction."""
        return 2 * self.half + 1 if self.half >= 0 else 0

    def __len__(self) -> int:
        return self.side**2

    @cached_property
    def u(self) -> NDArray[np.float64]:
        """(node, 2): x, y on the sky, y slowest."""
        along = np.arange(-self.half, self.half + 1) * self.step
        y, x = np.meshgrid(along, along, indexing="ij")
        return np.column_stack([x.ravel(), y.ravel()])

    @cached_property
    def taps(self) -> NDArray[np.float64]:
        """A node of unit integral in B-splines of 1 / CELLS pixel (refinement of B-splines; times a cell's width)."""
        cells = round(self.step * CELLS)
        taps = np.ones(1)
        for _ in range(4):
            taps = np.convolve(taps, np.ones(cells))
        return taps / cells**4

    @cached_property
    def _slope(self) -> NDArray[np.float64]:
        """Nodes of the spline through the derivatives, at the nodes, of a spline."""
        n = self.side
        value = np.diag(np.full(n, 4 / 6)) + np.diag(np.full(n - 1, 1 / 6), 1) + np.diag(np.full(n - 1, 1 / 6), -1)
        slope = (np.diag(np.full(n - 1, 0.5), 1) - np.diag(np.full(n - 1, 0.5), -1)) / self.step
        return np.linalg.solve(value, slope)

    def with_slopes(self, galaxy: NDArray) -> NDArray[np.float64]:
        """(3, node): the galaxy, and nearly its derivatives along x and y."""
        if not len(self):
            return np.empty((3, 0))
        square = galaxy.reshape(self.side, self.side)
        return np.stack([galaxy, (square @ self._slope.T).ravel(), (self._slope @ square).ravel()])


class Design:
    """Draws the nodes in any exposure of a series; the tables of the PSFs are kept."""

    def __init__(self, series: Series, nodes: Nodes, exposures: NDArray[np.int64]) -> None:
        self.series, self.nodes, self.exposures = series, nodes, exposures
        if len(nodes) and series.side < LANES:
            raise ValueError(f"stamps of {series.side} pixels: a galaxy needs at least {LANES}")
        self._image = np.empty((len(nodes), series.side**2))
        self._table: dict[int, NDArray[np.float32]] = {}
        if len(nodes):
            middle = (series.side - 1) / 2
            corner = np.sqrt(2) * nodes.half * nodes.step
            turned = np.abs(series.matrix[exposures]).sum(axis=2).max() * nodes.half * nodes.step
            away = np.abs(series.origin[exposures] - middle).max()
            half = int(np.ceil(min(turned, 1.2 * corner) + middle + away)) + 2
            self._table = {int(i): self._tabulate(int(i), half) for i in exposures}

    def _tabulate(self, i: int, half: int) -> NDArray[np.float32]:
        matrix, psf = self.series.matrix[i], self.series.psf[i]
        lack = (matrix @ matrix.T - np.eye(2)) * self.nodes.step**2 / 3  # a cubic B-spline has a variance of 1/3
        spread = (lack[0, 0], lack[0, 1], lack[1, 1])
        return tabulate(psf, spread, self.nodes.taps, half)

    def draw(self, i: int) -> NDArray[np.float64]:
        """(node, pixel): images of the nodes in exposure i, for a throughput of 1; overwritten by the next call."""
        if len(self.nodes):
            at = self.nodes.u @ self.series.matrix[i].T + self.series.origin[i]
            side = self.series.side
            x, y = np.ascontiguousarray(at.T)
            draw_nodes(self._table[i], x, y, side, side, self._image.ravel())
        return self._image


def tabulate(psf: Psf, spread: tuple[float, float, float], taps: NDArray, half: int) -> NDArray[np.float32]:
    """Table of a PSF convolved with the spline of a galaxy node.  `taps`: (tap,)."""
    return galaxy_table(psf.moffat, psf.residual, float(psf.spacing), spread, taps, half)
