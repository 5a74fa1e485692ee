"""The equilibrium function of a pocket, measured on what it releases behind rows of known level.

A row that ends on sky of level S leaves f(S) in the pocket, and the overscan shows how it comes
out: o_j + f(o_j) = f(o_(j-1)), o_0 = S.  The thirty columns end before all is out, and the last
ones, which give the electronic floor, still hold some (0.7 to 0.9 ADU on CCD 6: a sum over a floor taken
from them is 18 % low); so floor and release are fitted together, each profile with its own floor.
One function must explain all levels, those of the sky and those of the overscan itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.optimize import least_squares

from lib.errors import BadData
from lib.sensor.equilibrium import NODES, Equilibrium

CLIP = 5.0
"""Robust standard deviations; profiles further from the fit are left out."""
_ROUNDS = 10
_FIRST_KNOT = 0.1
"""ADU; below, the function goes on as the power that it is there."""
_BEND = 0.1
"""Expected size of the second differences of the spline's coefficients: what no profile shows stays straight."""
_NEWTON = 5


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Mean overscans behind blocks of rows of one amplifier."""

    level: NDArray[np.float64]
    """(block,) what the last pixels of the rows show, linear ADU over offset and bias."""
    kelvin: NDArray[np.float64]
    """(block,) temperature of the CCD."""
    overscan: NDArray[np.float64]
    """(block, column) in readout order, ADU, over any floor that is the same in all columns."""
    error: NDArray[np.float64]
    """(block,) of each column of the profile, ADU."""


@dataclass(frozen=True, slots=True, eq=False)
class PocketFit:
    """ln f = spline(ln level) + slope x (kelvin - reference)."""

    knots: NDArray[np.float64]
    """Of the cubic spline, in ln(level / ADU)."""
    coefficients: NDArray[np.float64]
    """Of the spline, then the slope per kelvin."""
    covariance: NDArray[np.float64]
    reference: float
    """Kelvin."""
    used: NDArray[np.bool_]
    """(block,) whether the profile was used."""
    chi2: float
    """Per degree of freedom of those used."""

    def charge(self, level: NDArray, kelvin: float) -> NDArray[np.float64]:
        """In the pocket behind pixels observed at that level, ADU."""
        return np.exp(self._basis(level, kelvin) @ self.coefficients)

    def relative_error(self, level: NDArray, kelvin: float) -> NDArray[np.float64]:
        """Standard deviation of the charge over the charge."""
        basis = self._basis(level, kelvin)
        return np.sqrt(np.einsum("ij,jk,ik->i", basis, self.covariance, basis))

    def pocket(self, kelvin: float) -> Equilibrium:
        """To undo the effect at a temperature."""
        charge = self.charge(NODES.astype(np.float64), kelvin)
        return Equilibrium(np.maximum.accumulate(charge).astype(np.float32))

    def _basis(self, level: NDArray, kelvin: float) -> NDArray[np.float64]:
        spline = spline_basis(self.knots, np.asarray(level, np.float64))
        return np.column_stack([spline, np.full(len(spline), kelvin - self.reference)])


def fit_equilibrium(profiles: Profiles, *, spans: int = 6) -> PocketFit:
    """Fit the equilibrium function to profiles of many levels and temperatures.

    Profiles whose residual is beyond 5 robust standard deviations are left out until no more are.
    Errors are those of the profiles, enlarged if the fit is worse than they allow.

    Parameters
    ----------
    spans
        Of the spline, evenly in the logarithm from 0.1 ADU to the highest level.

    Raises
    ------
    BadData
        Fewer profiles than parameters.
    """
    n_free = spans + 4
    if len(profiles.level) < n_free:
        raise BadData(
            f"{len(profiles.level)} overscan profiles for {n_free} parameters of a pocket; take more exposures"
        )
    knots = np.linspace(np.log(_FIRST_KNOT), np.log(profiles.level.max()), spans + 1)
    reference = float(np.median(profiles.kelvin))
    nodes = spline_basis(knots, NODES.astype(np.float64))
    # Start: what the overscan shows over its last column, as a power 0.4 of the level.
    shown = np.median((profiles.overscan - profiles.overscan[:, -1:]).sum(axis=1) / profiles.level**0.4)
    centres = np.array([knots[0] + (knots[1] - knots[0]) * (i - 1) for i in range(spans + 3)])
    theta = np.append(np.log(max(shown, 0.1)) + 0.4 * centres, 0.0)
    used = np.ones(len(profiles.level), bool)
    for _ in range(_ROUNDS):
        found = least_squares(_residuals, theta, args=(profiles, used, nodes, reference), diff_step=1e-5, x_scale="jac")
        theta = found.x
        every = _residuals(theta, profiles, np.ones_like(used), nodes, reference)[: profiles.overscan.size]
        every = every.reshape(profiles.overscan.shape)
        size = np.sqrt(np.mean(every**2, axis=1))
        middle = np.median(size[used])
        keep = size <= middle + CLIP * 1.4826 * np.median(np.abs(size[used] - middle))
        if np.array_equal(keep, used) or keep.sum() < n_free:
            break
        used = keep
    freedom = max(used.sum() * (profiles.overscan.shape[1] - 1) - len(theta), 1)
    chi2 = float(2 * found.cost / freedom)
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * max(chi2, 1.0)
    return PocketFit(knots, theta, covariance, reference, used, chi2)


def block_profiles(
    ends: NDArray, overscan: NDArray, kelvin: float, read_noise: float, *, rows: int = 128, last: int = 8
) -> Profiles:
    """Profiles of blocks of rows of one exposure, without rows that end on a bright source.

    Parameters
    ----------
    ends : (row, column), linear ADU over offset and bias
        Last columns of the image in readout order.
    overscan : (row, column), ADU over the offset
        In readout order.
    read_noise
        ADU.
    rows
        Of a block.
    last
        Columns before the end that a source must not touch: the pocket forgets what was earlier.
    """
    level, error, mean = [], [], []
    for start in range(0, len(ends), rows):
        block, behind = ends[start : start + rows], overscan[start : start + rows]
        sky = float(np.nanmedian(block))
        noise = 1.4826 * float(np.nanmedian(np.abs(block - sky)))
        quiet = (np.abs(block[:, -last:] - sky) <= CLIP * max(noise, read_noise)).all(axis=1)
        quiet &= np.isfinite(behind).all(axis=1)
        if quiet.sum() < rows // 4 or not sky > 0:
            continue
        level.append(float(block[quiet, -last:].mean()))
        mean.append(behind[quiet].mean(axis=0))
        error.append(read_noise / np.sqrt(quiet.sum()))
    n_column = overscan.shape[1]
    return Profiles(
        np.array(level), np.full(len(level), float(kelvin)), np.array(mean).reshape(-1, n_column), np.array(error)
    )


def spline_basis(knots: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-splines of ln(level), straight beyond the ends: (level, spans + 3)."""
    step = knots[1] - knots[0]
    full = np.concatenate([knots[0] - step * np.arange(3, 0, -1), knots, knots[-1] + step * np.arange(1, 4)])
    x = np.log(np.maximum(level, 1e-30))
    inside = np.clip(x, knots[0], knots[-1] - 1e-9)
    n = len(full) - 4
    values, slopes = np.empty((len(x), n)), np.empty((len(x), n))
    for i in range(n):
        one = BSpline(full, np.eye(n)[i], 3)
        values[:, i], slopes[:, i] = one(inside), one.derivative()(inside)
    return values + slopes * (x - inside)[:, np.newaxis]


