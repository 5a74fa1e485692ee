"""The equilibrium function of a pocket, measured on what it releases behind rows of known level.

A row that ends on sky of level S leaves f(S) in the pocket, and the overscan shows how it comes
out: o_j + f(o_j) = f(o_(j-1)), o_0 = S.  The thirty columns end before all is out, and the last
ones, which give the electronic floor, still hold some (0.7 to 0.9 ADU on CCD 6: a sum over a floor taken
from them is 18 % low); so floor and release are fitted together, each profile with its own floor.
One function must explain all levels, those of the sky and those of the overscan itself.

The overscan is blind to one thing: f and f + constant release alike.  What tells them apart is the
first pixel of each row, which fills the empty pocket and shows o with o + f(o) = S.  That pixel's own response
is not known (flats are corrected with what is measured here), but it takes in proportion to S, and f grows
much more slowly: the response of the first pixels of each block of rows is one more unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ztf_in2p3.compiled import compiled
from ztf_in2p3.errors import BadData
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.sensor.equilibrium import NODES
from ztf_in2p3.sensor.pocket_function import PocketFunction, spline_basis
from ztf_in2p3.sensor.pocket_profiles import Profiles

CLIP = 5.0
"""Robust standard deviations; profiles further from the fit are left out."""
_ROUNDS = 10
_FIRST_KNOT = 0.1
"""ADU; below, the function goes on as the power that it is there."""
_BEND = 0.1
"""Expected size of the second differences of the spline's coefficients: what no profile shows stays straight."""
_SLOPE = 0.03
"""Per kelvin, expected size of the slope of ln f, for exposures all of one temperature."""
_RESPONSE = 0.02
"""Expected size of the response of the first pixels of a block over that of their neighbours, less 1."""
_SETTLED = 1e-3
"""ADU by which the floors may still move from round to round."""


@dataclass(frozen=True, slots=True, eq=False)
class PocketFit(PocketFunction):
    """The function, and how well it fits."""

    used: NDArray[np.bool_]
    """(profile,) whether it was used."""
    chi2: float
    """Per degree of freedom of those used."""


def fit_equilibrium(profiles: Profiles, *, spans: int = 9) -> PocketFit:
    """Fit the equilibrium function to profiles of many levels and temperatures.

    Profiles whose residual is beyond 5 robust standard deviations are left out until no more are.
    Errors are those of the profiles, enlarged if the fit is worse than they allow.

    Parameters
    ----------
    spans
        Spans of the spline, evenly in the logarithm from 0.1 ADU to the highest level.

    Raises
    ------
    BadData
        Fewer profiles than parameters.
    """
    n_free = spans + 4
    if len(profiles) < n_free:
        raise BadData(f"{len(profiles)} overscan profiles for {n_free} parameters of a pocket; take more exposures")
    knots = np.linspace(np.log(_FIRST_KNOT), np.log(profiles.level.max()), spans + 1)
    reference = float(np.median(profiles.kelvin))
    nodes = spline_basis(knots, NODES.astype(np.float64))
    theta = _guess(profiles, knots)
    used, floor = np.ones(len(profiles), bool), np.zeros(len(profiles))
    known = np.isfinite(profiles.first)
    for _ in range(_ROUNDS):
        # Over the floor that the round before found: an error of it of 1 ADU moves the next by a hundredth.
        over = replace(
            profiles, level=profiles.level - floor, first=profiles.first - floor, start=profiles.start - floor
        )
        fitted = [(over.take(used), known[used]), nodes, reference]
        solution = least_squares(_residuals, theta, args=fitted, diff_step=1e-5, x_scale="jac", method="lm")
        theta = solution.x
        left, first, _ = _compare(theta, over, known & used, nodes, reference)
        floor, before = left.mean(axis=1), floor
        size = np.sqrt(np.mean((left - floor[:, np.newaxis]) ** 2, axis=1)) / profiles.error
        near = _without_outliers(size, np.ones_like(used), used)
        sure = _without_outliers(np.abs(first), np.isfinite(profiles.first), known & used)
        same = np.array_equal(near, used) and np.array_equal(sure, known)
        if (same and np.abs(floor - before).max() < _SETTLED) or near.sum() < n_free:
            break
        used, known = near, sure
    freedom = used.sum() * (profiles.overscan.shape[1] - 1) + (known & used).sum() - len(theta)
    chi2 = float(2 * solution.cost / max(freedom, 1))
    covariance = np.linalg.pinv(solution.jac.T @ solution.jac) * max(chi2, 1.0)
    return PocketFit(knots, theta, covariance, reference, used, chi2)


