"""The normal equations of a model with all stars eliminated, never written out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.fit import kernels
from lib.fit.model import Floats, Model

MAX_DRAWS = 64

MANY = 4
"""Columns from which one pass for all is faster than one for each."""

UNDETERMINED = 1e-7
"""A parameter whose reduced diagonal is this small a part of the full one is seen by no star that is
also seen elsewhere (float32 weights leave 1e-8)."""


@dataclass(frozen=True, slots=True, eq=False)
class Diagonals:
    full: Floats
    """Before the stars are eliminated."""
    reduced: Floats
    """After."""
    count: NDArray[np.int64]
    """Measurements of each parameter."""

    @property
    def determined(self) -> NDArray[np.bool_]:
        return self.reduced > UNDETERMINED * self.full


def apply(model: Model, p: Floats) -> Floats:
    """S p, for one vector or for the columns of a matrix."""
    if p.ndim == 2 and p.shape[1] < MANY:
        return np.column_stack([apply(model, np.ascontiguousarray(column)) for column in p.T])
    out = np.zeros_like(p)
    kernel = kernels.apply if p.ndim == 1 else kernels.apply_many
    for part in model.partitions():
        kernel(part.rows, part.anchor, model.units, model.width, p, out)
    return out + (model.prior_weight if p.ndim == 1 else model.prior_weight[:, None]) * p


def right_side(model: Model) -> Floats:
    out = model.prior_weight * model.prior_mean
    for part in model.partitions():
        kernels.right_side(part.rows, part.anchor, part.anchor_mag, part.y, out)
    return out


def noise_right_sides(model: Model, n_draw: int, seed: int) -> Floats:
    """(parameter, draw): right sides of draws whose covariance is S."""
    if n_draw > MAX_DRAWS:
        raise ValueError(f"{n_draw} draws asked for; one pass makes at most {MAX_DRAWS}")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (model.n_param, n_draw))
    out = np.sqrt(model.prior_weight)[:, None] * signs
    for part in model.partitions():
        bits = part.y.view(np.uint32)
        kernels.noise_right_sides(part.rows, part.anchor, bits, np.uint64(seed), out)
    return out


def diagonals(model: Model) -> Diagonals:
    full, reduced = model.prior_weight.copy(), model.prior_weight.copy()
    count = np.zeros(model.n_param, np.int64)
    for part in model.partitions():
        kernels.diagonals(part.rows, part.anchor, full, reduced, count)
    return Diagonals(full, reduced, count)
