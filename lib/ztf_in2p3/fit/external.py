"""Magnitudes of stars from another catalogue, found by identifier or by place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ztf_in2p3.directions import unit_vectors
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.model import Floats
from ztf_in2p3.fit.sources import Source
from ztf_in2p3.fit.table import Anchors
from ztf_in2p3.tables.column import numbers

IDENTIFIERS = ("star_id", "source_id")


class External:
    """A catalogue that somebody else made.

    Parameters
    ----------
    table
        mag (magnitudes), with star_id or source_id, or with ra and dec (degrees); mag_e if it is to hold ours.
    match_arcsec
        Distance within which a star without identifier is the same, if there is one.

    Raises `BadData` where columns are missing.
    """

    def __init__(self, table: pa.Table, match_arcsec: float) -> None:
        names = table.column_names
        self.identifier = next((name for name in IDENTIFIERS if name in names), None)
        if "mag" not in names or not (self.identifier or {"ra", "dec"} <= set(names)):
            raise BadData(
                f"external catalogue has the columns {', '.join(names)}; it needs mag and "
                "star_id, mag and source_id, or mag, ra and dec: rename them"
            )
        self._mag = numbers(table, "mag")
        self._sigma = numbers(table, "mag_e") if "mag_e" in names else None
        if self.identifier:
            ids = np.asarray(table[self.identifier].fill_null(-1).to_numpy(), np.int64)
            self._order = np.argsort(ids, kind="stable")
            self._ids = ids[self._order]
        else:
            self._tree = KDTree(unit_vectors(numbers(table, "ra"), numbers(table, "dec")))
            self._chord = 2 * np.sin(np.deg2rad(match_arcsec / 3600) / 2)

    def magnitudes(self, star_id: NDArray, ra: Floats, dec: Floats) -> Floats:
        """(star,): NaN for stars that it does not have."""
        if len(self._mag) == 0:
            return np.full(len(star_id), np.nan)
        if self.identifier:
            at = np.minimum(np.searchsorted(self._ids, star_id), len(self._ids) - 1)
            return np.where(self._ids[at] == star_id, self._mag[self._order[at]], np.nan)
        row = self._found(ra, dec)
        return np.where(row >= 0, self._mag[row], np.nan)

    def anchors(self, source: Source | None = None) -> Anchors:
        """The catalogue as anchors of a fit.

        Parameters
        ----------
        source
            The measurements, whose stars are found by place if the catalogue does not tell identifiers.

        Raises `BadData` where there are no errors, or neither identifiers nor places.
        """
        if self._sigma is None:
            raise BadData("an external catalogue that holds star magnitudes needs their errors: add a column mag_e")
        if self.identifier:
            return Anchors(self._ids, self._mag[self._order], self._sigma[self._order])
        if source is None or not {"ra", "dec"} <= set(source.column_names):
            raise BadData(
                "stars of an external catalogue without star_id or source_id are found by place, and the measurements "
                "have no ra and dec: add the identifiers to the catalogue"
            )
        star_id, at = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for columns, _ in source.stars(["star_id", "ra", "dec"]):
            stars, first = np.unique(columns["star_id"], return_index=True)
            row = self._found(columns["ra"][first], columns["dec"][first])
            known = (row >= 0) & (stars >= 0)
            star_id.append(stars[known])
            at.append(row[known])
        rows = np.concatenate(at)
        if len(rows) == 0:
            raise BadData("no star of the external catalogue is where one of the measurements is: compare their places")
        return Anchors(np.concatenate(star_id), self._mag[rows], self._sigma[rows])

    def _found(self, ra: Floats, dec: Floats) -> NDArray[np.int64]:
        """(star,): row of the catalogue that is the same star; -1 if there is none."""
        row = np.full(len(ra), -1)
        known = np.isfinite(ra) & np.isfinite(dec)
        distance, at = self._tree.query(unit_vectors(ra[known], dec[known]), distance_upper_bound=self._chord)
        row[known] = np.where(np.isfinite(distance), at, -1)
        return row