def _guess(profiles: Profiles, knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the overscan shows over its last column, as a power 0.4 of the level."""
    release = np.median((profiles.overscan - profiles.overscan[:, -1:]).sum(axis=1) / profiles.level**0.4)
    centres = knots[0] + (knots[1] - knots[0]) * (np.arange(len(knots) + 2) - 1)
    return np.append(np.log(max(float(release), 0.1)) + 0.4 * centres, 0.0)


def _without_outliers(size: NDArray, known: NDArray[np.bool_], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Known values of `size` within 5 robust standard deviations of the median of those `among`; all (profile,)."""
    if not among.any():
        return known
    middle = np.median(size[among])
    spread = robust_sigma(size[among], middle)
    return known & (np.nan_to_num(size, nan=np.inf) <= middle + CLIP * spread)


def _residuals(
    theta: NDArray, fitted: tuple[Profiles, NDArray[np.bool_]], nodes: NDArray, reference: float
) -> NDArray[np.float64]:
    """Residuals of profiles and first pixels over their errors, then those of the parameters over their priors."""
    profiles, known = fitted
    left, first, response = _compare(theta, profiles, known, nodes, reference)
    left -= left.mean(axis=1, keepdims=True)  # the best floor
    expected = np.diff(theta[:-1], 2) / _BEND, theta[-1:] / _SLOPE, response / _RESPONSE
    return np.concatenate([(left / profiles.error[:, np.newaxis]).ravel(), first[known], *expected])


def _compare(
    theta: NDArray, profiles: Profiles, known: NDArray[np.bool_], nodes: NDArray, reference: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Residuals of the overscans and of the first pixels, and the response that fits best to the latter.

    Returns
    -------
    Overscans less their release (profile, column), ADU; first pixels less what their level says, in units of their
    errors; the response of the first pixels of each block, less 1, that fits best to those known.
    """
    grid = np.append(0.0, NODES.astype(np.float64))
    charge = np.append(0.0, np.exp(np.clip(nodes @ theta[:-1], -30, 30)))
    warmth = np.exp(np.clip(theta[-1] * (profiles.kelvin - reference), -5, 5))
    left = profiles.overscan - _release(grid, charge, warmth, profiles.level, profiles.overscan.shape[1])
    excess = profiles.first + warmth * np.interp(profiles.first, grid, charge) - profiles.start
    n_block = int(profiles.block.max()) + 1
    excess_over, level_over = (value[known] / profiles.start_error[known] for value in (excess, profiles.start))
    sums = [np.bincount(profiles.block[known], level_over * weight, n_block) for weight in (excess_over, level_over)]
    response = sums[0] / (sums[1] + _RESPONSE**-2.0)
    return left, (excess - profiles.start * response[profiles.block]) / profiles.start_error, response


@compiled(error_model="python")
def _release(grid, charge, warmth, level, columns):  # type: ignore[no-untyped-def]
    """o_j of each profile, (profile, column), for charges at the levels of a grid and their factors (profile,)."""
    released = np.empty((len(level), columns))
    for p in range(len(level)):
        w, top = warmth[p], len(grid) - 1
        low, high = 0, top  # NumPy's own search takes 1.5 s to compile
        while high - low > 1:
            middle = (low + high) // 2
            if grid[middle] > level[p]:
                high = middle
            else:
                low = middle
        held = w * (
            charge[low] + (charge[low + 1] - charge[low]) * (level[p] - grid[low]) / (grid[low + 1] - grid[low])
        )
        for column in range(columns):
            low, high = 0, top  # between two nodes o + f(o) is straight
            while high - low > 1:
                middle = (low + high) // 2
                if grid[middle] + w * charge[middle] > held:
                    high = middle
                else:
                    low = middle
            below = grid[low] + w * charge[low]
            above = grid[high] + w * charge[high]
            o = grid[low] + (grid[high] - grid[low]) * (held - below) / (above - below)
            released[p, column] = o
            held -= o
    return released


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Profiles beside a function, for the eye."""

    level: NDArray[np.float64]
    """(profile,) over the floor, ADU."""
    ratio: NDArray[np.float64]
    """(profile,) what the overscan shows over what it should."""
    ratio_error: NDArray[np.float64]
    left: NDArray[np.float64]
    """(profile, column) of the overscan, less the release and the floor, ADU."""
    first: NDArray[np.float64]
    """(profile,) what the first pixels show over the floor, ADU; NaN: not known."""
    filled: NDArray[np.float64]
    """(profile,) what they lack: the charge that filled the empty pocket."""
    filled_error: NDArray[np.float64]


def compare(function: PocketFunction, profiles: Profiles) -> Compared:
    """What profiles show beside what a measured function says, each profile by itself."""
    nodes = spline_basis(function.knots, NODES.astype(np.float64))
    known = np.isfinite(profiles.first)
    fitted = nodes, function.reference
    left, _, _ = _compare(function.coefficients, profiles, known, *fitted)
    floor = left.mean(axis=1)
    over = replace(profiles, level=profiles.level - floor, first=profiles.first - floor, start=profiles.start - floor)
    left, _, response = _compare(function.coefficients, over, known, *fitted)
    left -= left.mean(axis=1, keepdims=True)
    shape = profiles.overscan - floor[:, np.newaxis] - left
    shape -= shape.mean(axis=1, keepdims=True)
    size = np.sum(shape**2, axis=1)
    return Compared(
        level=over.level,
        ratio=1 + np.sum(shape * left, axis=1) / size,
        ratio_error=profiles.error / np.sqrt(size),
        left=left,
        first=over.first,
        filled=over.start * (1 + response[profiles.block]) - over.first,
        filled_error=profiles.start_error,
    )
