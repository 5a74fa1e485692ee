"""The normal equations of a model with all stars eliminated, never written out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit import kernels
from ztf_in2p3.fit.model import Floats, Model, Parts

MAX_DRAWS = 64

MANY = 4
"""Columns from which one pass for all is faster than one for each."""

UNDETERMINED = 1e-7
"""A parameter whose reduced diagonal is this small a part of the full one is seen by no star that is
also seen elsewhere (float32 weights leave 1e-8)."""


@dataclass(frozen=True, slots=True, eq=False)
class Diagonals:
    """Diagonals of the normal equations (parameter,)."""

    full: Floats
    """Diagonal before the stars are eliminated."""
    reduced: Floats
    """Diagonal after the stars are eliminated."""
    count: NDArray[np.int64]
    """Measurements of each parameter."""

    @property
    def determined(self) -> NDArray[np.bool_]:
        """Parameters (parameter,) that the measurements determine once the stars are eliminated."""
        return self.reduced > UNDETERMINED * self.full


def apply(model: Model, p: Floats) -> Floats:
    """S p, for one vector or for the columns of a matrix.  `p`: (parameter,) or (parameter, column)."""
    if p.ndim == 2 and p.shape[1] < MANY:
        return np.column_stack([apply(model, np.ascontiguousarray(column)) for column in p.T])
    stars = model.total(_apply, model.units, model.width, p)
    out = (model.prior_weight if p.ndim == 1 else model.prior_weight[:, None]) * p
    out += stars
    return out


def _apply(parts: Parts, units: tuple[int, ...], width: tuple[int, ...], p: Floats) -> Floats:
    out = np.zeros_like(p)
    kernel = kernels.apply if p.ndim == 1 else kernels.apply_many
    for part in parts:
        kernel(part.rows, part.anchor, units, width, p, out)
    return out


def right_side(model: Model) -> Floats:
    """Right side of the reduced normal equations (parameter,)."""
    return model.prior_weight * model.prior_mean + model.total(_right_side, model.n_param)


def _right_side(parts: Parts, n_param: int) -> Floats:
    out = np.zeros(n_param)
    for part in parts:
        kernels.right_side(part.rows, part.anchor, part.anchor_mag, part.y, out)
    return out


def noise_right_sides(model: Model, n_draw: int, seed: int) -> Floats:
    """(parameter, draw): right sides of draws whose covariance is S."""
    if n_draw > MAX_DRAWS:
        raise ValueError(f"{n_draw} draws asked for; one pass makes at most {MAX_DRAWS}")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (model.n_param, n_draw))
    return np.sqrt(model.prior_weight)[:, None] * signs + model.total(_noise, signs.shape, seed)


def _noise(parts: Parts, shape: tuple[int, int], seed: int) -> Floats:
    out = np.zeros(shape)
    for part in parts:
        kernels.noise_right_sides(part.rows, part.anchor, part.y.view(np.uint32), np.uint64(seed), out)
    return out


def diagonals(model: Model) -> Diagonals:
    """Diagonals of the normal equations, with and without the stars."""
    full, reduced, count = model.total(_diagonals, model.n_param)
    return Diagonals(full + model.prior_weight, reduced + model.prior_weight, count.astype(np.int64))


def _diagonals(parts: Parts, n_param: int) -> Floats:
    full, reduced, count = np.zeros(n_param), np.zeros(n_param), np.zeros(n_param, np.int64)
    for part in parts:
        kernels.diagonals(part.rows, part.anchor, full, reduced, count)
    return np.stack([full, reduced, count])
