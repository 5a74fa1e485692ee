"""Preconditioned conjugate gradients on the reduced normal equations.

The preconditioner adds to the inverse of the diagonal an exact solution in a coarse space: the
parameters of small families, and constants and slopes over the quadrants of a large map.  What
converges slowly otherwise are smooth patterns over the focal plane, and those it holds.  Written
out for all parameters it becomes a direct solution, and the iterations merely polish.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from numpy.typing import NDArray

from lib.fit import assembly, normal
from lib.fit.model import Coarse, Floats, Model

RIDGE = 1e-8
"""Part of the diagonal added before factoring, because of directions that nothing determines."""

SAMPLE = 400_000
"""Measurements from which the coarse matrix is summed: it only has to be nearly right."""

DIRECT = 1500
"""Parameters up to which the whole matrix is written out if not said otherwise."""

ENTRIES = 6e7
"""Products summed into a matrix written out, at most; about a second."""


ROUNDING = 1e-13
"""Relative residual at which nothing more can be gained."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When an iteration is over: both conditions hold, for the error has long plateaus."""

    residual: float = 1e-8
    """Preconditioned residual, relative to that of parameters at zero."""
    change: float = 1e-6
    """Largest change of a watched parameter over `window` iterations; magnitudes."""
    window: int = 10
    max_iterations: int = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """What an iteration tells whoever watches."""

    iteration: int
    residual: float
    change: float
    """Of any watched parameter over the window, magnitudes; infinite before there was one."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    p: Floats
    iterations: int
    residual: float
    converged: bool


class Preconditioner:
    """Approximate inverse of S, symmetric and positive on whatever S can see."""

    def __init__(self, diag: normal.Diagonals, coarse: Coarse | None, matrix: Floats | sparse.csr_matrix | None,
                 *, smooth: bool) -> None:  # fmt: skip
        scale = np.where(diag.determined, diag.full, np.inf)
        self._smooth = 1 / scale if smooth else np.zeros_like(scale)
        self._z = None if coarse is None else sparse.csr_matrix(
            sparse.diags_array(diag.determined.astype(float)) @ assembly.prolongation(coarse)
        )  # fmt: skip
        self._restrict = None if self._z is None else sparse.csr_matrix(self._z.T)
        self._factors = [] if matrix is None else list(_factor(matrix))

    def __call__(self, r: Floats) -> Floats:
        z = (self._smooth if r.ndim == 1 else self._smooth[:, None]) * r
        if self._z is None or self._restrict is None:
            return z
        coarse = self._restrict @ r
        answer = np.zeros_like(coarse)
        for members, solve in self._factors:
            answer[members] = solve(coarse[members])
        return z + self._z @ answer


def exact(model: Model, diag: normal.Diagonals) -> Preconditioner:
    """The reduced matrix itself, factored for each connected part."""
    coarse = Coarse.identity(model.n_param)
    return Preconditioner(diag, coarse, assembly.reduced_matrix(model, coarse), smooth=False)


def two_level(model: Model, diag: normal.Diagonals) -> Preconditioner:
    """Diagonal and coarse space; the diagonal alone where no family has coarse shapes."""
    coarse = assembly.coarse_of(model)
    if coarse.size == 0:
        return Preconditioner(diag, None, None, smooth=True)
    every = max(1, model.n_row // SAMPLE)
    return Preconditioner(diag, coarse, assembly.reduced_matrix(model, coarse, every=every), smooth=True)


def preconditioner(model: Model, diag: normal.Diagonals, method: str = "auto") -> Preconditioner:
    """`method` is "direct", "iterative", or "auto": direct where the matrix is small."""
    if method not in ("auto", "direct", "iterative"):
        raise ValueError(f"no method {method!r}; known: auto, direct, iterative")
    small = model.n_param <= DIRECT and assembly.count_entries(model) <= ENTRIES
    if method == "direct" or (method == "auto" and small):
        return exact(model, diag)
    return two_level(model, diag)


def solve(
    model: Model, b: Floats, precondition: Preconditioner, *, start: Floats | None = None, stop: Stop = Stop(),
    progress: Callable[[Progress], None] | None = None,
) -> Solution:  # fmt: skip
    """S^-1 b for a right side without a part along what S cannot see; several columns at once if b has them.

    Parameters
    ----------
    start
        Where to begin; zero if none.
    """
    watched = model.watched()
    p = np.zeros_like(b) if start is None else start.copy()
    r = b.copy() if start is None else b - normal.apply(model, p)
    z = precondition(r)
    scale = np.sqrt(_dot(b, precondition(b)))
    scale = np.where(scale > 0, scale, 1.0)
    q, rz = z.copy(), _dot(r, z)
    earlier = deque([p[watched]], maxlen=stop.window + 1)
    residual, iteration, change = float(np.max(np.sqrt(np.maximum(rz, 0)) / scale)), 0, np.inf
    while iteration < stop.max_iterations and not (residual < stop.residual and change <= stop.change):
        sq = normal.apply(model, q)
        curvature = _dot(q, sq)
        step = np.where(curvature > 0, rz / np.where(curvature > 0, curvature, 1), 0.0)
        p += step * q
        r -= step * sq
        z = precondition(r)
        after = _dot(r, z)
        q = z + np.where(rz > 0, after / np.where(rz > 0, rz, 1), 0.0) * q
        rz, iteration = after, iteration + 1
        residual = float(np.max(np.sqrt(np.maximum(rz, 0)) / scale))
        earlier.append(p[watched])
        if len(earlier) > stop.window:
            change = float(np.max(np.abs(earlier[-1] - earlier[0]), initial=0.0))
        elif residual < ROUNDING:
            change = 0.0  # a direct solution needs no window
        if progress:
            progress(Progress(iteration, residual, change))
    return Solution(p, iteration, residual, residual < stop.residual)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.sum(a * b, axis=0))


def _factor(matrix: Floats | sparse.csr_matrix) -> Sequence[tuple[NDArray[np.int64], Callable[[Floats], Floats]]]:
    """A solver for each connected part of the matrix, and the rows it serves."""
    diagonal = matrix.diagonal()
    used = np.flatnonzero(diagonal > 0)
    if isinstance(matrix, np.ndarray):
        return [(used, _cholesky(matrix[np.ix_(used, used)]))] if len(used) else []
    matrix = sparse.csr_matrix(matrix[used][:, used])
    label = sparse.csgraph.connected_components(matrix, directed=False)[1]
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    factors = []
    for part in parts:
        block = sparse.csr_matrix(matrix[part][:, part])
        factors.append((used[part], _cholesky(block.toarray()) if len(part) <= assembly.DENSE else _sparse_lu(block)))
    return factors


def _cholesky(matrix: Floats) -> Callable[[Floats], Floats]:
    scale = 1 / np.sqrt(matrix.diagonal())
    scaled = matrix * scale * scale[:, None]
    scaled[np.diag_indices_from(scaled)] += RIDGE
    factor = scipy.linalg.cho_factor(scaled, overwrite_a=True, check_finite=False)

    def solve(b: Floats) -> Floats:
        s = scale if b.ndim == 1 else scale[:, None]
        return s * scipy.linalg.cho_solve(factor, s * b, check_finite=False)

    return solve


def _sparse_lu(matrix: sparse.csr_matrix) -> Callable[[Floats], Floats]:
    ridged = matrix + sparse.diags_array(RIDGE * matrix.diagonal())
    options = {"SymmetricMode": True}
    return sparse.linalg.splu(
        sparse.csc_matrix(ridged), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
    ).solve
