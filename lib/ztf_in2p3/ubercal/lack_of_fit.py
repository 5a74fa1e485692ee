"""What a model of zero points lacks, as the residuals tell: steps of quadrants in time, slopes over CCDs.

A quadrant that changed once shows in the difference of its zero points from those of its exposures, before and after; a
colour term that was not fitted, in a slope of the residuals of its CCD.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.model import Floats, Partition
from ztf_in2p3.fit.sources import Columns, Source
from ztf_in2p3.fit.stars import residuals
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.ubercal.beside import beside
from ztf_in2p3.ubercal.model import Ubercal

AGAINST = ("colour", "magnitude", "airmass")
SURE = 6.0
"""Standard deviations from which a step or slope is named: of thousands tried, none is by chance."""

SMALLEST = 0.002
"""Magnitudes, per magnitude or per airmass, below which nothing is named."""

SIDE = 5
"""Exposures before and after a step, at least."""


@dataclass(frozen=True, slots=True)
class Step:
    """A quadrant whose zero points differ before and after a date from those of its exposures."""

    rcid: int
    mjd: float
    size: float
    sigma: float
    """Magnitudes."""

    def __str__(self) -> str:
        return f"rcid {self.rcid} by {1e3 * self.size:+.1f} +- {1e3 * self.sigma:.1f} mmag at mjd {self.mjd:.2f}"


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """Slope of the residuals of each CCD; arrays of one length."""

    against: str
    ccd: NDArray[np.int64]
    slope: Floats
    sigma: Floats
    """Magnitudes per unit of what it is against."""

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Which of them are no noise."""
        with np.errstate(invalid="ignore"):
            return (np.abs(self.slope) > SURE * self.sigma) & (np.abs(self.slope) > SMALLEST)


@dataclass(frozen=True, slots=True, eq=False)
class LackOfFit:
    """What stands out of the residuals of a survey."""

    steps: tuple[Step, ...]
    """The largest first."""
    slopes: tuple[Slopes, ...]
    """One of each kind that the measurements let be tried."""

    @property
    def epochs(self) -> tuple[float, ...]:
        """Dates (mjd) to be given as `UbercalRecipe.epochs`: those of the steps, near ones once."""
        dates: list[float] = []
        for step in self.steps:
            if all(abs(step.mjd - date) > 1 for date in dates):
                dates.append(round(step.mjd, 3))
        return tuple(sorted(dates))

    def __str__(self) -> str:
        parts = [f"{len(self.steps)} steps, {self.steps[0]}"] if self.steps else []
        for slopes in self.slopes:
            if slopes.significant.any():
                worst = int(np.nanargmax(np.where(slopes.significant, np.abs(slopes.slope), np.nan)))
                parts.append(
                    f"{int(slopes.significant.sum())} CCDs with {slopes.against}, CCD {slopes.ccd[worst]} by "
                    f"{1e3 * slopes.slope[worst]:+.1f} +- {1e3 * slopes.sigma[worst]:.1f} mmag"
                )
        return "; ".join(parts) or "none"


def lack_of_fit(solved: Ubercal, source: Source) -> LackOfFit:
    """Steps and slopes; `source` is what was fitted."""
    columns = [name for name in ("colour", "airmass") if name in source.column_names]
    zero = solved.zero_points
    code, n_ccd = zero.exposure * 256 + zero.rcid, 16
    sums = np.zeros((2, len(code)))
    slopes = np.zeros((len(AGAINST), 4, n_ccd))
    for part, beside_it in beside(solved.fit.model, source, ["exposure", "rcid", *columns]):
        used, left = _used(part, solved.fit.vector)
        at = np.minimum(np.searchsorted(code, beside_it["exposure"] * 256 + beside_it["rcid"]), len(code) - 1)
        sums += [np.bincount(at, part.weight * used * value, len(code)) for value in (np.ones(len(left)), left)]
        ccd = beside_it["rcid"].astype(np.int64) // 4
        for number, value in _variables(part, beside_it):
            slopes[number] += _moments(part.weight.astype(float) * used, value, left, ccd, n_ccd)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = sums[1] / sums[0]
    variables = []
    for number, name in enumerate(AGAINST):
        if slopes[number, 0].any():
            variables.append(_slopes(name, slopes[number]))
    return LackOfFit(_steps(solved, off, sums[0]), tuple(variables))


