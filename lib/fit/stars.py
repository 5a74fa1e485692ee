"""Stars of a solved model: their means, which of them vary, and what is left of each measurement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lib.fit import kernels
from lib.fit.model import Floats, Model, Partition
from lib.fit.results import Stars

VARIABLE, HELD_OUT = 1, 2
"""Values of `Partition.set_aside`."""

VARIABLE_DOF = 3
"""Degrees of freedom below which a star's chi2 does not make it variable."""

MANY_REJECTED = 0.2
"""Of a star's measurements, at least two: more than a star loses by chance."""


def set_variables_aside(model: Model, p: Floats, limit: float) -> int:
    """Leave out stars that scatter more than the average star does; returns how many.

    Those with many rejected measurements count too: rejection may have left only what happens to agree.
    Chi2 is turned into a Gaussian deviate by Wilson & Hilferty 1931 (PNAS 17, 684), after division by the
    median star's if that is above 1: errors that are all too small make no star variable.
    """
    kept = [(part, *_means(part, p)) for part in model.partitions()]
    dof = np.concatenate([used - 1.0 for *_, used in kept])
    chi2 = np.concatenate([chi2 for *_, chi2, _ in kept])
    rejected = np.concatenate([np.diff(part.first) for part, *_ in kept]) - dof - 1
    many = dof >= VARIABLE_DOF
    if not many.any():
        return 0
    scale = max(1.0, float(np.median(chi2[many] / (dof[many] * (1 - 2 / (9 * dof[many])) ** 3))))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = 2 / (9 * dof)
        deviate = (np.cbrt(chi2 / dof / scale) - (1 - spread)) / np.sqrt(spread)
    variable, at = many & (deviate > limit), 0
    variable |= (rejected >= 2) & (rejected > MANY_REJECTED * (rejected + dof + 1))
    for part, *_ in kept:
        here = variable[at : at + part.n_star] & (part.set_aside == 0)
        part.set_aside[here] = VARIABLE
        part.kept[np.repeat(here, np.diff(part.first))] = 0
        at += part.n_star
    return sum(int((part.set_aside == VARIABLE).sum()) for part, *_ in kept)


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


def collect(model: Model, p: Floats, label: NDArray[np.int32]) -> Stars:
    """All stars; means of those set aside are over all of their measurements."""
    columns: dict[str, list[NDArray]] = {name: [] for name in Stars.__slots__}
    for part in model.partitions():
        aside = part.set_aside > 0
        part = replace(part, kept=part.kept | np.repeat(aside, np.diff(part.first)))
        mean, total, chi2, used = _means(part, p)
        with np.errstate(divide="ignore"):
            sigma = np.where(total > 0, 1 / np.sqrt(total), np.nan)
        one = {
            "star_id": part.star_id, "mag": part.reference + mean, "sigma": sigma, "count": used,
            "rejected": (np.diff(part.first) - used).astype(np.int32), "chi2": chi2,
            "variable": part.set_aside == VARIABLE, "held_out": part.set_aside == HELD_OUT,
            "component": label[part.index[part.first[:-1], 0]],
        }  # fmt: skip
        for name, column in one.items():
            columns[name].append(column)
    return Stars(**{name: np.concatenate(parts) for name, parts in columns.items()})
