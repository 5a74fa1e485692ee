"""Robust rejection of measurements, one worst of a star at a time.

A step on a star: its kept measurement furthest from the star's mean is rejected if it is
beyond the clip; if none is, the rejected one nearest to it is restored if it is within.  With
the parameters fixed, each step lowers sum of min(residual^2 / sigma^2, clip^2), and so does the
star's new mean; a global solve lowers it too.  It can therefore not go round in circles, and
many steps may be taken inside each star between two global solves: one in the first round, when
the parameters still suffer from all outliers, and twice as many in each that follows.

An outlier drags its parameters along, and then it is the good measurements of the same zero
point that look bad.  One of n measurements that is off by P moves the parameter by P / n, so
measurements much nearer than the worst of their parameter wait until that one is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.fit.kernels import modelled_row
from ztf_in2p3.fit.model import Floats, Model, Parts, changing

TIE = 1e-6
"""Relative difference of pulls below which the first of a star's rows counts as the worst."""

LONG_ENOUGH = 1 << 20
"""Steps in one star: never reached, because each lowers a sum that has finitely many values."""


DRAGGED = 4.0
"""Outliers of one sign that may drag a parameter together before its good measurements are taken for worse."""

NEVER_DRAGGED = 0.5
"""Part of the worst deviation beyond which a measurement is bad in its own right."""


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """How far the kept measurements of a model are from given parameters, all in standard deviations."""

    worst: Floats
    """(parameter,): the largest among its measurements."""
    count: NDArray[np.int64]
    """(parameter,): its kept measurements."""
    total: NDArray[np.int64]
    """(parameter,): the same with the rejected ones; stars set aside take no part."""
    chi2: float
    rows: int
    stars: int
    """Stars with a kept measurement."""

    @property
    def bar(self) -> Floats:
        """(parameter,): deviation below which a measurement may only have been left behind by a dragged parameter."""
        return self.worst * np.minimum(NEVER_DRAGGED, DRAGGED / np.maximum(self.count, 1))

    def spread(self, n_free: int) -> float:
        """Root of chi2 per degree of freedom, at least 1: errors that are too small condemn nobody."""
        return max(1.0, np.sqrt(self.chi2 / max(self.rows - self.stars - n_free, 1)))


def deviations(model: Model, p: Floats) -> Deviations:
    """Deviations of all measurements from the parameters p, one pass.  `p`: (parameter,)."""
    places = list(model.each(_deviations_in, p))
    worst = np.max([place.worst for place in places], axis=0)
    count, total = (np.sum([getattr(place, name) for place in places], axis=0) for name in ("count", "total"))
    chi2, rows, stars = (sum(getattr(place, name) for place in places) for name in ("chi2", "rows", "stars"))
    return Deviations(worst, count, total, chi2, rows, stars)


def _deviations_in(parts: Parts, p: Floats) -> Deviations:
    worst, count, total, sums = np.zeros(len(p)), np.zeros(len(p), np.int64), np.zeros(len(p), np.int64), np.zeros(3)
    for part in parts:
        _deviations(part.rows, part.anchor, part.anchor_mag, part.set_aside, part.y, p, worst, count, total, sums)
    return Deviations(worst, count, total, float(sums[0]), int(sums[1]), int(sums[2]))


def reject(model: Model, p: Floats, clip: float, *, steps: int = LONG_ENOUGH, bar: Floats | None = None) -> int:
    """Bring `kept` up to date with the parameters; returns how many measurements changed sides.

    Parameters
    ----------
    bar
        (parameter,): see `Deviations.bar`; a star whose worst measurement is below that of any of its
        parameters waits for the next round.  None: no star waits.
    """
    return sum(model.each(reject_in, p, clip, steps, bar))


def reject_in(parts: Parts, p: Floats, clip: float, steps: int = LONG_ENOUGH, bar: Floats | None = None) -> int:
    """Reject outliers star by star with the parameters p (parameter,); how many rows changed."""
    changed, bar = 0, np.zeros(len(p)) if bar is None else bar
    for part in changing(parts):
        changed += _reject(part.rows, part.anchor, part.anchor_mag, part.set_aside, part.y, p, bar, clip, steps)
    return changed


def restore(model: Model, p: Floats, parameters: NDArray[np.bool_]) -> Floats:
    """Begin anew with some parameters: all their measurements count again; returns p with these at their medians.

    Parameters
    ----------
    parameters
        (parameter,): True for those to begin anew; a median is that of the residuals against the stars as
        the other measurements have them, and 0 where no star has others.
    """
    places = list(model.each(_restore_in, p, parameters))
    index, residual = (np.concatenate([place[k] for place in places]) for k in (0, 1))
    fresh = p.copy()
    if not len(index):
        return fresh
    order = np.argsort(index, kind="stable")
    group, start = np.unique(index[order], return_index=True)
    for j, values in zip(group.astype(int), np.split(residual[order], start[1:]), strict=True):
        fresh[j] += np.median(values)
    return fresh


