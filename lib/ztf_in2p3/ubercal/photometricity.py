"""Which exposures were taken through a clear sky, as their own stars tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.model import Floats, Model, Parts
from ztf_in2p3.fit.results import Fit
from ztf_in2p3.fit.stars import residuals
from ztf_in2p3.recipes import PhotometricLimits
from ztf_in2p3.robust_statistics import SIGMA_PER_MAD, Mask, finite_median, refit

MANY = 8
"""Exposures that are enough to know their distribution."""

STEADY = 0.004
"""Scatter of zero points on the best of nights, magnitudes: what is within its multiple is no cloud."""

LEVER = 0.2
"""Range of airmass over which a slope with airmass can be distinguished from clouds."""

ROUNDS = 50
"""Most rounds of leaving out clouded exposures; a few are enough."""


@dataclass(frozen=True, slots=True, eq=False)
class Photometricity:
    """One row an exposure."""

    exposure: NDArray
    count: NDArray[np.int64]
    """Measurements of stars in the fit."""
    extinction: Floats
    """Zero point over the clear exposures', the airmass allowed for; magnitudes; positive: stars look fainter."""
    uneven: Floats
    """Scatter over the quadrants, magnitudes."""
    chi2: Floats
    """Per measurement."""
    rejected: Floats
    """Fraction."""
    photometric: NDArray[np.bool_]


def exposure_photometricity(
    model: Model,
    fit: Fit,
    exposures: NDArray,
    at: NDArray[np.int64],
    rcid: NDArray[np.int64],
    value: Floats,
    component: NDArray[np.int32],
    limits: PhotometricLimits,
    airmass: Floats | None = None,
) -> Photometricity:
    """Judge exposures by their zero points and by what their measurements left over.

    Parameters
    ----------
    exposures
        All of the model.
    at, rcid, value, component
        (zero point,): number of its exposure among them, quadrant, magnitudes, connected part of the sky.
    airmass
        (exposure,): that the zero points still hold the extinction of; None: they do not.
    """
    n = len(exposures)
    names = [family.name for family in model.families]
    column = names.index("zero_point")
    zero = model.families[column]
    labels = zero.labels[:, 0] if zero.labels.ndim == 2 else zero.labels
    exposure_of = np.zeros(model.n_param, np.int64)
    exposure_of[model.span("zero_point")] = np.searchsorted(exposures, labels)
    count, kept, square = model.total(_sums, fit.vector, column, exposure_of, n)
    spread = unevenness(at, rcid, value, n)
    level = _levels(at, value, component, n)
    part = np.full(n, -1)
    np.maximum.at(part, at, component)
    clear = np.zeros(n, bool)
    for number in np.unique(part):
        members = part == number
        level[members], clear[members] = cut_clouds(
            level[members], None if airmass is None else airmass[members], limits
        )
    with np.errstate(invalid="ignore"):
        chi2, rejected = square / kept, 1 - kept / count
        good = clear & (spread <= limits.uneven) & (rejected <= limits.rejected)
        good &= chi2 <= limits.chi2 * finite_median(chi2)
    return Photometricity(exposures, count.astype(np.int64), level, spread, chi2, rejected, good)


def cut_clouds(level: Floats, airmass: Floats | None, limits: PhotometricLimits) -> tuple[Floats, NDArray[np.bool_]]:
    """Levels over those of the clear exposures, and which exposures are clear.  All (exposure,).

    What is further from the mean of the clear ones than the recipe's number of their standard deviations is left out,
    until nothing changes; a slope with airmass is taken out along the way.
    """
    known = np.isfinite(level)
    shape = np.ones((len(level), 1))
    sloped = airmass is not None and known.sum() >= 2 * MANY and np.isfinite(airmass[known]).all()
    if airmass is not None and sloped and np.ptp(airmass[known]) > LEVER:
        shape = np.column_stack([shape[:, 0], airmass - 1])

    def fit(clear: Mask, scatter_of: Callable[[Floats], float]) -> tuple[Floats, Mask]:
        determined = clear.sum() > shape.shape[1]
        off = level - shape @ _least_absolute(shape[clear], level[clear]) if determined else level
        off = off - finite_median(off[clear])
        limit = limits.n_sigma * max(scatter_of(off[clear]), STEADY) if known.sum() >= MANY else np.inf
        with np.errstate(invalid="ignore"):
            inside = known & (np.abs(off) <= min(limits.extinction, limit))
        return off, inside if inside.any() else clear

    # The robust scatter finds the clear ones among many clouds, but is uncertain.
    _, likely = refit(lambda clear: fit(clear, _robust_scatter), known, ROUNDS)
    return refit(lambda clear: fit(clear, _scatter), likely, ROUNDS)


def _least_absolute(shape: Floats, level: Floats) -> Floats:
    """Coefficients of the least sum of absolute deviations, by weighting them again and again."""
    weight = np.ones(len(level))
    for _ in range(ROUNDS):
        slope = np.linalg.lstsq(shape * weight[:, np.newaxis], level * weight, rcond=None)[0]
        weight = 1 / np.sqrt(np.maximum(np.abs(level - shape @ slope), STEADY / 10))
    return np.asarray(slope)


def _robust_scatter(off: Floats) -> float:
    return SIGMA_PER_MAD * finite_median(np.abs(off))


def _scatter(off: Floats) -> float:
    return float(np.sqrt(np.mean(off**2)))


def _levels(at: NDArray[np.int64], value: Floats, component: NDArray[np.int32], n: int) -> Floats:
    """Median of each exposure's zero points, once that of each connected part is taken out."""
    level = value.copy()
    for number in np.unique(component):
        level[component == number] -= finite_median(level[component == number])
    return group_medians(at, level, n)


def _sums(parts: Parts, p: Floats, column: int, exposure: NDArray, n: int) -> Floats:
    """Measurements of stars in the fit, those kept of them, and their chi2, by exposure."""
    sums = np.zeros((3, n))
    for part in parts:
        at = exposure[part.index[:, column]]
        fitted = np.repeat(part.set_aside == 0, np.diff(part.first))
        used = fitted & (part.kept > 0)
        square = np.where(used, part.weight * residuals(part, p).astype(float) ** 2, 0)
        sums += [np.bincount(at, weight, n) for weight in (fitted, used, square)]
    return sums


def unevenness(exposure: NDArray, rcid: NDArray, value: Floats, n: int) -> Floats:
    """Robust scatter over the quadrants of each exposure, its own and the quadrants' medians taken out.

    `exposure`, `rcid`, `value`: (zero point,); result: (exposure,).
    """
    left = value - group_medians(exposure, value, n)[exposure]
    left = left - group_medians(rcid, left, int(rcid.max()) + 1)[rcid]
    return SIGMA_PER_MAD * group_medians(exposure, np.abs(left), n)


def group_medians(group: NDArray, value: Floats, n: int) -> Floats:
    """Median of each group; NaN for an empty one.  `group`, `value`: (value,); result: (group,)."""
    out = np.full(n, np.nan)
    known = np.isfinite(value)
    if not known.any():
        return out
    order = np.argsort(group[known], kind="stable")
    groups, first = np.unique(group[known][order], return_index=True)
    for label, values in zip(groups, np.split(value[known][order], first[1:]), strict=True):
        out[label] = np.median(values)
    return out
