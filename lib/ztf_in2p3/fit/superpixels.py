"""Cells of a map over the focal plane: the same number in each direction of every quadrant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.fit.model import Coarse, Floats


@dataclass(frozen=True, slots=True)
class Superpixels:
    """n x n cells a quadrant; cells are counted by rcid, then row, then column of the image as stored."""

    camera: Camera
    n: int

    @property
    def size(self) -> int:
        """Number of cells of the whole camera."""
        return len(self.camera.quadrants) * self.n**2

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a map: rcid, row of cells, column of cells."""
        return len(self.camera.quadrants), self.n, self.n

    def index(self, rcid: ArrayLike, x: ArrayLike, y: ArrayLike) -> NDArray[np.int32]:
        """Cell of pixels inside the quadrants; of unknown ones, the first.  All have one shape."""
        rows, columns = self.camera.shape
        column = np.floor((np.nan_to_num(np.asarray(x, float)) + 0.5) * (self.n / columns))
        row = np.floor((np.nan_to_num(np.asarray(y, float)) + 0.5) * (self.n / rows))
        row, column = (np.clip(k, 0, self.n - 1).astype(np.int32) for k in (row, column))
        return (np.asarray(rcid, np.int32) * self.n + row) * self.n + column

    @property
    def columns(self) -> tuple[str, ...]:
        """What tells the cell of a measurement, besides its rcid; a quadrant that is one cell needs no pixels."""
        return ("x", "y") if self.n > 1 else ()

    def index_of_rows(self, rows: Mapping[str, NDArray]) -> NDArray[np.int32]:
        """Cell of each row of a table.  Columns and result are (row,)."""
        return self.index(rows["rcid"], rows["x"], rows["y"]) if self.n > 1 else rows["rcid"].astype(np.int32)

    def centres(self) -> tuple[Floats, Floats]:
        """Focal-plane position u, v of each cell's centre, pixels."""
        rows, columns = self.camera.shape
        middle = (np.arange(self.n) + 0.5) / self.n
        x, y = np.meshgrid(middle * columns - 0.5, middle * rows - 0.5)
        planes = [self.camera.focal_plane(quadrant, x, y) for quadrant in self.camera.quadrants]
        u, v = (np.concatenate([plane[k].ravel() for plane in planes]) for k in (0, 1))
        return u, v

    def coarse(self) -> Coarse:
        """A constant and two slopes on each quadrant."""
        cell = np.arange(self.size)
        quadrant, in_quadrant = np.divmod(cell, self.n**2)
        if self.n < 3:
            return Coarse.identity(self.size)
        row, column = np.divmod(in_quadrant, self.n)
        slope = (np.stack([column, row], axis=1) + 0.5) * 2 / self.n - 1
        return Coarse.groups(quadrant, slope)


def on_camera(camera: Camera, columns: Mapping[str, NDArray]) -> dict[str, NDArray[np.bool_]]:
    """Which measurements are on a quadrant that exists, and inside it as far as their pixels are known.

    Columns and tests are (row,).
    """
    rows, width = camera.shape
    rcid = columns["rcid"]
    tests = {"no such quadrant": (rcid >= 0) & (rcid < len(camera.quadrants))}
    if "x" in columns and "y" in columns:
        x, y = columns["x"], columns["y"]
        outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > rows - 0.5)  # false where they are unknown
        tests["outside its quadrant"] = ~outside
    return tests
