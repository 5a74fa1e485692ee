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

from ztf_in2p3.fit import assembly, graph, normal
from ztf_in2p3.fit.model import Coarse, Floats, Model
from ztf_in2p3.recipes import Stop

RIDGE = 1e-8
"""Part of the diagonal added before factoring, because of directions that nothing determines."""

SAMPLE = 200_000
"""Measurements from which the coarse matrix is summed: it only has to be nearly right, and twice as many would save
one iteration of twenty."""

DIRECT = 1500
"""Parameters up to which the whole matrix is written out if not said otherwise."""

ENTRIES = 6e7
"""Products summed into a matrix written out, at most; about a second."""


CUBES = 1e11
"""Sum of the cubed sizes of connected parts that are factored each for itself, at most; about ten seconds."""

SQUARES = 1e8
"""Sum of their squared sizes, at most: 0.8 GB."""

ROUNDING = 1e-11
"""Relative residual at which nothing more can be gained, and a direct solution needs no window."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What an iteration tells whoever watches."""

    iteration: int
    residual: float
    change: float
    """Largest change of any watched parameter over the window, magnitudes; infinite before there was one."""
    round: int = 0
    """Round of solution and rejection; 0 where nothing is rejected."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Conjugate gradients between two iterations: parameters, residual, direction; columns if there are several."""

    p: Floats
    r: Floats
    q: Floats
    rz: Floats
    iteration: int
    earlier: Sequence[Floats]
    """Watched parameters of the last iterations."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Parameters of a solved system, and how the solver came to them."""

    p: Floats
    iterations: int
    residual: float
    converged: bool


class Preconditioner:
    """Approximate inverse of S, symmetric and positive on whatever S can see.

    Nothing of its answers is along `null`, the directions S cannot see: rounding would grow there unchecked.
    """

    def __init__(
        self,
        diag: normal.Diagonals,
        coarse: Coarse,
        matrix: Floats | sparse.csr_matrix,
        null: sparse.csc_array,
        *,
        smooth: bool,
    ) -> None:
        scale = np.where(diag.determined, diag.full, np.inf)
        self._smooth = 1 / scale if smooth else np.zeros_like(scale)
        known = sparse.diags_array(diag.determined.astype(float))
        self._z = sparse.csr_matrix(known @ assembly.prolongation(coarse))
        self._restrict = sparse.csr_matrix(self._z.T)
        self._factors = list(_factor(matrix))
        self._null, self._across = null, sparse.csr_array(null.T)
        self._gram = np.linalg.pinv((self._across @ null).toarray())

    def __call__(self, r: Floats) -> Floats:
        """Approximate solution of S z = r for a residual r (parameter,)."""
        z = self._see(r.copy())
        coarse = self._restrict @ z
        answer = np.zeros_like(coarse)
        for members, solve in self._factors:
            answer[members] = solve(coarse[members])
        z *= self._smooth if r.ndim == 1 else self._smooth[:, None]
        z += self._z @ answer
        return self._see(z)

    def _see(self, r: Floats) -> Floats:
        """Changes it: the largest arrays of a solution for several right sides are such."""
        r -= self._null @ (self._gram @ (self._across @ r))
        return r


