"""Rows of an imported table as those of a star table: numbered, dated, tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.imported_file import ImportedFile, filters, floats
from ztf_in2p3.catalogue.numbering import DAMAGED, Numbering, PlaceNumbering
from ztf_in2p3.catalogue.star_table import tests_of_any
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import ImportedColumns, StarTableRecipe

MJD_LIMIT = 1e6
"""No date is as far from 1858 as this, in days."""
_DAY_ZERO = date(1858, 11, 17)

Group = tuple[Filter, Period]
"""Measurements that are one star table."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of an imported table are taken."""

    period: Period
    filters: Sequence[Filter]
    """One, where the table does not tell the filter."""
    by_night: bool = False
    """A table for each night instead of one for the period."""
    ccdids: Sequence[int] = tuple(range(1, N_CCD + 1))


class RowReader:
    """Reader of the rows of files in our columns."""

    def __init__(self, columns: ImportedColumns, camera: Camera, recipe: StarTableRecipe, wanted: Wanted) -> None:
        self.columns, self.camera, self.recipe, self.wanted = columns, camera, recipe, wanted
        self.stars, self.exposures = Numbering(), Numbering()
        self.places = PlaceNumbering(columns.match_arcsec) if not columns.star_id else None
        self._nights: list[float] = []

    @property
    def names(self) -> tuple[tuple[str, Numbering], ...]:
        """Columns whose identifiers are numbered, with the numbering."""
        both = (("star_id", self.stars), ("exposure", self.exposures))
        return tuple((name, numbering) for name, numbering in both if not numbering.plain)

    def look_through(self, files: Sequence[ImportedFile]) -> int:
        """Take note of all identifiers before the first is numbered; how many rows there are."""
        n_row = 0
        for file in files:
            for part in file.parts():
                n_row += part.num_rows
                if self.places is not None:
                    self.places.see(floats(part, "ra"), floats(part, "dec"))
                else:
                    self.stars.see(part["star_id"])
                if "exposure" in part.column_names:
                    self.exposures.see(part["exposure"])
        return n_row

    def groups(self, file: ImportedFile, lost: Counter[str]) -> Iterator[tuple[dict[str, NDArray], Group]]:
        """Rows of each filter and night (or all nights) that are wanted; the others are counted."""
        for part in file.parts():
            rows = self._translated(part)
            of_filter = (
                filters(part)
                if "filter" in part.column_names
                else np.full(part.num_rows, str(self.wanted.filters[0]), dtype="U2")
            )
            night = self._night(rows)
            wanted = [str(filter) for filter in self.wanted.filters]
            first, last = (self._mjd(day) for day in (self.wanted.period.first, self.wanted.period.last))
            tests = {
                "unknown filter": of_filter != "",
                "other filter": np.isin(of_filter, wanted),
                "outside the period": np.isnan(night) | ((night >= first) & (night <= last)),
                "no date": np.isfinite(night) if self.wanted.by_night else np.ones(len(night), bool),
            }
            good = np.ones(part.num_rows, bool)
            for reason, passed in tests.items():
                lost[reason] += int((good & ~passed).sum())
                good &= passed
            lost["found"] += int((~good).sum())
            dated = night[np.isfinite(night)]
            self._nights += [float(dated.min()), float(dated.max())] if len(dated) else []
            for name in np.unique(of_filter[good]).tolist():
                in_filter = good & (of_filter == name)
                days = np.unique(night[in_filter]).tolist() if self.wanted.by_night else [np.nan]
                for day in days:
                    at = in_filter & (night == day) if self.wanted.by_night else in_filter
                    yield {key: values[at] for key, values in rows.items()}, (Filter(name), self._period(day))

    def tests(self, rows: dict[str, NDArray]) -> dict[str, NDArray[np.bool_]]:
        """What makes a measurement usable, and passes the recipe's cuts.  Columns and tests are (row,)."""
        exact = {
            "no star id": rows["star_id"] != -1,
            "star id that is a rounded floating-point number": rows["star_id"] != DAMAGED,
            "no exposure": rows["exposure"] >= 0,
            "no such quadrant": (rows["rcid"] >= 0) & (rows["rcid"] < N_CCD * N_QUADRANT),
            "other CCD": np.isin(rows["rcid"] // N_QUADRANT + 1, self.wanted.ccdids),
            "flagged": ~rows["flagged"],
            "mag not finite": np.isfinite(rows["mag"]),
            "mag_e not finite": np.isfinite(rows["mag_e"]),
            "mag_e negative": ~(rows["mag_e"] < 0),
        }
        return exact | tests_of_any(rows, self.recipe)

    def span(self) -> str:
        """What dates the table has, for a message."""
        if not self._nights:
            return "its rows have no dates"
        first, last = (_DAY_ZERO + timedelta(days=bound) for bound in (min(self._nights), max(self._nights)))
        return f"its nights are {first:%Y%m%d} to {last:%Y%m%d}, wanted were {self.wanted.period}"

    def _translated(self, part: pa.Table) -> dict[str, NDArray]:
        columns, n = self.columns, part.num_rows
        if "rcid" in part.column_names:
            rcid = floats(part, "rcid")
        else:
            ccd, qid = floats(part, "ccd"), floats(part, "qid")
            exists = np.isin(ccd, np.arange(1, N_CCD + 1)) & np.isin(qid, np.arange(1, N_QUADRANT + 1))
            rcid = np.where(exists, N_QUADRANT * (ccd - 1) + qid - 1, -1)
        rcid = np.where(np.isin(rcid, np.arange(N_CCD * N_QUADRANT)), rcid, -1).astype(np.int64)
        x, y = floats(part, "x") - columns.first_pixel, floats(part, "y") - columns.first_pixel
        u, v = np.full(n, np.nan), np.full(n, np.nan)
        for quadrant in self.camera.quadrants:
            on = rcid == quadrant.rcid
            u[on], v[on] = self.camera.focal_plane(quadrant, x[on], y[on])
        mjd, ra, dec = floats(part, "mjd"), floats(part, "ra"), floats(part, "dec")
        mjd = np.where(np.abs(mjd) < MJD_LIMIT, mjd, np.nan)
        if "exposure" in part.column_names:
            exposure = self.exposures.number(part["exposure"])
        else:
            exposure = np.rint(mjd * 86400)
            exposure = np.where(np.isfinite(exposure), exposure, -1).astype(np.int64)
        star_id = self.places.number(ra, dec) if self.places is not None else self.stars.number(part["star_id"])
        flags = np.nan_to_num(floats(part, "flags")).astype(np.int64)
        return {
            "star_id": star_id,
            "exposure": exposure,
            "rcid": rcid,
            "x": x,
            "y": y,
            "u": u,
            "v": v,
            "mjd": mjd,
            "airmass": floats(part, "airmass"),
            "colour": floats(part, "colour"),
            "mag": floats(part, "mag"),
            "mag_e": floats(part, "mag_e"),
            "ra": ra,
            "dec": dec,
            "g": floats(part, "g"),
            "flagged": (flags & columns.bad_flags) != 0,
        }

    def _night(self, rows: dict[str, NDArray]) -> NDArray[np.float64]:
        """Modified Julian date of the night; of the exposure's name (YYYYMMDDFFFFFF) where no date is told."""
        night = np.floor(rows["mjd"])
        silent = np.isnan(night) & (rows["exposure"] >= 20170101_000000) & (rows["exposure"] < 21000101_000000)
        names, at = np.unique(rows["exposure"][silent] // 1_000_000, return_inverse=True)
        night[silent] = np.array([_mjd_of_name(int(name)) for name in names], float)[at]
        return night

    def _mjd(self, day: date) -> int:
        return (day - _DAY_ZERO).days

    def _period(self, night: float) -> Period:
        return Period.of(_DAY_ZERO + timedelta(days=night)) if self.wanted.by_night else self.wanted.period


def _mjd_of_name(name: int) -> float:
    try:
        return float((date(name // 10000, name // 100 % 100, name % 100) - _DAY_ZERO).days)
    except ValueError:
        return float("nan")
