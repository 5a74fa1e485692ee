"""What hangs together: parameters joined by stars, and families joined by measurements."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lib.fit.model import Model

_jit = numba.njit(cache=True)


def star_components(model: Model) -> NDArray[np.int64]:
    """(parameter,): smallest parameter of the same family that a chain of stars leads to."""
    parent = np.arange(model.n_param)
    for part in model.partitions():
        _join_within_stars(part.first, part.rows[1], part.weight, part.kept, parent)
    return _roots(parent)


def pair_components(model: Model, one: int, other: int) -> NDArray[np.int64]:
    """(parameter,): smallest parameter of two families that a chain of measurements leads to."""
    parent = np.arange(model.n_param)
    for part in model.partitions():
        _join_within_rows(part.rows[1], part.weight, part.kept, one, other, parent)
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
def _join_within_rows(index, weight, kept, one, other, parent):  # type: ignore[no-untyped-def]
    for i in range(len(index)):
        if weight[i] * kept[i] > 0:
            _join(parent, np.int64(index[i, one]), np.int64(index[i, other]))