def _restore_in(parts: Parts, p: Floats, parameters: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """Parameter and residual of each measurement that is restored."""
    index, residual = [np.zeros(0, np.int64)], [np.zeros(0)]
    for part in changing(parts):
        touched = parameters[part.index]
        again = touched.any(axis=1) & (part.weight > 0) & (np.repeat(part.set_aside, np.diff(part.first)) == 0)
        if not again.any():
            continue
        kept = part.kept & ~again
        off = np.empty(len(part.y))
        _residuals((*part.rows[:4], kept), part.anchor, part.anchor_mag, part.y, p, off)
        part.kept[again] = 1
        row, family = np.nonzero(touched & again[:, np.newaxis] & np.isfinite(off)[:, np.newaxis])
        index.append(part.index[row, family].astype(np.int64))
        residual.append(off[row])
    return np.concatenate(index), np.concatenate(residual)


@compiled
def _residuals(rows, anchor, anchor_mag, y, p, out):  # type: ignore[no-untyped-def]
    """y - model - star, the star from its kept rows; NaN where it has none."""
    first, index, value, weight, kept = rows
    for s in range(len(first) - 1):
        total, moment = anchor[s], anchor[s] * anchor_mag[s]
        for i in range(first[s], first[s + 1]):
            out[i] = y[i] - modelled_row(index, value, p, i)
            w = np.float64(weight[i]) * kept[i]
            total += w
            moment += w * out[i]
        mean = moment / total if total > 0 else np.nan
        for i in range(first[s], first[s + 1]):
            out[i] -= mean


@compiled
def _deviations(rows, anchor, anchor_mag, set_aside, y, p, worst, count, all_rows, sums):  # type: ignore[no-untyped-def]
    first, index, value, weight, kept = rows
    longest = 1
    for s in range(len(first) - 1):
        longest = max(longest, first[s + 1] - first[s])
    r = np.empty(longest)
    for s in range(len(first) - 1):
        if set_aside[s]:
            continue
        begin, n = first[s], first[s + 1] - first[s]
        total, moment, used = anchor[s], anchor[s] * anchor_mag[s], 0
        for i in range(n):
            r[i] = y[begin + i] - modelled_row(index, value, p, begin + i)
            w = np.float64(weight[begin + i]) * kept[begin + i]
            total += w
            moment += w * r[i]
            used += kept[begin + i]
        mean = moment / total if total > 0 else 0.0
        sums[1] += used
        sums[2] += used > 0
        for i in range(n):
            w, rejected = np.float64(weight[begin + i]), kept[begin + i] == 0
            size = np.sqrt(w) * abs(r[i] - mean)
            sums[0] += 0.0 if rejected else size * size
            for b in range(index.shape[1]):
                j = index[begin + i, b]
                all_rows[j] += w > 0
                if not rejected:
                    count[j] += 1
                    worst[j] = max(worst[j], size)


@compiled
def _reject(rows, anchor, anchor_mag, set_aside, y, p, bar, clip, steps):  # type: ignore[no-untyped-def]
    first, index, value, weight, kept = rows
    longest = 1
    for s in range(len(first) - 1):
        longest = max(longest, first[s + 1] - first[s])
    r = np.empty(longest)
    least = np.empty(longest)
    was = np.empty(longest, np.uint8)
    changed = 0
    for s in range(len(first) - 1):
        begin, n = first[s], first[s + 1] - first[s]
        if set_aside[s]:
            continue
        for i in range(n):
            r[i] = y[begin + i] - modelled_row(index, value, p, begin + i)
            was[i] = kept[begin + i]
            least[i] = 0.0
            for b in range(index.shape[1]):
                least[i] = max(least[i], bar[index[begin + i, b]])
        for _ in range(steps):
            if not _step(r, least, n, weight, kept, begin, anchor[s], anchor_mag[s], clip):
                break
        for i in range(n):
            changed += was[i] != kept[begin + i]
    return changed


@compiled
def _step(r, least, n, weight, kept, begin, anchor, anchor_mag, clip):  # type: ignore[no-untyped-def]
    total, moment = anchor, anchor * anchor_mag
    for i in range(n):
        w = np.float64(weight[begin + i]) * kept[begin + i]
        total += w
        moment += w * r[i]
    if total <= 0:
        return False
    mean = moment / total
    worst, furthest, best, nearest = -1, clip, -1, clip
    for i in range(n):
        size = np.sqrt(np.float64(weight[begin + i])) * abs(r[i] - mean)
        if kept[begin + i]:
            if size > furthest * (1 + TIE):
                worst, furthest = i, size
        elif weight[begin + i] > 0 and size < nearest * (1 - TIE):
            best, nearest = i, size
    if worst >= 0:
        if furthest < least[worst]:
            return False
        kept[begin + worst] = 0
        return True
    if best >= 0:
        kept[begin + best] = 1
        return True
    return False
