"""Errors of measurements as their residuals show them: a polynomial in magnitude, and a factor for each exposure.

Scatter is told from medians, which neither a few outliers nor variable stars move.  Only what is far from the errors
that were claimed is changed: errors that are right stay as they are, to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.model import Floats, Model, Partition, Parts, changing
from ztf_in2p3.fit.normal import Diagonals
from ztf_in2p3.fit.stars import residuals
from ztf_in2p3.robust_statistics import robust_sigma

MEDIAN = 0.4549
"""Median of a squared standard Gaussian deviate."""

NOISE = 5.4
"""Variance of the logarithm of a variance that the median of n squared deviates gives, times n."""

WIDTH, BRIGHTEST, CELLS = 0.25, -40.0, 320
"""Width and first edge, magnitudes, and number of the bins in magnitude."""

STEP, LOWEST, STEPS = 0.1, -16.0, 320
"""Width, first edge and number of the bins in the logarithm of a squared deviate."""

FEW = 50
"""Measurements of a bin in magnitude below which it says nothing; a fifth of it for an exposure."""

FAR, SURE = 0.1, 4.0
"""A logarithm of a variance is changed if it is as far as this from zero, and as many of its standard deviations."""

FREEDOM = 0.2
"""Least part of a measurement's variance that its residual keeps, to be used."""


@dataclass(frozen=True, slots=True, eq=False)
class ErrorModel:
    """Logarithm of the variance of measurements over the claimed one."""

    polynomial: Floats
    """(coefficient,) in (magnitude - middle) / half, which is held within -1 and 1; lowest first."""
    middle: float
    half: float
    """Magnitudes."""
    exposure: Floats
    """(exposure,): added for each; exposures in ascending order."""

    @classmethod
    def unchanged(cls, n_exposure: int) -> ErrorModel:
        """The model of errors that are right."""
        return cls(np.zeros(1), 0.0, 1.0, np.zeros(n_exposure))

    @property
    def is_unchanged(self) -> bool:
        """Whether errors stay as they were claimed."""
        return not (self.polynomial.any() or self.exposure.any())

    def of_magnitudes(self, mag: Floats) -> Floats:
        """Logarithm for stars of these magnitudes, without the exposures'.  (star,) both."""
        at = np.clip((mag - self.middle) / self.half, -1, 1)
        return np.asarray(np.polynomial.polynomial.polyval(at, self.polynomial))

    def of_rows(self, mag: Floats, exposure: NDArray[np.int64]) -> Floats:
        """Logarithm for rows of stars of these magnitudes; exposure numbers, -1 where there are none.  All (row,)."""
        known = self.of_magnitudes(mag)
        return known + np.append(self.exposure, 0.0)[exposure]

    def factors(self, mag: Floats, exposure: NDArray[np.int64]) -> Floats:
        """What errors are multiplied with.  All (row,)."""
        return np.asarray(np.exp(self.of_rows(mag, exposure) / 2))


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """Which exposure a measurement is of, by the zero point that it touches."""

    column: int
    """Family of the zero points; -1: the model has none."""
    number: NDArray[np.int64]
    """(parameter,): exposure; -1 for other parameters."""
    n: int

    @classmethod
    def of_model(cls, model: Model) -> Exposures:
        """Exposures of the parameters, by the labels of the zero points."""
        number = np.full(model.n_param, -1, np.int64)
        names = [family.name for family in model.families]
        if "zero_point" not in names:
            return cls(-1, number, 0)
        labels = np.asarray(model.family("zero_point").labels)
        exposure = labels[:, 0] if labels.ndim == 2 else labels
        known, number[model.span("zero_point")] = np.unique(exposure, return_inverse=True)
        return cls(names.index("zero_point"), number, len(known))

    def of_rows(self, part: Partition) -> NDArray[np.int64]:
        """(row,): number of the exposure; -1 where the model has none."""
        if self.column < 0:
            return np.full(len(part.y), -1)
        return np.asarray(self.number[part.index[:, self.column]])