def preconditioner(
    model: Model, diag: normal.Diagonals, null: sparse.csc_array, method: str = "auto"
) -> Preconditioner:
    """`method` is "direct", "iterative", or "auto": direct where the matrix is small.

    `null` holds the directions (parameter, direction) that S cannot see.
    """
    if method not in ("auto", "direct", "iterative"):
        raise ValueError(f"no method {method!r}; known: auto, direct, iterative")
    if method == "direct" or (method == "auto" and _affordable(model)):
        coarse = Coarse.identity(model.n_param)
        return Preconditioner(diag, coarse, assembly.reduced_matrix(model, coarse), null, smooth=False)
    coarse, every = assembly.coarse_of(model), max(1, model.n_row // SAMPLE)
    return Preconditioner(diag, coarse, assembly.reduced_matrix(model, coarse, every=every), null, smooth=True)


def _affordable(model: Model) -> bool:
    """Whether the matrix is quickly written out and factored: it is small, or falls into parts that are."""
    if assembly.count_entries(model) > ENTRIES:
        return False
    if model.n_param <= DIRECT:
        return True
    if len(model.families) > 1:  # measurements join the families, and all is one part
        return False
    size = np.bincount(graph.star_components(model)).astype(float)
    return bool(size.max() <= assembly.DENSE and np.sum(size**3) <= CUBES and np.sum(size**2) <= SQUARES)


def solve(
    model: Model,
    b: Floats,
    precondition: Preconditioner,
    *,
    start: Floats | None = None,
    stop: Stop = Stop(),
    progress: Callable[[Progress], None] | None = None,
    search: Search | None = None,
    save: Callable[[Search], None] | None = None,
) -> Solution:
    """S^-1 b for a right side without a part along what S cannot see; several columns at once if b has them.

    `b`, `start`: (parameter,) or (parameter, column).

    Parameters
    ----------
    start
        Where to begin; zero if none.
    search
        Where an interrupted solution of the same goes on.
    save
        Told after every iteration where to go on.
    """
    watched = model.watched()
    scale = np.sqrt(_dot(b, precondition(b)))
    scale = np.where(scale > 0, scale, 1.0)
    if search is None:
        search = _begin(model, b, precondition, start, watched)
    p, r, q, rz, iteration = search.p, search.r, search.q, search.rz, search.iteration
    earlier = deque(search.earlier, maxlen=stop.window + 1)
    residual, change = _reached(rz, scale), _change(earlier, stop, _reached(rz, scale) if iteration else np.inf)
    while iteration < stop.max_iterations and not (residual < stop.residual and change <= stop.change):
        sq = normal.apply(model, q)
        curvature = _dot(q, sq)
        step = np.where(curvature > 0, rz / np.where(curvature > 0, curvature, 1), 0.0)
        p += step * q
        sq *= step
        r -= sq
        z = precondition(r)
        after = _dot(r, z)
        q *= np.where(rz > 0, after / np.where(rz > 0, rz, 1), 0.0)
        q += z
        rz, iteration = after, iteration + 1
        earlier.append(p[watched])
        residual = _reached(rz, scale)
        change = _change(earlier, stop, residual)
        if progress:
            progress(Progress(iteration, residual, change))
        if save:
            save(Search(p, r, q, rz, iteration, earlier))
    return Solution(p, iteration, residual, residual < stop.residual)


def _begin(model: Model, b: Floats, precondition: Preconditioner, start: Floats | None, watched: NDArray) -> Search:
    p = np.zeros_like(b) if start is None else start.copy()
    r = b.copy() if start is None else b - normal.apply(model, p)
    z = precondition(r)
    return Search(p, r, z.copy(), _dot(r, z), 0, [p[watched]])


def _reached(rz: Floats, scale: Floats) -> float:
    return float(np.max(np.sqrt(np.maximum(rz, 0)) / scale))


def _change(earlier: Sequence[Floats], stop: Stop, residual: float) -> float:
    """Largest change of any watched parameter over the window; infinite before there was one, unless converged."""
    if len(earlier) > stop.window:
        return float(np.max(np.abs(earlier[-1] - earlier[0]), initial=0.0))
    return 0.0 if residual < ROUNDING else np.inf


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.sum(a * b, axis=0))


def _factor(matrix: Floats | sparse.csr_matrix) -> Sequence[tuple[NDArray[np.int64], Callable[[Floats], Floats]]]:
    """A solver for each connected part of the matrix, and the rows it serves."""
    diagonal = matrix.diagonal()
    used = np.flatnonzero(diagonal > 0)
    if isinstance(matrix, np.ndarray):
        block = matrix if len(used) == len(matrix) else matrix[np.ix_(used, used)]
        return [(used, _cholesky(block))] if len(used) else []
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
    """A solver for a matrix, which becomes its factor."""
    scale = 1 / np.sqrt(matrix.diagonal())
    matrix *= scale
    matrix *= scale[:, None]
    matrix[np.diag_indices_from(matrix)] += RIDGE
    # Transposed, which changes nothing, it is stored by columns, as LAPACK wants it: no copy.
    factor = scipy.linalg.cho_factor(matrix.T, overwrite_a=True, check_finite=False)

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
