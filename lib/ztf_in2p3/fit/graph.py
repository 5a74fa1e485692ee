"""What hangs together: parameters joined by stars, and families joined by measurements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.fit.model import Model, Parts

_jit = compiled(error_model="python")


def star_components(model: Model) -> NDArray[np.int64]:
    """(parameter,): smallest parameter of the same family that a chain of stars leads to."""
    return _merged(model.each(_by_stars, model.n_param))


def _by_stars(parts: Parts, n_param: int) -> NDArray[np.int64]:
    parent = np.arange(n_param)
    for part in parts:
        _join_within_stars(part.first, part.rows[1], part.weight, part.kept, parent)
    return _roots(parent)


def pair_components(model: Model, first: int, second: int) -> NDArray[np.int64]:
    """(parameter,): smallest parameter of two families that a chain of measurements leads to."""
    return _merged(model.each(_by_rows, model.n_param, first, second))


def _by_rows(parts: Parts, n_param: int, first: int, second: int) -> NDArray[np.int64]:
    parent = np.arange(n_param)
    for part in parts:
        _join_within_rows(part.rows[1], part.weight, part.kept, first, second, parent)
    return _roots(parent)


def _merged(forests: Iterator[NDArray[np.int64]]) -> NDArray[np.int64]:
    """What is joined in any of the places."""
    parent = next(forests).copy()
    for roots in forests:
        _join_all(roots, parent)
    return _roots(parent)


@_jit
def _root(parent, j):  # type: ignore[no-untyped-def]
    while parent[j] != j:
        parent[j] = parent[parent[j]]
        j = parent[j]
    return j


@_jit
def _join(parent, a, b):  # type: ignore[no-untyped-def]
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@_jit
def _join_all(roots, parent):  # type: ignore[no-untyped-def]
    for j in range(len(roots)):
        _join(parent, j, roots[j])


@_jit
def _roots(parent):  # type: ignore[no-untyped-def]
    for j in range(len(parent)):
        parent[j] = _root(parent, j)
    return parent


@_jit
def _join_within_stars(first, index, weight, kept, parent):  # type: ignore[no-untyped-def]
    for s in range(len(first) - 1):
        previous = -1
        for i in range(first[s], first[s + 1]):
            if weight[i] * kept[i] > 0:
                if previous >= 0:
                    for b in range(index.shape[1]):
                        if index[i, b] != index[previous, b]:
                            _join(parent, np.int64(index[i, b]), np.int64(index[previous, b]))
                previous = i


@_jit
def _join_within_rows(index, weight, kept, first, second, parent):  # type: ignore[no-untyped-def]
    for i in range(len(index)):
        if weight[i] * kept[i] > 0:
            _join(parent, np.int64(index[i, first]), np.int64(index[i, second]))
