"""Which exposures were taken through a clear sky, as their own stars tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.model import Floats, Model, Parts
from ztf_in2p3.fit.results import Fit
from ztf_in2p3.fit.stars import residuals
from ztf_in2p3.recipes import PhotometricLimits


@dataclass(frozen=True, slots=True, eq=False)
class Photometricity:
    """One row an exposure."""

    exposure: NDArray
    count: NDArray[np.int64]
    """Measurements of stars in the fit."""
    extinction: Floats
    """Zero point over the median exposure's, magnitudes; positive: stars look fainter."""
    uneven: Floats
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
) -> Photometricity:
    """Judge exposures by their zero points and by what their measurements left over.

    Parameters
    ----------
    exposures
        All of the model.
    at, rcid, value, component
        (zero point,): number of its exposure among them, quadrant, magnitudes, connected part of the sky.
    """
    n = len(exposures)
    names = [family.name for family in model.families]
    column = names.index("zero_point")
    zero = model.families[column]
    labels = zero.labels[:, 0] if zero.labels.ndim == 2 else zero.labels
    exposure_of = np.zeros(model.n_param, np.int64)
    exposure_of[model.span("zero_point")] = np.searchsorted(exposures, labels)
    count, kept, square = model.total(_sums, fit.vector, column, exposure_of, n)
    spread = _uneven(at, rcid, value, n)
    level = group_medians(at, value, n)
    part = np.full(n, -1)
    np.maximum.at(part, at, component)
    for number in np.unique(part):
        level[part == number] -= _median(level[part == number])
    with np.errstate(invalid="ignore"):
        chi2, rejected = square / kept, 1 - kept / count
        good = (np.abs(level) <= limits.extinction) & (spread <= limits.uneven) & (rejected <= limits.rejected)
        good &= chi2 <= limits.chi2 * _median(chi2)
    return Photometricity(exposures, count.astype(np.int64), level, spread, chi2, rejected, good)


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


def _uneven(exposure: NDArray, rcid: NDArray, value: Floats, n: int) -> Floats:
    """Robust scatter over the quadrants of each exposure, its own and the quadrants' medians taken out."""
    left = value - group_medians(exposure, value, n)[exposure]
    left = left - group_medians(rcid, left, int(rcid.max()) + 1)[rcid]
    return 1.4826 * group_medians(exposure, np.abs(left), n)


def group_medians(group: NDArray, value: Floats, n: int) -> Floats:
    """Median of each group; NaN for an empty one."""
    out = np.full(n, np.nan)
    known = np.isfinite(value)
    if not known.any():
        return out
    order = np.argsort(group[known], kind="stable")
    groups, first = np.unique(group[known][order], return_index=True)
    for label, values in zip(groups, np.split(value[known][order], first[1:]), strict=True):
        out[label] = np.median(values)
    return out


def _median(value: Floats) -> float:
    known = value[np.isfinite(value)]
    return float(np.median(known)) if len(known) else float("nan")
