"""Solution of what the exposures contribute: the common parameters, their errors, and back to each exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, cho_factor, cho_solve

from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, NormalEquations, Pixels, SceneState
from ztf_in2p3.scene.node_kernels import pick_pixels

FEW_PHOTONS = 1e-4
"""Fraction of a pixel's variance that may be left out where it would cost as much as all the others."""


@dataclass(eq=False)
class SceneSolution:
    """Parameters of the scene, with the factor of their normal equations."""

    common: NDArray[np.float64]
    """Galaxy nodes, then the change of the position where it was free."""
    nuisance: NDArray[np.float64]
    """(exposure, N_NUISANCE)."""
    factor: tuple[NDArray[np.float64], bool]
    """Cholesky's, of the common normal matrix."""

    def inverse_times(self, right: NDArray) -> NDArray[np.float64]:
        """Covariance of the common parameters times a matrix (common, column)."""
        if not right.shape[0]:
            return right
        solved: NDArray[np.float64] = cho_solve(self.factor, right, check_finite=False)
        return solved


def solve(equations: NormalEquations, state: SceneState, ridge: float, position_error: float) -> SceneSolution:
    """Minimum of the linearised chi2 over everything."""
    n_node = len(equations.gram)
    n_place = len(state.place) if state.free_place else 0
    size = n_node + n_place
    cross_terms = equations.cross_terms[:, :, :size].reshape(N_NUISANCE * len(equations.r), size)
    matrix = np.zeros((size, size), order="F")
    matrix[:n_node, :n_node] = equations.gram
    if n_place:
        matrix[n_node:, :] = equations.place[:, :size].sum(axis=0).T
        matrix[range(n_node, size), range(n_node, size)] += position_error**-2
    if n_node:
        matrix[range(n_node), range(n_node)] += ridge * np.mean(np.diag(equations.gram))
    right = equations.data_common[:, :size].sum(axis=0) - cross_terms.T @ equations.data_nuisance.ravel()
    right[n_node:] -= state.place[:n_place] * position_error**-2
    if size:
        matrix = blas.dsyrk(-1.0, cross_terms, 1.0, matrix, trans=1, lower=1, overwrite_c=1)
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        common = cho_solve(factor, right, check_finite=False)
    else:
        factor, common = (matrix, True), right
    left = equations.data_nuisance - equations.cross_terms[:, :, :size] @ common
    nuisance = np.linalg.solve(equations.r, left[:, :, None])[:, :, 0]
    return SceneSolution(common, nuisance, factor)


def flux_response(equations: NormalEquations, size: int) -> NDArray[np.float64]:
    """(exposure, common): by how much each flux falls as a common parameter rises."""
    return equations.cross_terms[:, FLUX, :size] / equations.r[:, FLUX, FLUX, None]


@dataclass(eq=False)
class Noise:
    """What the pixels' own variances put into the sums of a pass; `NormalEquations` has them with a variance of 1."""

    middle: NDArray[np.float64]
    """(common, common), lower triangle in Fortran order: sum of X^T W X, W what the variance is beyond 1."""
    cross_terms: NDArray[np.float64]
    """(exposure, N_NUISANCE, common): Q^T W X."""
    nuisance: NDArray[np.float64]
    """(exposure, N_NUISANCE, N_NUISANCE): Q^T V Q, priors included."""
    chi2: NDArray[np.float64]
    """(exposure,): NaN where it was not used."""
    scratch: NDArray[np.float64]

    @classmethod
    def of(cls, n_exposure: int, n_common: int, n_pixel: int) -> Noise:
        """Noise terms of these sizes, all zero."""
        return cls(
            np.zeros((n_common, n_common), order="F"),
            np.zeros((n_exposure, N_NUISANCE, n_common)),
            np.zeros((n_exposure, N_NUISANCE, N_NUISANCE)),
            np.full(n_exposure, np.nan),
            np.empty(n_common * n_pixel),
        )

    def take(self, i: int, pixels: Pixels) -> None:
        """Add the noise of exposure i; once for each exposure."""
        pull, photons = pixels.pull[pixels.keep], pixels.variance - 1
        self.chi2[i] = pull @ pull
        self.nuisance[i] = pixels.q * np.append(pixels.variance, np.ones(N_NUISANCE - 1)) @ pixels.q.T
        size, n_node = len(self.middle), len(pixels.nodes)
        self.cross_terms[i] = 0.0
        for sign in (1.0, -1.0):  # pixels noisier than their weight, and less noisy ones
            chosen = np.flatnonzero(pixels.keep & (sign * photons > FEW_PHOTONS))
            if size and len(chosen):
                root = np.sqrt(sign * photons[chosen])
                x = self.scratch[: size * len(chosen)].reshape(size, len(chosen))
                pick_pixels(pixels.nodes, chosen, pixels.scale * root * pixels.root[chosen], x)
                x[n_node:] = pixels.place[:, chosen] * root
                self.cross_terms[i] += sign * (pixels.q[:, chosen] * root @ x.T)
                blas.dsyrk(sign, x.T, 1.0, self.middle, trans=1, lower=1, overwrite_c=1)


def covariance(
    equations: NormalEquations, noise: Noise, solution: SceneSolution, measured: NDArray, position_error: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariances of the fluxes and of the position.

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
    size, n_node = len(solution.common), len(equations.gram)
    middle = noise.middle
    middle[:n_node, :n_node] += equations.gram
    middle[n_node:] += equations.place[:, :size].sum(axis=0).T[: size - n_node]
    middle = np.tril(middle) + np.tril(middle, -1).T
    cross_terms = equations.cross_terms[:, :, :size]
    noisy = cross_terms + noise.cross_terms
    half = noisy - 0.5 * noise.nuisance @ cross_terms
    mixed = cross_terms.reshape(N_NUISANCE * len(cross_terms), size).T @ half.reshape(
        N_NUISANCE * len(cross_terms), size
    )
    middle -= mixed + mixed.T
    middle[range(n_node, size), range(n_node, size)] += position_error**-2

    by_flux = equations.r[measured, FLUX, FLUX]
    response = flux_response(equations, size)[measured]
    shared = noisy[measured, FLUX] - np.einsum("ik,ikc->ic", noise.nuisance[measured, FLUX], cross_terms[measured])
    shared /= by_flux[:, None]
    target = solution.inverse_times(response.T)
    mixed = shared @ target
    flux = target.T @ middle @ target - mixed - mixed.T
    flux[range(len(measured)), range(len(measured))] += noise.nuisance[measured, FLUX, FLUX] / by_flux**2
    place = solution.inverse_times(np.eye(size)[:, n_node:])
    return flux, place.T @ middle @ place
