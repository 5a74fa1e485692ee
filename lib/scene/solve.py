"""From what the exposures contribute to the common parameters, their errors, and back to each exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, cho_factor, cho_solve

from lib.scene.condense import FLUX, OWN, Condensed, Condenser, State


@dataclass(eq=False)
class Solution:
    common: NDArray[np.float64]
    """Galaxy nodes, then the change of the position where it was free."""
    own: NDArray[np.float64]
    """(exposure, OWN)."""
    factor: tuple[NDArray[np.float64], bool]
    """Cholesky's, of the common normal matrix."""

    def inverse_times(self, right: NDArray) -> NDArray[np.float64]:
        if not right.shape[0]:
            return right
        solved: NDArray[np.float64] = cho_solve(self.factor, right, check_finite=False)
        return solved


def solve(condensed: Condensed, state: State, ridge: float, position_error: float) -> Solution:
    """Minimum of the linearised chi2 over everything."""
    n_node = len(condensed.gram)
    n_place = len(state.place) if state.free_place else 0
    size = n_node + n_place
    crossed = condensed.crossed[:, :, :size].reshape(OWN * len(condensed.r), size)
    matrix = np.zeros((size, size), order="F")
    matrix[:n_node, :n_node] = condensed.gram
    if n_place:
        matrix[n_node:, :] = condensed.place[:, :size].sum(axis=0).T
        matrix[range(n_node, size), range(n_node, size)] += position_error**-2
    if n_node:
        matrix[range(n_node), range(n_node)] += ridge * np.mean(np.diag(condensed.gram))
    right = condensed.data_common[:, :size].sum(axis=0) - crossed.T @ condensed.data_own.ravel()
    right[n_node:] -= state.place[:n_place] * position_error**-2
    if size:
        matrix = blas.dsyrk(-1.0, crossed, 1.0, matrix, trans=1, lower=1, overwrite_c=1)
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        common = cho_solve(factor, right, check_finite=False)
    else:
        factor, common = (matrix, True), right
    left = condensed.data_own - condensed.crossed[:, :, :size] @ common
    own = np.linalg.solve(condensed.r, left[:, :, None])[:, :, 0]
    return Solution(common, own, factor)


def flux_response(condensed: Condensed, size: int) -> NDArray[np.float64]:
    """(exposure, common): by how much each flux falls as a common parameter rises."""
    return condensed.crossed[:, FLUX, :size] / condensed.r[:, FLUX, FLUX, None]


def covariance(
    condenser: Condenser, condensed: Condensed, state: State, solution: Solution, used: NDArray, measured: NDArray,
    position_error: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Of the fluxes and of the position, and chi2 of the exposures.

    By the sandwich: the fit's weights, but the noise that the pixels have.

    The flux of exposure i is a_i (d_i - X_i t) with t = H^-1 sum_k X~_k^T d_k, X~ what of X is orthogonal to the
    exposure's own parameters; each pixel and each prior contributes its variance once.

    Parameters
    ----------
    used, measured : (n,)
        Indices of exposures.

    Returns
    -------
    flux : (measured, measured)
    position : (len(place), len(place)), zero where it was not free
    chi2 : (exposure,), NaN where it was not used
    """
    size, n_node = len(solution.common), len(condensed.gram)
    meat = np.zeros((size, size), order="F")
    noisy = np.zeros((len(condensed.r), OWN, size))  # Q^T V X
    own = np.zeros((len(condensed.r), OWN, OWN))  # Q^T V Q, priors included
    chi2 = np.full(len(condensed.r), np.nan)
    for i in used:
        seen = condenser.look(int(i), state, None, 0.0)
        n_pixel = len(seen.keep)
        chi2[i] = seen.pull[seen.keep] @ seen.pull[seen.keep]
        root = np.sqrt(seen.variance) * seen.keep
        own[i] = seen.q[n_pixel:].T @ seen.q[n_pixel:]
        top = root[:, None] * seen.q[:n_pixel]
        own[i] += top.T @ top
        x = seen.nodes
        x *= seen.scale * root
        if size > n_node:
            x = np.concatenate([x, seen.place * root])
        if size:
            noisy[i] = (x @ top).T
            blas.dsyrk(1.0, x.T, 1.0, meat, trans=1, lower=1, overwrite_c=1)
    meat = np.tril(meat) + np.tril(meat, -1).T
    crossed = condensed.crossed[:, :, :size]
    half = noisy - 0.5 * own @ crossed
    mixed = crossed.reshape(OWN * len(crossed), size).T @ half.reshape(OWN * len(crossed), size)
    meat -= mixed + mixed.T
    meat[range(n_node, size), range(n_node, size)] += position_error**-2

    by_flux = condensed.r[measured, FLUX, FLUX]
    response = flux_response(condensed, size)[measured]
    shared = noisy[measured, FLUX] - np.einsum("ik,ikc->ic", own[measured, FLUX], crossed[measured])
    shared /= by_flux[:, None]
    target = solution.inverse_times(response.T)
    mixed = shared @ target
    flux = target.T @ meat @ target - mixed - mixed.T
    flux[range(len(measured)), range(len(measured))] += own[measured, FLUX, FLUX] / by_flux**2
    unit = np.eye(size)[:, n_node:]
    place = solution.inverse_times(unit)
    position = np.zeros((len(state.place), len(state.place)))
    if size > n_node:
        position = place.T @ meat @ place
    return flux, position, chi2
