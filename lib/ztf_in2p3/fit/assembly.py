"""The reduced normal matrix written out: whole where it is small, in a coarse space where it is not."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.fit.model import Coarse, Floats, Model, Parts

DENSE = 3000
"""Largest matrix kept with all its zeros: 72 MB, factored in about a second."""

ENTRIES_AT_ONCE = 4_000_000
"""Entries of a sparse matrix held at once, before equal positions are added up: 64 MB."""


def coarse_of(model: Model) -> Coarse:
    """Coarse shapes of all families together; a family that has none takes no part."""
    width = max((family.coarse.index.shape[1] for family in model.families if family.coarse), default=1)
    index = np.zeros((model.n_param, width), np.int32)
    value, size = np.zeros((model.n_param, width)), 0
    for family in model.families:
        if family.coarse:
            span, k = model.span(family.name), family.coarse.index.shape[1]
            index[span, :k], value[span, :k] = family.coarse.index + size, family.coarse.value
            size += family.coarse.size
    return Coarse(index, value, size)


def prolongation(coarse: Coarse) -> sparse.csr_matrix:
    """(parameter, shape): Z of p = Z c."""
    n, k = coarse.index.shape
    at = (np.repeat(np.arange(n), k), coarse.index.ravel())
    return sparse.csr_matrix((coarse.value.ravel(), at), shape=(n, coarse.size))


def reduced_matrix(model: Model, coarse: Coarse, *, every: int = 1) -> Floats | sparse.csr_matrix:
    """Z^T S Z, from every so many stars (scaled up accordingly), priors included.

    An array up to `DENSE` shapes, sparse beyond.
    """
    z = prolongation(coarse)
    prior = z.T @ sparse.diags_array(model.prior_weight) @ z
    if coarse.size <= DENSE:
        out = model.total(_dense, coarse, every)
        _add_transposed(out)
        out *= every
        prior = sparse.coo_array(prior)
        np.add.at(out, (prior.row, prior.col), prior.data)
        return out
    total = functools.reduce(operator.add, model.each(_sparse, coarse, every))
    strict = sparse.triu(total, 1)
    return sparse.csr_matrix((total + strict.T) * every + prior)


def _dense(parts: Parts, coarse: Coarse, every: int) -> Floats:
    """What makes the matrix together with its transpose: each product of two in one of the triangles, of one half."""
    out = np.zeros((coarse.size, coarse.size))
    for part in parts:
        _add_dense(part.rows, part.anchor, coarse.index, coarse.value, every, out)
    return out


def _sparse(parts: Parts, coarse: Coarse, every: int) -> sparse.csr_matrix:
    """Upper triangle."""
    total = sparse.csr_matrix((coarse.size, coarse.size))
    for part in parts:
        for stars in _batches(part.first, part.index.shape[1] * coarse.index.shape[1], every):
            row, column, entry = _entries(part.rows, part.anchor, coarse.index, coarse.value, coarse.size, stars)
            total = total + sparse.csr_matrix((entry, (row, column)), shape=total.shape)
    return total


def count_entries(model: Model) -> int:
    """Entries that the reduced matrix would be summed from: what decides whether it fits."""
    return sum(model.each(_count_entries))


def _count_entries(parts: Parts) -> int:
    return sum(int((np.diff(p.first) * p.index.shape[1]).astype(float) @ np.diff(p.first)) for p in parts)


def _batches(first: NDArray, per_row: int, every: int) -> Iterator[NDArray[np.int64]]:
    """Stars, as many at once as memory for their entries allows."""
    stars = np.arange(0, len(first) - 1, every)
    touched = np.diff(first)[stars] * per_row
    batch = np.cumsum(touched * (touched + 1) // 2) // ENTRIES_AT_ONCE
    yield from np.split(stars, np.flatnonzero(np.diff(batch)) + 1)


@compiled
def _gather(rows, coarse_index, coarse_value, begin, end, work, touched):  # type: ignore[no-untyped-def]
    """Sum of weight * design over a star's rows, in `work`; which shapes it touches, in `touched`."""
    _, index, value, weight, kept = rows
    n_unit = index.shape[1] - value.shape[1]
    n_touched, total = 0, 0.0
    for i in range(begin, end):
        w = np.float64(weight[i]) * kept[i]
        total += w
        if w == 0:
            continue
        for b in range(index.shape[1]):
            v = 1.0 if b < n_unit else np.float64(value[i, b - n_unit])
            for m in range(coarse_index.shape[1]):
                j, c = coarse_index[index[i, b], m], coarse_value[index[i, b], m]
                if c == 0:
                    continue
                if np.isnan(work[j]):
                    work[j] = 0.0
                    touched[n_touched] = j
                    n_touched += 1
                work[j] += w * v * c
    return n_touched, total


