"""What a pocket holds behind pixels of each level, as measured, with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from ztf_in2p3.sensor.equilibrium import NODES, Equilibrium


@dataclass(frozen=True, slots=True, eq=False)
class PocketFunction:
    """ln f = spline(ln level) + slope x (kelvin - reference)."""

    knots: NDArray[np.float64]
    """(knot,) of the cubic spline, in ln(level / ADU)."""
    coefficients: NDArray[np.float64]
    """(parameter,): coefficients of the spline, then the slope per kelvin."""
    covariance: NDArray[np.float64]
    reference: float
    """Temperature at which the spline holds, kelvin."""

    def charge(self, level: NDArray, kelvin: float) -> NDArray[np.float64]:
        """Charge in the pocket behind pixels observed at a level, ADU; at the reference if the temperature is NaN.

        Any shape.
        """
        return np.exp(self._basis(level, kelvin) @ self.coefficients)

    def relative_error(self, level: NDArray, kelvin: float) -> NDArray[np.float64]:
        """Standard deviation of the charge over the charge.  Any shape."""
        basis = self._basis(level, kelvin)
        return np.sqrt(np.einsum("ij,jk,ik->i", basis, self.covariance, basis))

    def pocket(self, kelvin: float) -> Equilibrium:
        """Pocket to undo the effect at a temperature."""
        charge = self.charge(NODES.astype(np.float64), kelvin)
        return Equilibrium(np.maximum.accumulate(charge).astype(np.float32))

    def _basis(self, level: NDArray, kelvin: float) -> NDArray[np.float64]:
        spline = spline_basis(self.knots, np.asarray(level, np.float64))
        warmer = kelvin - self.reference if math.isfinite(kelvin) else 0.0
        return np.column_stack([spline, np.full(len(spline), warmer)])


def spline_basis(knots: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-splines of ln(level), straight beyond the ends: (level, spans + 3)."""
    step = knots[1] - knots[0]
    full = np.concatenate([knots[0] - step * np.arange(3, 0, -1), knots, knots[-1] + step * np.arange(1, 4)])
    x = np.log(np.maximum(level, 1e-30))
    inside = np.clip(x, knots[0], knots[-1] - 1e-9)
    n = len(full) - 4
    values, slopes = np.empty((len(x), n)), np.empty((len(x), n))
    for i in range(n):
        spline = BSpline(full, np.eye(n)[i], 3)
        values[:, i], slopes[:, i] = spline(inside), spline.derivative()(inside)
    return values + slopes * (x - inside)[:, np.newaxis]