def _used(part: Partition, p: Floats) -> tuple[NDArray[np.bool_], Floats]:
    left = residuals(part, p).astype(float)
    used = (part.kept > 0) & np.repeat(part.set_aside == 0, np.diff(part.first)) & np.isfinite(left)
    return used, np.where(used, left, 0.0)


def _variables(part: Partition, columns: Columns) -> Iterator[tuple[int, Floats]]:
    yield 1, part.reference[part.star_of_rows()]
    for number, name in ((0, "colour"), (2, "airmass")):
        if name in columns:
            yield number, columns[name].astype(float)


def _moments(weight: Floats, value: Floats, left: Floats, ccd: NDArray[np.int64], n: int) -> Floats:
    good = np.isfinite(value)
    w, x, r = weight * good, np.where(good, value, 0.0), left
    return np.array([np.bincount(ccd, m, n) for m in (w, w * x, w * x * x, w * x * r)])


def _slopes(name: str, moments: Floats) -> Slopes:
    """Residuals have no mean of their own in a CCD, to speak of."""
    total, first, second, product = moments
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = second - first**2 / total
        slope, sigma = product / spread, 1 / np.sqrt(spread)
    return Slopes(name, np.arange(1, len(total) + 1), slope, sigma)


def _steps(solved: Ubercal, off: Floats, weight: Floats) -> tuple[Step, ...]:
    """The most significant step of each quadrant in the part of its zero points that no common term holds."""
    zero, fit = solved.zero_points, solved.fit
    offset = off + (
        fit["residual"].value if "residual" in fit.parameters else _over_exposures(zero.value, zero.exposure)
    )
    mjd = solved.known.mjd[np.searchsorted(solved.known.exposures, zero.exposure)]
    good = np.isfinite(offset) & (weight > 0) & np.isfinite(mjd) & (zero.component >= 0)
    steps = []
    for rcid in np.unique(zero.rcid[good]):
        rows = np.flatnonzero(good & (zero.rcid == rcid))
        rows = rows[np.argsort(mjd[rows], kind="stable")]
        step = _largest_step(int(rcid), mjd[rows], offset[rows])
        if step and abs(step.size) > max(SURE * step.sigma, SMALLEST):
            steps.append(step)
    return tuple(sorted(steps, key=lambda step: -abs(step.size)))


def _over_exposures(value: Floats, exposure: NDArray) -> Floats:
    names, at = np.unique(exposure, return_inverse=True)
    known = np.isfinite(value)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(at[known], value[known], len(names)) / np.bincount(at[known], minlength=len(names))
    return np.asarray(value - mean[at])


def _largest_step(rcid: int, mjd: Floats, offset: Floats) -> Step | None:
    """Means before and after each date, by the scatter of neighbours, which a single step leaves as it is."""
    n = len(offset)
    if n < 2 * SIDE:
        return None
    scatter = robust_sigma(np.diff(offset), 0.0) / np.sqrt(2)
    before = np.cumsum(offset)[SIDE - 1 : n - SIDE]
    count = np.arange(SIDE, n - SIDE + 1)
    size = (offset.sum() - before) / (n - count) - before / count
    sigma = scatter * np.sqrt(1 / count + 1 / (n - count))
    best = int(np.argmax(np.abs(size) / np.maximum(sigma, 1e-12)))
    k = int(count[best])
    return Step(rcid, float((mjd[k - 1] + mjd[k]) / 2), float(size[best]), float(sigma[best]))