def estimate(
    model: Model, p: Floats, diag: Diagonals, exposures: Exposures, degree: int, known: ErrorModel
) -> ErrorModel:
    """What the errors, as they are now in the model, are still to be changed by; unchanged if they are right.

    `p`: (parameter,).

    Parameters
    ----------
    degree
        Degree of the polynomial, at most.
    known
        What they were changed by already: its scale of magnitudes is kept.
    """
    nothing = replace(known, polynomial=np.zeros(1), exposure=np.zeros(exposures.n))
    reduced = np.where(diag.determined, diag.reduced, np.inf)  # rounding of nothing has any sign
    change = _polynomial(model.total(_by_magnitude, p, reduced), degree, nothing, rescale=not known.polynomial.any())
    if exposures.n:
        level, noise = _levels(model.total(_by_exposure, p, reduced, exposures, change), FEW // 5)
        change = replace(change, exposure=_shrunken(level, noise))
    return change


def apply(model: Model, change: ErrorModel, exposures: Exposures) -> None:
    """Change the weights of a model's measurements."""
    list(model.each(_reweight, change, exposures))


def combined(first: ErrorModel, second: ErrorModel) -> ErrorModel:
    """Both, one after the other; of one scale of magnitudes, or the first does nothing."""
    polynomial = np.polynomial.polynomial.polyadd(first.polynomial, second.polynomial)
    return replace(second, polynomial=np.atleast_1d(polynomial), exposure=first.exposure + second.exposure)


def magnitudes(part: Partition) -> Floats:
    """(star,): plain mean of all measurements; no parameter changes it."""
    return part.reference + np.add.reduceat(part.y.astype(float), part.first[:-1]) / np.diff(part.first)


def _polynomial(counts: NDArray[np.int64], degree: int, nothing: ErrorModel, *, rescale: bool) -> ErrorModel:
    level, noise = _levels(counts, FEW)
    good = np.isfinite(level)
    if not good.any():
        return nothing
    mag = BRIGHTEST + WIDTH * (np.arange(CELLS) + 0.5)[good]
    middle, half = nothing.middle, nothing.half
    if rescale:
        middle, half = (mag.max() + mag.min()) / 2, max((mag.max() - mag.min()) / 2, WIDTH)
    at = np.clip((mag - middle) / half, -1, 1)
    sigma = np.sqrt(noise[good] + (STEP / 10) ** 2)
    order = min(degree, int(good.sum()) - 1)
    polynomial = np.polynomial.polynomial.polyfit(at, level[good], order, w=1 / sigma)
    fitted = np.polynomial.polynomial.polyval(at, polynomial)
    far = np.abs(fitted) > np.maximum(FAR, SURE * sigma)
    everywhere = abs(np.average(fitted, weights=sigma**-2)) > max(FAR, SURE * np.sum(sigma**-2) ** -0.5)
    if not (far.any() or everywhere):
        return nothing
    return replace(nothing, polynomial=polynomial, middle=float(middle), half=float(half))


def _shrunken(level: Floats, noise: Floats) -> Floats:
    """Logarithms of exposures, drawn to zero by as much as their scatter is noise; those that stand out are not."""
    known = np.isfinite(level)
    out = np.zeros(len(level))
    if known.sum() < 3:
        return out
    common = np.median(level[known])
    off, noise = level[known] - common, noise[known]
    spread = robust_sigma(off, 0.0) ** 2 - np.median(noise)
    sure = spread > SURE * np.median(noise) * np.sqrt(2 / known.sum()) and spread > FAR**2
    shrunken = off * spread / (spread + noise) if sure else np.zeros(len(off))
    stands_out = np.abs(off) > np.maximum(2 * FAR, SURE * np.sqrt(noise + max(spread, 0)))
    out[known] = np.where(stands_out, off, shrunken)
    return out


def _levels(counts: NDArray[np.int64], few: int) -> tuple[Floats, Floats]:
    """Logarithm of the variance of each group and the variance of that, from counts of the deviates (group, step)."""
    n, total = counts.sum(axis=1), np.cumsum(counts, axis=1)
    half = n[:, np.newaxis] / 2
    at = np.minimum(np.sum(total < half, axis=1), STEPS - 1)
    group = np.arange(len(counts))
    within = (half[:, 0] - (total - counts)[group, at]) / np.maximum(counts[group, at], 1)
    level = LOWEST + STEP * (at + within) - np.log(MEDIAN)
    return np.where(n >= few, level, np.nan), NOISE / np.maximum(n, 1)


def _deviates(part: Partition, p: Floats, reduced: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Squared residuals over the part of the variance that they keep, and which of them can be used."""
    w = part.weight.astype(float)
    kept = w * (part.kept > 0)
    star = np.repeat(np.add.reduceat(kept, part.first[:-1]) + part.anchor, np.diff(part.first))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_star = kept / star
        of_parameters = kept * (1 - by_star)
        design = np.ones((len(part.y), part.index.shape[1]))
        design[:, design.shape[1] - part.value.shape[1] :] = part.value
        of_parameters = of_parameters * np.sum(design**2 / reduced[part.index], axis=1)
        freedom = 1 - by_star - of_parameters
        deviate = w * residuals(part, p).astype(float) ** 2 / freedom
    fitted = np.repeat(part.set_aside == 0, np.diff(part.first)) & (w > 0)
    return deviate, fitted & np.isfinite(deviate) & (freedom > FREEDOM)


def _counted(deviate: Floats, group: NDArray[np.int64], n_group: int) -> NDArray[np.int64]:
    step = np.floor((np.log(np.maximum(deviate, 1e-30)) - LOWEST) / STEP).astype(np.int64)
    cell = group * STEPS + np.clip(step, 0, STEPS - 1)
    return np.bincount(cell, minlength=n_group * STEPS).reshape(n_group, STEPS)


def _by_magnitude(parts: Parts, p: Floats, reduced: Floats) -> NDArray[np.int64]:
    """Deviates of the measurements kept, by magnitude (bin, step)."""
    counts = np.zeros((CELLS, STEPS), np.int64)
    for part in parts:
        deviate, good = _deviates(part, p, reduced)
        good &= part.kept > 0
        cell = np.clip(np.floor((magnitudes(part) - BRIGHTEST) / WIDTH), 0, CELLS - 1).astype(np.int64)
        counts += _counted(deviate[good], cell[part.star_of_rows()][good], CELLS)
    return counts


def _by_exposure(
    parts: Parts, p: Floats, reduced: Floats, exposures: Exposures, change: ErrorModel
) -> NDArray[np.int64]:
    """Deviates of all measurements, those rejected too, by exposure (exposure, step)."""
    counts = np.zeros((exposures.n, STEPS), np.int64)
    for part in parts:
        deviate, good = _deviates(part, p, reduced)
        deviate = deviate * np.exp(-change.of_magnitudes(magnitudes(part)))[part.star_of_rows()]
        counts += _counted(deviate[good], exposures.of_rows(part)[good], exposures.n)
    return counts


def _reweight(parts: Parts, change: ErrorModel, exposures: Exposures) -> None:
    for part in changing(parts, "weight"):
        log = change.of_rows(magnitudes(part)[part.star_of_rows()], exposures.of_rows(part))
        part.weight[:] *= np.exp(-log).astype(np.float32)
