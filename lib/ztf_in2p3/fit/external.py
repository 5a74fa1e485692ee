"""Magnitudes of stars from another catalogue, found by identifier or by place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.model import Floats
from ztf_in2p3.fit.table import Anchors

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
        self._mag = _floats(table, "mag")
        self._sigma = _floats(table, "mag_e") if "mag_e" in names else None
        if self.identifier:
            ids = np.asarray(table[self.identifier].fill_null(-1).to_numpy(), np.int64)
            self._order = np.argsort(ids, kind="stable")
            self._ids = ids[self._order]
        else:
            self._tree = KDTree(_directions(_floats(table, "ra"), _floats(table, "dec")))
            self._chord = 2 * np.sin(np.deg2rad(match_arcsec / 3600) / 2)

    def magnitudes(self, star_id: NDArray, ra: Floats, dec: Floats) -> Floats:
        """(star,): NaN for stars that it does not have."""
        if len(self._mag) == 0:
            return np.full(len(star_id), np.nan)
        if self.identifier:
            at = np.minimum(np.searchsorted(self._ids, star_id), len(self._ids) - 1)
            return np.where(self._ids[at] == star_id, self._mag[self._order[at]], np.nan)
        magnitudes = np.full(len(star_id), np.nan)
        known = np.isfinite(ra) & np.isfinite(dec)
        distance, at = self._tree.query(_directions(ra[known], dec[known]), distance_upper_bound=self._chord)
        magnitudes[known] = np.where(np.isfinite(distance), np.append(self._mag, np.nan)[at], np.nan)
        return magnitudes

    def anchors(self) -> Anchors:
        """The catalogue as anchors of a fit; `BadData` if it does not tell identifiers and errors."""
        if self.identifier is None or self._sigma is None:
            raise BadData("an external catalogue that holds star magnitudes needs the columns star_id, mag and mag_e")
        return Anchors(self._ids, self._mag[self._order], self._sigma[self._order])


def _directions(ra: Floats, dec: Floats) -> NDArray[np.float64]:
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    return np.column_stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), float)
