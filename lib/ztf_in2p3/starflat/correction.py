"""A starflat put to use: magnitudes corrected for where on the camera they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData


@dataclass(frozen=True, slots=True, eq=False)
class StarflatMap:
    """Response on the superpixels of each quadrant."""

    camera: Camera
    map: NDArray[np.float64]
    """(rcid, row of superpixels, column of superpixels), magnitudes at the sample's mean colour; NaN where unknown."""
    colour: NDArray[np.float64]
    """The same: change with colour, mag per mag."""
    colour_centre: float
    """The sample's mean BP - RP."""

    @classmethod
    def of_table(cls, table: pa.Table, camera: Camera) -> Self:
        """Take the columns of `ztf_in2p3.tables.STARFLAT_MAP`.

        Raises
        ------
        BadData
            The map is of another camera, or not of whole quadrants.
        """
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        if (camera_name := metadata.get(b"camera", b"").decode()) != camera.name:
            raise BadData(f"starflat of camera {camera_name!r}; expected one of {camera.name!r}: choose another")
        shape = tuple(int(np.max(table[name].to_numpy(), initial=-1)) + 1 for name in ("rcid", "row", "column"))
        if shape[0] != len(camera.quadrants) or shape[1] != shape[2] or table.num_rows != np.prod(shape):
            raise BadData(
                f"starflat of {table.num_rows} superpixels with {shape} quadrants, rows and columns; expected all of "
                f"{len(camera.quadrants)} quadrants and as many rows as columns: make it again"
            )
        order = np.lexsort([table[name].to_numpy() for name in ("column", "row", "rcid")])
        response, colour = (table[name].to_numpy()[order].reshape(shape) for name in ("map", "colour_map"))
        if "flag" in table.column_names:
            response = np.where(table["flag"].to_numpy()[order].reshape(shape) > 0, np.nan, response)
        return cls(camera, response, colour, float(metadata[b"colour_centre"]))

    def correction(self, rcid: ArrayLike, x: ArrayLike, y: ArrayLike, colour: ArrayLike) -> NDArray[np.float64]:
        """Magnitudes to subtract from measured ones.  All (measurement,).

        Bilinear between the centres of the superpixels of a quadrant, continued beyond the outermost ones; never
        from one quadrant to the next, whose amplifiers differ.

        Parameters
        ----------
        rcid, x, y
            Readout channel and pixel.
        colour
            BP - RP, magnitudes; unknown ones (NaN) count as the mean.

        Returns
        -------
        NaN where the superpixel itself is unknown or not to be trusted; of its neighbours, those are left out.
        """
        colours = np.nan_to_num(np.asarray(colour, float) - self.colour_centre)
        return self._between(self.map, rcid, x, y) + colours * self._between(self.colour, rcid, x, y)

    def of_catalogue(self, catalogue: pa.Table) -> NDArray[np.float64]:
        """Correction of each row of an aperture catalogue, or of a star table."""
        names = ("rcid", "x", "y", "colour")
        return self.correction(*(catalogue[name].to_numpy(zero_copy_only=False) for name in names))

    def corrected(self, table: pa.Table) -> pa.Table:
        """A star table (columns of `ztf_in2p3.tables.STAR_TABLE`) with corrected magnitudes; NaN where unknown."""
        mag = table["mag"].to_numpy() - self.of_catalogue(table)
        at = table.column_names.index("mag")
        return table.set_column(at, table.schema.field(at), pa.array(mag))

    def _between(self, plane: NDArray, rcid: ArrayLike, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        quadrant, n = np.asarray(rcid, int), plane.shape[1]
        if n == 1:
            return np.asarray(plane[quadrant, 0, 0])
        rows, columns = self.camera.shape
        row, column = (
            (np.asarray(place, float) + 0.5) * n / size - 0.5 for place, size in ((y, rows), (x, columns))
        )  # counted in superpixels, 0 at the centre of the first
        i, j = (np.clip(np.floor(place), 0, n - 2).astype(int) for place in (row, column))
        s, t = row - i, column - j
        nearest = plane[quadrant, *(np.clip(np.round(place), 0, n - 1).astype(int) for place in (row, column))]
        total, weight = np.zeros(nearest.shape), np.zeros(nearest.shape)
        for di, dj, part in ((0, 0, (1 - s) * (1 - t)), (0, 1, (1 - s) * t), (1, 0, s * (1 - t)), (1, 1, s * t)):
            node = plane[quadrant, i + di, j + dj]
            known = np.isfinite(node)
            total += np.where(known, part * np.where(known, node, 0.0), 0.0)
            weight += np.where(known, part, 0.0)
        # Beyond the outermost centres weights are negative: with a node missing there, the superpixel's own value.
        whole = np.abs(weight - 1) < 1e-9
        inside = (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1) & (weight > 0)
        value = np.where(whole | inside, total / np.where(weight > 0, weight, 1.0), nearest)
        return np.where(np.isfinite(nearest), value, np.nan)