@compiled
def _row_design(rows, coarse_index, coarse_value, i, at, design):  # type: ignore[no-untyped-def]
    """How many shapes a row touches; which, in `at`, and with what, in `design`."""
    _, index, value, _, _ = rows
    n_unit = index.shape[1] - value.shape[1]
    k = 0
    for b in range(index.shape[1]):
        v = 1.0 if b < n_unit else np.float64(value[i, b - n_unit])
        for m in range(coarse_index.shape[1]):
            c = coarse_value[index[i, b], m]
            if c != 0:
                at[k], design[k] = coarse_index[index[i, b], m], v * c
                k += 1
    return k


@compiled
def _longest(first):  # type: ignore[no-untyped-def]
    longest = 1
    for s in range(len(first) - 1):
        longest = max(longest, first[s + 1] - first[s])
    return longest


@compiled
def _add_dense(rows, anchor, coarse_index, coarse_value, every, out):  # type: ignore[no-untyped-def]
    first, index, _, weight, kept = rows
    n_entry = index.shape[1] * coarse_index.shape[1]
    work = np.full(len(out), np.nan)
    touched = np.empty(_longest(first) * n_entry, np.int64)
    sums = np.empty(len(touched))
    at, design = np.empty(n_entry, np.int64), np.empty(n_entry)
    for s in range(0, len(first) - 1, every):
        n, total = _gather(rows, coarse_index, coarse_value, first[s], first[s + 1], work, touched)
        total += anchor[s]
        for a in range(n):
            sums[a], work[touched[a]] = work[touched[a]], np.nan
        for a in range(n):
            row, t = out[touched[a]], sums[a] / total
            for b in range(a):
                row[touched[b]] -= t * sums[b]
            row[touched[a]] -= t * sums[a] / 2
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            n = _row_design(rows, coarse_index, coarse_value, i, at, design)
            for a in range(n):
                for b in range(a):
                    out[at[a], at[b]] += w * design[a] * design[b]
                out[at[a], at[a]] += w * design[a] * design[a] / 2


@compiled
def _add_transposed(out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        for k in range(j):
            out[j, k] += out[k, j]
            out[k, j] = out[j, k]
        out[j, j] *= 2


@compiled
def _entries(rows, anchor, coarse_index, coarse_value, size, stars):  # type: ignore[no-untyped-def]
    """Upper triangle as row, column and entry; equal positions are still to be added up."""
    first, index, _, weight, kept = rows
    n_entry = index.shape[1] * coarse_index.shape[1]
    work = np.full(size, np.nan)
    touched = np.empty(_longest(first) * n_entry, np.int64)
    at, design = np.empty(n_entry, np.int64), np.empty(n_entry)
    room = 0
    for s in stars:
        n_row = first[s + 1] - first[s]
        room += (n_row * n_entry) * (n_row * n_entry + 1) // 2 + n_row * n_entry * n_entry
    row, column, entry = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room)
    k = 0
    for s in stars:
        n, total = _gather(rows, coarse_index, coarse_value, first[s], first[s + 1], work, touched)
        total += anchor[s]
        for a in range(n):
            for b in range(n):
                if touched[b] >= touched[a]:
                    row[k], column[k] = touched[a], touched[b]
                    entry[k] = -work[touched[a]] * work[touched[b]] / total
                    k += 1
        for a in range(n):
            work[touched[a]] = np.nan
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i]) * kept[i]
            if w == 0:
                continue
            n = _row_design(rows, coarse_index, coarse_value, i, at, design)
            for a in range(n):
                for b in range(n):
                    if at[b] >= at[a]:
                        row[k], column[k], entry[k] = at[a], at[b], w * design[a] * design[b]
                        k += 1
    return row[:k], column[:k], entry[:k]