def _residuals(
    theta: NDArray, profiles: Profiles, used: NDArray[np.bool_], nodes: NDArray, reference: float
) -> NDArray[np.float64]:
    """Profiles less their release and floor, in units of their errors; then the bends of the spline."""
    table = np.exp(np.clip(nodes @ theta[:-1], -30, 30))
    warmth = np.exp(np.clip(theta[-1] * (profiles.kelvin[used] - reference), -5, 5))
    release = _release(table, warmth, profiles.level[used], profiles.overscan.shape[1])
    left = profiles.overscan[used] - release
    left -= left.mean(axis=1, keepdims=True)  # the best floor
    return np.append(left / profiles.error[used, np.newaxis], np.diff(theta[:-1], 2) / _BEND)


def _release(table: NDArray, warmth: NDArray, level: NDArray, columns: int) -> NDArray[np.float64]:
    """o_j of each profile, (block, column)."""
    grid = np.append(0.0, NODES.astype(np.float64))
    charge = np.append(0.0, table)
    slope = np.append(np.diff(charge) / np.diff(grid), 0.0)
    held = warmth * np.interp(level, grid, charge)
    shown = np.empty((len(level), columns))
    for column in range(columns):
        o = np.interp(held, grid + charge, grid)  # the root at the reference's temperature
        low, high = np.zeros_like(held), held.copy()
        for _ in range(_NEWTON):
            node = np.minimum(np.searchsorted(grid, o, side="right") - 1, len(grid) - 2)
            excess = o + warmth * (charge[node] + slope[node] * (o - grid[node])) - held
            low, high = np.where(excess < 0, o, low), np.where(excess < 0, high, o)
            step = o - excess / (1 + warmth * slope[node])
            o = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
        shown[:, column] = o
        held = held - o
    return shown
