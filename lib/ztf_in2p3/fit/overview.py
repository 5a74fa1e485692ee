"""What measurements are about, learned in one passage through a source: exposures, quadrants, airmasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.model import Floats
from ztf_in2p3.fit.sources import Source, as_array

SAME_AIRMASS = 1e-5
"""Scatter of the airmass within exposures below which it is one number an exposure."""


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """What occurs in a source."""

    exposures: NDArray
    """Sorted."""
    mjd: Floats
    """Modified Julian date of each exposure, (exposure,); NaN where the source does not tell."""
    quadrants: NDArray[np.bool_]
    """(exposure, rcid): which have measurements."""
    colour_centre: float
    """Mean colour of the measurements, magnitudes; 0 without colours."""
    nights: Floats
    """Modified Julian dates: a night at Palomar never crosses midnight UT."""
    airmass: Floats
    """Mean over the measurements of each exposure, (exposure,); NaN where the source does not tell."""
    one_airmass: bool
    """All measurements of an exposure have the same airmass."""


def require_rows(source: Source) -> None:
    """Raise `BadData` where a table has none."""
    if source.n_row == 0:
        raise BadData("the table of measurements is empty; look at what its cuts took away")


def overview(source: Source, n_quadrant: int) -> Overview:
    """One pass over the columns exposure, rcid, mjd, colour and airmass, as far as there are any."""
    require_rows(source)
    names = [name for name in ("exposure", "rcid", "mjd", "colour", "airmass") if name in source.column_names]
    exposures = _Exposures(n_quadrant)
    total, n, nights = 0.0, 0, np.zeros(0)
    for batch in source.batches(names):
        if "mjd" in names:
            night = np.floor(as_array(batch["mjd"]).astype(float))
            nights = _with(nights, night[np.isfinite(night)])
        if "colour" in names:
            colour = as_array(batch["colour"])
            colour = colour[np.isfinite(colour)]
            total, n = total + float(np.sum(colour, dtype=float)), n + len(colour)
        if batch["exposure"].null_count:
            batch = batch.filter(batch["exposure"].is_valid())
        at = exposures.number(as_array(batch["exposure"]))
        if "mjd" in names:
            np.fmin.at(exposures.mjd, at, as_array(batch["mjd"]).astype(float))
        if "airmass" in names:
            exposures.add_airmass(at, as_array(batch["airmass"]).astype(float))
        if "rcid" in names:
            rcid = as_array(batch["rcid"])
            on = (rcid >= 0) & (rcid < n_quadrant)
            exposures.quadrants[at[on], rcid[on]] = True
    centre = total / n if n else 0.0
    return Overview(
        exposures.exposures,
        exposures.mjd,
        exposures.quadrants,
        centre,
        nights,
        exposures.airmass,
        exposures.one_airmass,
    )


class _Exposures:
    """Exposures met so far, ascending, and what is known of each."""

    def __init__(self, n_quadrant: int) -> None:
        self.exposures: NDArray = np.zeros(0, np.int64)
        self.mjd, self.quadrants = np.zeros(0), np.zeros((0, n_quadrant), bool)
        self._airmass = np.zeros((0, 3))

    def number(self, exposure: NDArray) -> NDArray[np.int64]:
        """(row,): which exposure it is, new ones among them."""
        known = _with(self.exposures, exposure)
        if len(known) != len(self.exposures):
            mjd, quadrants = np.full(len(known), np.nan), np.zeros((len(known), self.quadrants.shape[1]), bool)
            before = np.searchsorted(known, self.exposures)
            airmass = np.zeros((len(known), 3))
            mjd[before], quadrants[before], airmass[before] = self.mjd, self.quadrants, self._airmass
            self._airmass = airmass
            self.exposures, self.mjd, self.quadrants = known, mjd, quadrants
        return np.searchsorted(known, exposure)

    def add_airmass(self, exposure: NDArray[np.int64], airmass: Floats) -> None:
        """Count measurements and their airmass."""
        good = np.isfinite(airmass)
        for column, weight in enumerate((airmass[good], None, airmass[good] ** 2)):
            self._airmass[:, column] += np.bincount(exposure[good], weight, len(self._airmass))

    @property
    def airmass(self) -> Floats:
        """Mean of each exposure; NaN where there is none."""
        total, n, _ = self._airmass.T
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)

    @property
    def one_airmass(self) -> bool:
        """Whether the airmasses of an exposure differ by no more than their rounding."""
        total, n, square = self._airmass.T
        spread = np.sum(square - total**2 / np.maximum(n, 1)) / max(n.sum(), 1.0)
        return bool(n.sum() > 0 and spread < SAME_AIRMASS**2)


def _with(known: NDArray, values: NDArray) -> NDArray:
    """What is known, ascending, and what else occurs among the values; sorted only where there is something new."""
    if len(known) == 0:
        return np.unique(values)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known if np.array_equal(known[at], values) else np.union1d(known, values)
