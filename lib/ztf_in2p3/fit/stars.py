"""Stars of a solved model: their means, which of them vary, and what is left of each measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.fit import kernels
from ztf_in2p3.fit.model import Floats, Model, Partition, Parts, changing
from ztf_in2p3.tables import Column, schema_of


@dataclass(frozen=True, slots=True, eq=False)
class FittedStars:
    """Mean magnitudes; arrays of one length."""

    star_id: NDArray
    mag: Floats
    sigma: Floats
    """Error from the star's own measurements and the covariance of the other parameters, in the gauge of the fit."""
    count: NDArray[np.int32]
    """Measurements used."""
    rejected: NDArray[np.int32]
    chi2: Floats
    contested: NDArray[np.bool_]
    """Stars with as many rejected measurements as used ones, or more: the star does not tell which are wrong."""
    variable: NDArray[np.bool_]
    """Scatters too much to be constant; left out of the fit as a whole."""
    held_out: NDArray[np.bool_]
    component: NDArray[np.int32]
    """Connected part of the sky; -1 if the star connects nothing."""

    def to_table(self) -> pa.Table:
        """Table with units, in the order of the fit: ascending star_id."""
        columns = {column.name: getattr(self, column.name) for column in STAR_COLUMNS}
        return pa.table(columns, schema=schema_of(STAR_COLUMNS))


STAR_COLUMNS = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("mag", pa.float64(), "mag", "mean magnitude, in the gauge of the fit"),
    Column("sigma", pa.float64(), "mag", "its standard deviation, in the gauge of the fit"),
    Column("count", pa.int32(), "", "measurements used"),
    Column("rejected", pa.int32(), "", "measurements rejected"),
    Column("chi2", pa.float64(), "", "of the measurements used"),
    Column("contested", pa.bool_(), "", "as many measurements rejected as used, or more: which are wrong is not known"),
    Column("variable", pa.bool_(), "", "scatters too much to be constant"),
    Column("held_out", pa.bool_(), "", "took no part in the fit, to measure its repeatability"),
    Column("component", pa.int32(), "", "connected part of the sky"),
)


@dataclass(frozen=True, slots=True)
class FitQuality:
    """How well the measurements of the stars in the fit agree."""

    chi2: float
    dof: int
    rows: int
    """Used, rejected ones not included."""
    variables: int
    """Stars left out because they vary."""


VARIABLE, HELD_OUT = 1, 2
"""Values of `Partition.set_aside`."""

VARIABLE_DOF = 3
"""Degrees of freedom below which a star's chi2 does not make it variable."""

MANY_REJECTED = 0.2
"""Fraction of a star's measurements, at least two: more than a star loses by chance."""


def set_variables_aside(model: Model, p: Floats, limit: float) -> int:
    """Leave out stars that scatter more than the average star does; returns how many.  `p`: (parameter,).

    Those with many rejected measurements count too: rejection may have left only what happens to agree.
    Chi2 is turned into a Gaussian deviate by Wilson & Hilferty 1931 (PNAS 17, 684), after division by the
    median star's if that is above 1: errors that are all too small make no star variable.
    """
    counts = np.cumsum(model.total(_spread_counts, p))
    if counts[-1] == 0:
        return 0
    scale = max(1.0, float(np.exp((np.searchsorted(counts, counts[-1] / 2) - MIDDLE) / STEPS)))
    return sum(model.each(_set_aside, p, limit, scale))


STEPS = 2000
"""Steps in a logarithm of base e: the median is told to a two-thousandth."""

MIDDLE = 10 * STEPS
"""Step of a chi2 as expected; further off than exp(10) is not told apart."""


def _spread_counts(parts: Parts, p: Floats) -> NDArray[np.int64]:
    """Stars by chi2, over the median that their degrees of freedom let expect."""
    counts = np.zeros(2 * MIDDLE + 1, np.int64)
    for part in parts:
        _, _, chi2, used = _means(part, p)
        many = used - 1.0 >= VARIABLE_DOF
        dof = used[many] - 1.0
        ratio = np.maximum(chi2[many], np.finfo(float).tiny) / (dof * (1 - 2 / (9 * dof)) ** 3)  # rounding: below 0
        step = np.round(STEPS * np.log(ratio))
        counts += np.bincount((np.clip(step, -MIDDLE, MIDDLE) + MIDDLE).astype(int), minlength=len(counts))
    return counts


def _set_aside(parts: Parts, p: Floats, limit: float, scale: float) -> int:
    n = 0
    for part in changing(parts):
        _, _, chi2, used = _means(part, p)
        dof, n_row = used - 1.0, np.diff(part.first)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = 2 / (9 * dof)
            deviate = (np.cbrt(chi2 / dof / scale) - (1 - spread)) / np.sqrt(spread)
        variable = (dof >= VARIABLE_DOF) & (deviate > limit)
        variable |= (n_row - used >= 2) & (n_row - used > MANY_REJECTED * n_row)
        variable &= part.set_aside == 0
        part.set_aside[variable] = VARIABLE
        part.kept[np.repeat(variable, n_row)] = 0
        n += int((part.set_aside == VARIABLE).sum())
    return n


