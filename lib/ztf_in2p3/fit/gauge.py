"""What a fit cannot know, named, and the choice made in its place.

A direction in the space of parameters is invisible if it changes all measurements of each star
alike: the star's magnitude takes it up.  That happens to the mean of a family over everything
that stars connect, and to the difference of two families over everything that measurements
connect.  Other directions are visible only through the coarseness of the model (a plane over
the focal plane shows up inside the cells of a map, which cannot follow it) and are taken out on
demand.  Each has a functional that is made zero, and moving there changes nothing else.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from numpy.typing import NDArray

from ztf_in2p3.fit import graph
from ztf_in2p3.fit.model import Floats, Model, Parts
from ztf_in2p3.fit.normal import Diagonals

DEPENDENT = 1e-9
"""Squared sine of the angle to the directions before it, below which a direction is none of its own."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A shape of a family that the caller wants out of it, because the data do not honestly know it."""

    name: str
    family: str
    shape: Floats
    """(parameter of the family,)"""


@dataclass(frozen=True, slots=True)
class Degeneracy:
    """One thing the measurements do not say, or hardly say, and what was done about it."""

    name: str
    family: str
    """Parameters that were chosen to carry none of it."""
    count: int
    """How many of its kind: one for each unconnected part."""
    exact: bool
    sigma: float
    """Standard deviation of the amplitude by the measurements, in units of the shape; NaN where they say nothing."""
    treatment: str


@dataclass(frozen=True, slots=True, eq=False)
class Gauge:
    """Moves parameters along invisible directions to where the functionals are zero."""

    direction: sparse.csc_array
    """(parameter, direction)"""
    functional: sparse.csc_array
    """(parameter, direction)"""
    inverse: Floats
    """Inverse of functional^T direction."""
    degeneracies: tuple[Degeneracy, ...] = ()

    def project(self, p: Floats) -> Floats:
        """The same solution in this gauge; vectors or columns.  `p`: (parameter,) or (parameter, column)."""
        return p - self.direction @ (self.inverse @ (self.functional.T @ p))

    def project_transposed(self, g: Floats) -> Floats:
        """Transposed projection of a vector (parameter,)."""
        return g - self.functional @ (self.inverse.T @ (self.direction.T @ g))

    def retained(self) -> Floats:
        """(parameter,): diagonal of the projection, 1 where the gauge does not touch."""
        return 1 - np.asarray(self.direction.multiply(self.functional @ self.inverse.T).sum(axis=1)).ravel()


@dataclass(frozen=True, slots=True, eq=False)
class _Mode:
    name: str
    family: str
    members: NDArray[np.int64]
    sign: Floats
    zeroed: NDArray[np.bool_]
    """Members whose sum is made zero."""


def labelled(model: Model, diag: Diagonals) -> NDArray[np.int32]:
    """(parameter,): number of the connected part it belongs to, within its family; -1 if nothing determines it."""
    roots, label = graph.star_components(model), np.full(model.n_param, -1, np.int32)
    for family in model.families:
        span = model.span(family.name)
        known = np.flatnonzero(diag.determined[span]) + span.start
        if family.constant_in_star:
            label[known] = np.unique(roots[known], return_inverse=True)[1]
        else:
            label[known] = 0
    return label


def exact_gauge(model: Model, diag: Diagonals, label: NDArray[np.int32]) -> Gauge:
    """Degeneracies that follow from the graph of the measurements; label as `labelled` gives it.

    `label`: (parameter,).
    """
    modes = _independent(_star_modes(model, diag, label) + _pair_modes(model, diag), model.n_param)
    direction = _columns([(mode.members, mode.sign) for mode in modes], model.n_param)
    functional = _columns([(m.members[m.zeroed], np.ones(m.zeroed.sum())) for m in modes], model.n_param)
    return Gauge(direction, functional, np.linalg.pinv((functional.T @ direction).toarray()), _count(modes))


def fixed_parameters(model: Model, diag: Diagonals) -> tuple[NDArray[np.bool_], tuple[Degeneracy, ...]]:
    """(parameter,): which count as zero because their stars were measured with no other of the family; and their name.

    A quadrant that shares no star with any other has such a term: its level is in its stars' magnitudes.
    """
    fixed, named = np.zeros(model.n_param, bool), []
    for family in model.families:
        span = model.span(family.name)
        if family.fixed_if_unknown:
            fixed[span] = ~diag.determined[span] & (diag.count[span] > 0)
        if n := int(fixed[span].sum()):
            name = f"{family.name} of quadrants that share no star with another, against star magnitudes"
            named.append(Degeneracy(name, family.name, n, True, float("nan"), f"{n} {family.name} fixed at zero"))
    return fixed, tuple(named)


