"""How far single parameters can be trusted: what hangs on few measurements, or had many of them rejected.

An outlier among n measurements of a parameter moves it by a part of its size and is found by what it leaves over;
where n is small it leaves nothing.  What could be hidden so is added to the variance, and the parameter is flagged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.fit.model import Floats, Model, Parts
from ztf_in2p3.fit.normal import Diagonals
from ztf_in2p3.recipes import RobustRecipe

FEW_MEASUREMENTS, FEW_STARS, CONTESTED = 1, 2, 4
"""Bits of a flag: fewer measurements or stars than the recipe asks for; too large a part of them was rejected."""

MEANING = "1: few measurements, 2: few stars, 4: many measurements rejected"


def trust(model: Model, diag: Diagonals, clip: float, recipe: RobustRecipe) -> tuple[NDArray[np.int8], Floats]:
    """Flag of each parameter, and the variance that outliers may add to it unseen.

    Parameters
    ----------
    clip
        Rejection threshold of the last round, standard deviations.
    """
    reduced = np.where(diag.determined, diag.reduced, 0.0)
    sums = model.total(_sums, reduced, clip, recipe.outlier_scale)
    kept, total, stars, hidden = sums
    flag = FEW_MEASUREMENTS * (kept < recipe.least_measurements)
    flag += FEW_STARS * (stars < recipe.least_stars)
    # By chance, a good parameter loses the recipe's part and, of few measurements, two more.
    flag += CONTESTED * (total - kept > recipe.contested * total + 1)
    chance = (np.sum((total - kept)[model.span(model.families[0].name)]) + 1) / (model.n_row + 1)
    flag[kept == 0] = 0
    return flag.astype(np.int8), np.where(diag.determined, chance * hidden, 0.0)


def _sums(parts: Parts, reduced: Floats, clip: float, scale: float) -> Floats:
    sums = np.zeros((4, len(reduced)))
    last = np.full(len(reduced), -1, np.int64)
    for part in parts:
        _add(part.rows, part.anchor, part.set_aside, reduced, min(clip, 1e6), scale, last, sums)
        last[:] = -1
    return sums


@compiled
def _add(rows, anchor, set_aside, reduced, clip, scale, last, sums):  # type: ignore[no-untyped-def]
    """Measurements, all and kept, stars that compare, and the squared shift that outliers can hide, by parameter."""
    first, index, value, weight, kept = rows
    n_unit = index.shape[1] - value.shape[1]
    for s in range(len(first) - 1):
        if set_aside[s]:
            continue
        total, used = anchor[s], 0
        for i in range(first[s], first[s + 1]):
            total += np.float64(weight[i]) * kept[i]
            used += kept[i]
        for i in range(first[s], first[s + 1]):
            w = np.float64(weight[i])
            if w == 0:
                continue
            share = w / total if total > 0 else 1.0
            freedom = 1 - share
            for b in range(index.shape[1]):
                v = 1.0 if b < n_unit else np.float64(value[i, b - n_unit])
                if kept[i] and reduced[index[i, b]] > 0:
                    freedom -= w * (1 - share) * v * v / reduced[index[i, b]]
            reach = min(scale, clip / np.sqrt(w) / max(freedom, 1e-3))
            for b in range(index.shape[1]):
                j = index[i, b]
                v = 1.0 if b < n_unit else np.float64(value[i, b - n_unit])
                sums[1, j] += 1
                if kept[i]:
                    sums[0, j] += 1
                    if used > 1 or anchor[s] > 0:
                        if last[j] != s:
                            sums[2, j] += 1
                            last[j] = s
                        pull = min(1.0, w * (1 - share) * abs(v) / reduced[j]) if reduced[j] > 0 else 0.0
                        # What the measurement's other parameters take of an outlier, this one is spared.
                        pull *= min(1.0, max(freedom, 0.0) + pull * abs(v))
                        sums[3, j] += pull * pull * reach * reach / 3 * reach / scale