def _means(part: Partition, p: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.int32]]:
    """Mean over the reference, weight, chi2 and rows used of each star."""
    mean, total, chi2 = (np.empty(part.n_star) for _ in range(3))
    used = np.empty(part.n_star, np.int32)
    kernels.star_means(part.rows, part.anchor, part.anchor_mag, part.y, p, mean, total, chi2, used)
    return mean, total, chi2, used


def residuals(part: Partition, p: Floats) -> NDArray[np.float32]:
    """(row,): measured minus fitted, magnitudes; rejected rows included."""
    out = np.empty(len(part.y), np.float32)
    kernels.residuals(part.rows, part.y, p, _means(part, p)[0], out)
    return out


def star_parts(
    model: Model, p: Floats, label: NDArray[np.int32], family: int = 0, draws: NDArray | None = None
) -> Iterator[FittedStars]:
    """All stars, a partition at a time; means of those set aside are over all of their measurements.

    Parameters
    ----------
    label
        (parameter,): connected part; a star is in that of its measurements' parameter of the numbered family.
    draws
        (parameter, draw): of the parameters' covariance, for what they add to the stars' errors; None: nothing.
    """
    for stars in model.each(_stars, p, label, family, draws):
        yield from stars


def _stars(
    parts: Parts, p: Floats, label: NDArray[np.int32], family: int, draws: NDArray | None
) -> Iterator[FittedStars]:
    for part in parts:
        aside = part.set_aside > 0
        part = replace(part, kept=part.kept | np.repeat(aside, np.diff(part.first)))
        mean, total, chi2, used = _means(part, p)
        with np.errstate(divide="ignore"):
            contested = (np.diff(part.first) - used >= used) & (used > 0)
            added = _added(part, draws, total) + _hidden(part, p, mean, total, contested)
            sigma = np.where(total > 0, np.sqrt(1 / total + added), np.nan)
        yield FittedStars(
            star_id=part.star_id,
            mag=part.reference + mean,
            sigma=sigma,
            count=used,
            rejected=(np.diff(part.first) - used).astype(np.int32),
            chi2=chi2,
            contested=contested,
            variable=part.set_aside == VARIABLE,
            held_out=part.set_aside == HELD_OUT,
            component=label[part.index[part.first[:-1], family]],
        )


def _added(part: Partition, draws: NDArray | None, total: Floats) -> Floats:
    """(star,): variance that the other parameters add to the stars' means."""
    if draws is None or draws.shape[1] == 0:
        return np.zeros(part.n_star)
    n_unit = part.index.shape[1] - part.value.shape[1]
    shift = draws[part.index[:, 0]].astype(float) if n_unit else np.zeros((len(part.y), draws.shape[1]))
    for column in range(min(1, n_unit), part.index.shape[1]):
        value = part.value[:, column - n_unit, np.newaxis] if column >= n_unit else 1.0
        shift += value * draws[part.index[:, column]]
    shift *= (part.weight * part.kept)[:, np.newaxis]
    means = np.add.reduceat(shift, part.first[:-1]) / np.where(total > 0, total, 1)[:, np.newaxis]
    return np.asarray(np.mean(means**2, axis=1))


def _hidden(part: Partition, p: Floats, mean: Floats, total: Floats, contested: NDArray[np.bool_]) -> Floats:
    """(star,): variance of contested stars: by one chance in two it is the rejected measurements that are right."""
    out = np.empty(len(part.y), np.float32)
    kernels.residuals(part.rows, part.y, p, mean, out)
    square = np.where(part.kept > 0, 0.0, np.nan_to_num(out.astype(float)) ** 2)
    rejected = np.maximum(np.add.reduceat((part.kept == 0).astype(float), part.first[:-1]), 1)
    return np.where(contested, np.add.reduceat(square, part.first[:-1]) / rejected / 2, 0.0)


def join(parts: Iterable[FittedStars]) -> FittedStars:
    """Stars of several partitions as one."""
    chunks = list(parts)
    return FittedStars(
        **{name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in FittedStars.__slots__}
    )


def rejected_parts(model: Model) -> Iterator[NDArray[np.int64]]:
    """Rows of the input whose measurement was rejected, those of variable stars not among them."""
    for rows in model.each(_rejected):
        yield from rows


def _rejected(parts: Parts) -> Iterator[NDArray[np.int64]]:
    for part in parts:
        out = (part.kept == 0) & (np.repeat(part.set_aside, np.diff(part.first)) == 0)
        yield part.origin_of(np.flatnonzero(out))


def quality(model: Model, p: Floats, free: int) -> FitQuality:
    """Goodness of fit of a solution with so many free parameters besides the stars.  `p`: (parameter,)."""
    chi2, n_used, n_fitted, n_variable = model.total(_sums, p)
    return FitQuality(float(chi2), int(n_used - n_fitted) - free, int(n_used), int(n_variable))


def _sums(parts: Parts, p: Floats) -> Floats:
    sums = np.zeros(4)
    for part in parts:
        _, _, chi2, used = _means(part, p)
        sums += [chi2[used > 0].sum(), used.sum(), (used > 0).sum(), (part.set_aside == VARIABLE).sum()]
    return sums