def comparable_parts(
    sums: sparse.csr_array, exact: Gauge, fixed: NDArray[np.bool_], label: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(sum,): number of the part within which stars tell the differences of sums.

    Parameters
    ----------
    sums
        (sum, parameter)
    exact
        Directions along which parameters move unseen: those that move two sums alike do not part them.
    fixed
        (parameter,): zero by choice, each for itself.
    label
        (parameter,): connected part, as `labelled` gives it; known magnitudes join none.
    """
    if sums.shape[0] == 0:
        return np.zeros(0, np.int32)
    alone = np.flatnonzero(fixed)
    units = sparse.csc_array((np.ones(len(alone)), (alone, np.arange(len(alone)))), shape=(sums.shape[1], len(alone)))
    moved = sparse.csr_array(sums @ sparse.hstack([exact.direction, units], format="csc"))
    # Two random projections of a row instead of its entries: equal rows, and only they, have equal projections.
    rng = np.random.default_rng(0)
    key = np.column_stack(
        [np.round(moved @ rng.normal(size=(moved.shape[1], 2)), 9), label[sums.indices[sums.indptr[:-1]]]]
    )
    _, first, part = np.unique(key, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[part.ravel()].astype(np.int32)


def take_out(
    exact: Gauge, model: Model, diag: Diagonals, removed: Sequence[Removed], solve: Callable[[Floats], Floats]
) -> Gauge:
    """The gauge in which, besides, the shapes to be removed are zero.

    Parameters
    ----------
    solve
        S^-1 times right sides (columns) that are orthogonal to all exact degeneracies, in any gauge.
    """
    if not removed:
        return exact
    shapes = np.zeros((model.n_param, len(removed)))
    for column, pattern in enumerate(removed):
        shapes[model.span(pattern.family), column] = pattern.shape
    shapes[~diag.determined] = 0
    shapes = exact.project_transposed(shapes)  # no part of a removed shape may need what nothing determines
    answers = exact.project(solve(shapes))
    direction = sparse.csc_array(sparse.hstack([exact.direction, sparse.csc_array(answers)]))
    functional = sparse.csc_array(sparse.hstack([exact.functional, sparse.csc_array(shapes)]))
    named = exact.degeneracies
    for pattern, shape, answer in zip(removed, shapes.T, answers.T, strict=True):
        sigma = float(np.sqrt(max(shape @ answer, 0.0)) / max(shape @ shape, 1e-300))
        named += (Degeneracy(pattern.name, pattern.family, 1, False, sigma, f"taken out of {pattern.family}"),)
    return Gauge(direction, functional, np.linalg.pinv((functional.T @ direction).toarray()), named)


def _star_modes(model: Model, diag: Diagonals, label: NDArray[np.int32]) -> list[_Mode]:
    held = _anchored_labels(model, label)
    modes = []
    for family in model.families:
        if not family.constant_in_star:
            continue
        span = model.span(family.name)
        known = np.flatnonzero(diag.determined[span]) + span.start
        for members in _parts(known, label[known]):
            if not (model.prior_weight[members].any() or (family.name, int(label[members[0]])) in held):
                name = f"mean {family.name} against star magnitudes"
                zeroed = model.steady[members] if model.steady[members].any() else np.ones(len(members), bool)
                modes.append(_Mode(name, family.name, members, np.ones(len(members)), zeroed))
    return modes


def _pair_modes(model: Model, diag: Diagonals) -> list[_Mode]:
    modes = []
    for first, second in combinations(range(len(model.units)), 2):
        a, b = model.families[first], model.families[second]
        joined = graph.pair_components(model, first, second)
        spans = [np.arange(*model.span(family.name).indices(model.n_param)) for family in (a, b)]
        known = np.concatenate([span[diag.determined[span]] for span in spans])
        for members in _parts(known, joined[known]):
            later = members >= spans[1][0]
            if model.prior_weight[members].any() or later.all() or not later.any():
                continue
            modes.append(_Mode(f"{b.name} against {a.name}", b.name, members, np.where(later, 1.0, -1.0), later))
    return modes


def _parts(members: NDArray[np.int64], label: NDArray) -> list[NDArray[np.int64]]:
    order = np.argsort(label, kind="stable")
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    return [part for part in np.split(members[order], cuts) if len(part)]


def _anchored_labels(model: Model, label: NDArray[np.int32]) -> set[tuple[str, int]]:
    """Connected parts that hold a star of known magnitude."""
    held = functools.reduce(operator.or_, model.each(_anchored, label))
    return {(model.families[column].name, part) for column, part in held}


def _anchored(parts: Parts, label: NDArray[np.int32]) -> set[tuple[int, int]]:
    held: set[tuple[int, int]] = set()
    for part in parts:
        used = (np.repeat(part.anchor, np.diff(part.first)) > 0) & (part.kept > 0)
        if used.any():
            for column, index in enumerate(part.index[used].T):
                held |= {(column, int(number)) for number in np.unique(label[index])}
    return held


def _independent(modes: list[_Mode], n_param: int) -> list[_Mode]:
    """Leave out each mode that is a sum of those before it (a Cholesky factor of their products, row by row)."""
    unit = _columns([(mode.members, mode.sign / np.sqrt(len(mode.members))) for mode in modes], n_param)
    products = (unit.T @ unit).toarray() if modes else np.zeros((0, 0))
    chosen: list[int] = []
    factor = np.zeros_like(products)
    for k in range(len(modes)):
        n = len(chosen)
        row = scipy.linalg.solve_triangular(factor[:n, :n], products[chosen, k], lower=True, check_finite=False)
        left = products[k, k] - row @ row
        if left > DEPENDENT:
            factor[n, :n], factor[n, n] = row, np.sqrt(left)
            chosen.append(k)
    return [modes[k] for k in chosen]


def _columns(columns: list[tuple[NDArray[np.int64], Floats]], n_param: int) -> sparse.csc_array:
    ends = np.concatenate([[0], np.cumsum([len(members) for members, _ in columns])]).astype(np.int64)
    members = np.concatenate([m for m, _ in columns]) if columns else np.zeros(0, np.int64)
    values = np.concatenate([v for _, v in columns]) if columns else np.zeros(0)
    return sparse.csc_array((values, members, ends), shape=(n_param, len(columns)))


def _count(modes: list[_Mode]) -> tuple[Degeneracy, ...]:
    kinds: dict[str, list[_Mode]] = {}
    for mode in modes:
        kinds.setdefault(mode.name, []).append(mode)
    return tuple(
        Degeneracy(
            name,
            group[0].family,
            len(group),
            True,
            float("nan"),
            f"mean {group[0].family} of each connected part is zero",
        )
        for name, group in kinds.items()
    )
