"""Robust rejection of measurements, one worst of a star at a time.

A step on a star: its kept measurement furthest from the star's mean is rejected if it is
beyond the clip; if none is, the rejected one nearest to it is restored if it is within.  With
the parameters fixed, each step lowers sum of min(residual^2 / sigma^2, clip^2), and so does the
star's new mean; a global solve lowers it too.  It can therefore not go round in circles, and
many steps may be taken inside each star between two global solves: one in the first round, when
the parameters still suffer from all outliers, and twice as many in each that follows.
"""

from __future__ import annotations

import numpy as np

from ztf_in2p3.compiled import compiled
from ztf_in2p3.fit.kernels import modelled_row
from ztf_in2p3.fit.model import Floats, Model, Parts, changing

TIE = 1e-6
"""Relative difference of pulls below which the first of a star's rows counts as the worst."""

LONG_ENOUGH = 1 << 20
"""Steps in one star: never reached, because each lowers a sum that has finitely many values."""


def reject(model: Model, p: Floats, clip: float, *, steps: int = LONG_ENOUGH) -> int:
    """Bring `kept` up to date with the parameters; returns how many measurements changed sides."""
    return sum(model.each(reject_in, p, clip, steps))


def reject_in(parts: Parts, p: Floats, clip: float, steps: int = LONG_ENOUGH) -> int:
    changed = 0
    for part in changing(parts):
        changed += _reject(part.rows, part.anchor, part.anchor_mag, part.set_aside, part.y, p, clip, steps)
    return changed


@compiled
def _reject(rows, anchor, anchor_mag, set_aside, y, p, clip, steps):  # type: ignore[no-untyped-def]
    first, index, value, weight, kept = rows
    longest = 1
    for s in range(len(first) - 1):
        longest = max(longest, first[s + 1] - first[s])
    r = np.empty(longest)
    was = np.empty(longest, np.uint8)
    changed = 0
    for s in range(len(first) - 1):
        begin, n = first[s], first[s + 1] - first[s]
        if set_aside[s]:
            continue
        for i in range(n):
            r[i] = y[begin + i] - modelled_row(index, value, p, begin + i)
            was[i] = kept[begin + i]
        for _ in range(steps):
            if not _step(r, n, weight, kept, begin, anchor[s], anchor_mag[s], clip):
                break
        for i in range(n):
            changed += was[i] != kept[begin + i]
    return changed


@compiled
def _step(r, n, weight, kept, begin, anchor, anchor_mag, clip):  # type: ignore[no-untyped-def]
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
        kept[begin + worst] = 0
        return True
    if best >= 0:
        kept[begin + best] = 1
        return True
    return False
