"""Standard deviations of the parameters, in the gauge of the fit."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from ztf_in2p3.fit import assembly, normal, solver
from ztf_in2p3.fit.gauge import Gauge
from ztf_in2p3.fit.model import Coarse, Floats, Model
from ztf_in2p3.recipes import Stop

EXACT = 3000
"""Parameters up to which the whole covariance is computed."""

DRAWN = 100
"""Vectors drawn from a covariance that is known: variances from them scatter by a seventh."""

SINGULAR = 1e-6
"""Part of a variance that is added to it, and below which a variance is none, where a covariance is factored."""

COLUMNS = 8
"""Draws solved at once: one pass over the table serves them all."""

DRAW_STOP = Stop(residual=1e-3, change=np.inf)
"""A draw has to be right to a part of its own scatter."""


def sigmas(
    model: Model,
    diag: normal.Diagonals,
    gauge: Gauge,
    precondition: solver.Preconditioner,
    *,
    draws: int,
    seed: int = 0,
    sums: sparse.csr_array | None = None,
) -> tuple[Floats, Floats, NDArray[np.float32]]:
    """Standard deviation of each parameter, NaN where it is not determined; of each sum of those that are; and draws.

    From the inverse of the matrix where that is small; else from `draws` solutions of pure noise.

    Parameters
    ----------
    sums
        (sum, parameter)

    Returns
    -------
    sigma
        (parameter,)
    sum_sigma
        (sum,)
    draws
        (parameter, draw): vectors whose covariance is that of the parameters.
    """
    sums = sparse.csr_array((0, model.n_param)) if sums is None else sums
    if model.n_param <= EXACT and assembly.count_entries(model) <= 10 * solver.ENTRIES:
        whole = covariance(model, diag, gauge)
        single, several = np.diag(whole), np.asarray(sums.multiply(sums @ whole).sum(axis=1)).ravel()
        vectors = draw_from(whole, seed)
    else:
        single, several, vectors = drawn(model, diag, gauge, precondition, draws, seed, sums)
    sigma = np.where(diag.determined, np.sqrt(np.maximum(single, 0)), np.nan)
    return sigma, np.sqrt(np.maximum(several, 0)), vectors


def draw_from(covariance: Floats, seed: int) -> NDArray[np.float32]:
    """(parameter, draw): Gaussian vectors of a covariance, which may be singular."""
    variance = covariance.diagonal()
    known = np.flatnonzero(variance > SINGULAR * variance.max(initial=0.0))  # the gauge leaves rounding of others
    vectors = np.zeros((len(covariance), DRAWN), np.float32)
    block = covariance[np.ix_(known, known)]
    scale = np.sqrt(block.diagonal())
    block /= scale * scale[:, np.newaxis]
    block[np.diag_indices_from(block)] += SINGULAR
    try:
        root = np.linalg.cholesky(block)
    except np.linalg.LinAlgError:  # few stars: rounding of what the gauge took out is larger than the rest
        size, direction = np.linalg.eigh(block)
        root = direction * np.sqrt(np.maximum(size, 0))
    vectors[known] = scale[:, np.newaxis] * (root @ np.random.default_rng(seed).normal(size=(len(known), DRAWN)))
    return vectors


def covariance(model: Model, diag: normal.Diagonals, gauge: Gauge) -> Floats:
    """(parameter, parameter): P (S + sum of squared functionals)^-1 P^T, zero where nothing is determined."""
    matrix = assembly.reduced_matrix(model, Coarse.identity(model.n_param))
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    known = np.flatnonzero(diag.determined)
    dense = dense[np.ix_(known, known)]
    scale = 1 / np.sqrt(dense.diagonal())
    functional = gauge.functional.toarray()[known] * scale[:, None]
    functional /= np.maximum(np.linalg.norm(functional, axis=0), 1e-300)
    dense = dense * scale * scale[:, None] + functional @ functional.T
    dense[np.diag_indices_from(dense)] += solver.RIDGE**2  # few stars may leave more unknown than the graph tells
    inverse = np.linalg.inv(dense) * scale * scale[:, None]
    full = np.zeros((model.n_param, model.n_param))
    full[np.ix_(known, known)] = inverse
    return gauge.project(gauge.project(full).T)


def drawn(
    model: Model,
    diag: normal.Diagonals,
    gauge: Gauge,
    precondition: solver.Preconditioner,
    draws: int,
    seed: int,
    sums: sparse.csr_array | None = None,
) -> tuple[Floats, Floats, NDArray[np.float32]]:
    """Variances of parameters, and of sums of them, from solutions of pure noise; and these.

    With x = P S^-1 b and b of covariance S, var(x_i) = var(x_i - b_i / S_ii) + (2 P_ii - 1) / S_ii: only the part
    that a parameter owes to the others is drawn, the rest is known (the Rao-Blackwellised estimator of
    Siden, Lindgren, Bolin & Villani 2018, JCGS 27, 898, for a singular matrix in a gauge).
    """
    sums = sparse.csr_array((0, model.n_param)) if sums is None else sums
    diagonal_inverse = np.where(diag.determined, 1 / np.where(diag.determined, diag.reduced, 1), 0)
    single, several, done = np.zeros(model.n_param), np.zeros(sums.shape[0]), 0
    vectors = np.zeros((model.n_param, draws), np.float32)
    while done < draws:
        columns = min(COLUMNS, draws - done)
        b = normal.noise_right_sides(model, columns, seed + done)
        x = gauge.project(solver.solve(model, b, precondition, stop=DRAW_STOP).p)
        single += np.sum((x - diagonal_inverse[:, None] * b) ** 2, axis=1)
        several += np.sum((sums @ x) ** 2, axis=1)
        vectors[:, done : done + columns] = x
        done += columns
    return single / draws + (2 * gauge.retained() - 1) * diagonal_inverse, several / draws, vectors


def covariance_with(
    model: Model, gauge: Gauge, precondition: solver.Preconditioner, parameter: int, stop: Stop
) -> Floats:
    """(parameter,): covariance of all parameters with one of them, exactly."""
    unit = np.zeros(model.n_param)
    unit[parameter] = 1
    return gauge.project(solver.solve(model, gauge.project_transposed(unit), precondition, stop=stop).p)


def correlated(cov: Floats, sigma: Floats, parameter: int, n: int = 5) -> list[tuple[int, float]]:
    """The parameters most correlated with one, strongest first.

    `cov`: (parameter, parameter); `sigma`: (parameter,).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(cov / (sigma * np.sqrt(cov[parameter])))
    correlation[parameter] = 0
    order: NDArray = np.argsort(-np.abs(correlation), kind="stable")[:n]
    return [(int(j), float(correlation[j])) for j in order]
