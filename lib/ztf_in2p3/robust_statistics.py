"""Numbers of a sample that a minority of outliers cannot move, and fits that leave outliers out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIGMA_PER_MAD = 1.4826
"""Standard deviation of a Gaussian in its median absolute deviations."""
MEDIAN_PER_MEAN = 1.2533
"""Error of the median of many Gaussian values in errors of their mean: sqrt(pi / 2)."""

SIGMA_PER_MEAN_DEVIATION = 1.2533
"""Standard deviation of a Gaussian in its mean absolute deviations: sqrt(pi / 2) too."""

Mask = NDArray[np.bool_]
Result = TypeVar("Result")


def finite_median(values: ArrayLike) -> float:
    """Median of what is finite, NaN if nothing is; values of any shape."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else float("nan")


def grouped_medians(values: NDArray, group: NDArray, n_group: int) -> NDArray:
    """Median of the finite values of each group, (group,); NaN where there are none.

    Parameters
    ----------
    values
        (row,)
    group
        (row,): number of the group, from 0.
    """
    finite = np.isfinite(values)
    values, group = values[finite], group[finite]
    ordered = values[np.lexsort([values, group])]
    count = np.bincount(group, minlength=n_group)
    begin = np.cumsum(count) - count
    out = np.full(n_group, np.nan)
    filled = count > 0
    low, high = (begin + (count - 1) // 2)[filled], (begin + count // 2)[filled]
    out[filled] = (ordered[low] + ordered[high]) / 2
    return out


def robust_sigma(values: NDArray, centre: float | None = None) -> float:
    """Standard deviation of a Gaussian that has the median absolute deviation of the values.

    Parameters
    ----------
    values : any shape
        All finite, and at least one.
    centre
        What deviations are counted from; the median if not given.
    """
    middle = np.median(values) if centre is None else centre
    return SIGMA_PER_MAD * float(np.median(np.abs(values - middle)))


def robust_sigmas(values: NDArray, centre: NDArray | float | None = None) -> NDArray:
    """The same of each column.

    Parameters
    ----------
    values : (row, ...)
    centre : (...)
        What deviations are counted from; the columns' medians if not given.

    Returns
    -------
    (...), of the values' type
    """
    middle = np.median(values, axis=0) if centre is None else centre
    return np.asarray(SIGMA_PER_MAD * np.median(np.abs(values - middle), axis=0))


def clipped_rms(values: NDArray, start: float, *, clip: float, rounds: int, least: float) -> float:
    """Root mean square of what is within `clip` of it, found in rounds; NaN where nothing is.

    Parameters
    ----------
    values : (value,)
        Deviations from what is expected.
    start
        First guess.
    least
        What is not further from 0 is never left out.
    """
    sigma = start
    for _ in range(rounds):
        near = values[np.abs(values) <= max(clip * sigma, least)]
        sigma = float(np.sqrt(np.mean(near.astype(np.float64) ** 2))) if near.size else float("nan")
    return sigma


def refit(fit: Callable[[Mask], tuple[Result, Mask]], used: Mask, rounds: int) -> tuple[Result, Mask]:
    """A fit repeated without its outliers, which may come back, until none leaves and none does.

    Parameters
    ----------
    fit
        Fits the points that are used; returns the result and the points, of all, that are near it.  It ends the
        search by returning the points it was given.
    used : (point,)
        Points of the first fit.
    rounds
        Most fits.

    Returns
    -------
    result
    used : (point,)
        Points near the fit: those it was made of, unless the rounds were too few.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds: a fit takes at least one")
    for _ in range(rounds):
        result, near = fit(used)
        if np.array_equal(near, used):
            break
        used = near
    return result, used
