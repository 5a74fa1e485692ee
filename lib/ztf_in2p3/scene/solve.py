"""From what the exposures contribute to the common parameters, their errors, and back to each exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, cho_factor, cho_solve

from ztf_in2p3.scene.condense import FLUX, OWN, Condensed, Pixels, State
from ztf_in2p3.scene.node_kernels import pick_pixels


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


@dataclass(eq=False)
class Noise:
    """What the pixels' own variances put into the sums of a pass; `Condensed` has them with a variance of 1."""

    meat: NDArray[np.float64]
    """(common, common), lower triangle in Fortran order: sum of X^T W X, W the photons' part of the variance."""
    crossed: NDArray[np.float64]
    """(exposure, OWN, common): Q^T W X."""
    own: NDArray[np.float64]
    """(exposure, OWN, OWN): Q^T V Q, priors included."""
    chi2: NDArray[np.float64]
    """(exposure,): NaN where it was not used."""
    scratch: NDArray[np.float64]

    @classmethod
    def of(cls, n_exposure: int, n_common: int, n_pixel: int) -> Noise:
        return cls(
            np.zeros((n_common, n_common), order="F"), np.zeros((n_exposure, OWN, n_common)),
            np.zeros((n_exposure, OWN, OWN)), np.full(n_exposure, np.nan), np.empty(n_common * n_pixel),
        )  # fmt: skip

    def take(self, i: int, seen: Pixels) -> None:
        """Of exposure i; once."""
        pull, photons = seen.pull[seen.keep], seen.variance - 1
        self.chi2[i] = pull @ pull
        self.own[i] = seen.q * np.append(seen.variance, np.ones(OWN - 1)) @ seen.q.T
        lit = np.flatnonzero(seen.keep & (photons > 0))
        size, n_node = len(self.meat), len(seen.nodes)
        if size and len(lit):
            root = np.sqrt(photons[lit])
            x = self.scratch[: size * len(lit)].reshape(size, len(lit))
            pick_pixels(seen.nodes, lit, seen.scale * root, x)
            x[n_node:] = seen.place[:, lit] * root
            self.crossed[i] = seen.q[:, lit] * root @ x.T
            blas.dsyrk(1.0, x.T, 1.0, self.meat, trans=1, lower=1, overwrite_c=1)


def covariance(
    condensed: Condensed, noise: Noise, solution: Solution, measured: NDArray, position_error: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the fluxes and of the position.

    By the sandwich: the fit's weights, but the noise that the pixels have.

    The flux of exposure i is a_i (d_i - X_i t) with t = H^-1 sum_k X~_k^T d_k, X~ what of X is orthogonal to the
    exposure's own parameters; each pixel and each prior contributes its variance once.

    Parameters
    ----------
    measured : (n,)
        Indices of exposures.

    Returns
    -------
    flux : (measured, measured)
    position : (place, place); (0, 0) where it was not free
    """
    size, n_node = len(solution.common), len(condensed.gram)
    meat = noise.meat
    meat[:n_node, :n_node] += condensed.gram
    meat[n_node:] += condensed.place[:, :size].sum(axis=0).T[: size - n_node]
    meat = np.tril(meat) + np.tril(meat, -1).T
    crossed = condensed.crossed[:, :, :size]
    noisy = crossed + noise.crossed
    half = noisy - 0.5 * noise.own @ crossed
    mixed = crossed.reshape(OWN * len(crossed), size).T @ half.reshape(OWN * len(crossed), size)
    meat -= mixed + mixed.T
    meat[range(n_node, size), range(n_node, size)] += position_error**-2

    by_flux = condensed.r[measured, FLUX, FLUX]
    response = flux_response(condensed, size)[measured]
    shared = noisy[measured, FLUX] - np.einsum("ik,ikc->ic", noise.own[measured, FLUX], crossed[measured])
    shared /= by_flux[:, None]
    target = solution.inverse_times(response.T)
    mixed = shared @ target
    flux = target.T @ meat @ target - mixed - mixed.T
    flux[range(len(measured)), range(len(measured))] += noise.own[measured, FLUX, FLUX] / by_flux**2
    place = solution.inverse_times(np.eye(size)[:, n_node:])
    return flux, place.T @ meat @ place
