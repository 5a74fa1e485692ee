"""How well a star that took no part in the fit repeats, measurement after measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit import rejection
from ztf_in2p3.fit.model import Floats, InMemory, Model, Partition, Parts
from ztf_in2p3.fit.stars import HELD_OUT, residuals


@dataclass(frozen=True, slots=True, eq=False)
class Repeatability:
    """Scatter of calibrated measurements around their star's mean, by magnitude; arrays of one length."""

    magnitude: Floats
    """Middle of the bin."""
    rms: Floats
    """Magnitudes; the star's own mean, taken from the same measurements, is allowed for."""
    expected: Floats
    """Scatter expected from the errors of the measurements alone."""
    count: NDArray[np.int64]
    """Measurements, rejected ones not included."""
    rejected: NDArray[np.int64]


def held_out_repeatability(model: Model, p: Floats, clip: float, *, width: float = 0.5) -> Repeatability:
    """Repeatability of the stars held out, calibrated with parameters found without them.  `p`: (parameter,).

    Parameters
    ----------
    p
        In the order of the model.
    clip
        Rejection threshold, as in the fit.
    width
        Width of a bin, magnitudes.
    """
    sums: dict[int, Floats] = {}
    for part in model.each(_sums, p, clip, width):
        for cell, values in part.items():
            sums[cell] = sums.get(cell, 0) + values
    cells = np.array(sorted(sums), int)
    square, noise, good, rows = np.array([sums[cell] for cell in cells]).reshape(-1, 4).T
    with np.errstate(invalid="ignore", divide="ignore"):
        rms, expected = np.sqrt(square / good), np.sqrt(noise / good)
    count = good.astype(np.int64)
    return Repeatability((cells + 0.5) * width, rms, expected, count, rows.astype(np.int64) - count)


def _sums(parts: Parts, p: Floats, clip: float, width: float) -> dict[int, Floats]:
    """Sums by bin of magnitude: squared residuals, variances, measurements, and those with rejected ones."""
    sums: dict[int, Floats] = {}
    known = np.isfinite(p)
    for part in parts:
        tested = subset(part, part.set_aside == HELD_OUT)
        if np.isfinite(clip):
            rejection.reject_in(InMemory([tested]), np.where(known, p, 0.0), clip)
        mag, square, noise, good = _scatter(tested, p, known)
        cells, at = np.unique(np.floor(mag / width).astype(int), return_inverse=True)
        weights = (square * good, noise * good, good, np.ones(len(at)))
        for cell, *values in zip(cells, *(np.bincount(at, w, len(cells)) for w in weights), strict=True):
            sums[int(cell)] = sums.get(int(cell), 0) + np.array(values)
    return sums


def _scatter(part: Partition, p: Floats, known: NDArray[np.bool_]) -> tuple[NDArray, ...]:
    """Magnitude, squared residual and variance of measurements with known parameters, and which count."""
    calibrated = known[part.index].all(axis=1)
    part = replace(part, kept=part.kept * calibrated)
    star, used = part.star_of_rows(), part.kept > 0
    total = np.bincount(star, part.weight * used, part.n_star)[star]
    several = np.bincount(star, used, part.n_star)[star] > 1
    r = residuals(part, np.where(known, p, 0.0)).astype(float)
    # A residual from the weighted mean of all has 1 - w / W of its own variance.
    freedom = np.where(used & several, 1 - part.weight / np.where(total > 0, total, 1), 1)
    square = np.where(used & several, r**2, 0) / freedom
    at = np.flatnonzero(calibrated)
    return part.reference[star[at]], square[at], 1 / part.weight[at].astype(float), (used & several)[at]


def subset(part: Partition, wanted: NDArray[np.bool_]) -> Partition:
    """Some stars of a partition, none of them set aside and nothing rejected.  `wanted`: (star,)."""
    n_row = np.diff(part.first)
    rows = np.repeat(wanted, n_row)
    return Partition(
        first=np.concatenate([[0], np.cumsum(n_row[wanted])]).astype(np.int64),
        index=part.index[rows],
        value=part.value[rows],
        y=part.y[rows],
        weight=part.weight[rows],
        kept=np.ones(int(rows.sum()), np.uint8),
        star_id=part.star_id[wanted],
        reference=part.reference[wanted],
        anchor=part.anchor[wanted],
        anchor_mag=part.anchor_mag[wanted],
        set_aside=np.zeros(int(wanted.sum()), np.uint8),
        origin=part.origin_of(np.flatnonzero(rows)),
    )
