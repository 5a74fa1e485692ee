"""Solve, reject, solve again, until nothing changes; then errors and names for everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.fit import gauge as gauges
from lib.fit import kernels, normal, rejection, solver, uncertainty
from lib.fit.gauge import Degeneracy, Removed
from lib.fit.model import Floats, Model, Partition
from lib.fit.results import Fit, Intake, Parameters, Stars

ROUGH = solver.Stop(residual=1e-4, change=np.inf)
"""Good enough to tell which measurements are far off."""

VARIABLE_DOF = 3
"""Degrees of freedom below which a star is not called variable."""

MANY_REJECTED = 0.2
"""Of a star's measurements, at least two: more than a star loses by chance."""

CORRELATED = 2
"""Families of at most this many parameters get their covariances with all others."""


@dataclass(frozen=True, slots=True)
class RobustRecipe:
    """How outliers are told from measurements."""

    clip: float = 5.0
    """Standard deviations of a measurement; infinite: nothing is rejected."""
    variable: float = 5.0
    """Stars whose chi2 is further above the average star's than this, in standard deviations, are left out."""
    steps: int = rejection.LONG_ENOUGH
    """Rejections in one star between two global solutions."""
    max_rounds: int = 60
    draws: int = 50
    """Solutions of noise from which errors are estimated where the matrix is too large to invert; 0: no errors."""
    method: str = "auto"
    """Of solution: direct, iterative, auto."""
    stop: solver.Stop = solver.Stop()
    version: int = 1


def fit(
    model: Model, recipe: RobustRecipe = RobustRecipe(), *, removed: Sequence[Removed] = (),
    progress: Callable[[solver.Progress], None] | None = None, intake: Intake | None = None,
) -> Fit:  # fmt: skip
    """Parameters, stars and rejected rows of a model.  The model's `kept` and `set_aside` are changed.

    Raises `ValueError` for an unknown method; what the data cannot determine comes back as NaN.
    """
    precondition = solver.preconditioner(model, normal.diagonals(model), recipe.method)
    p, rounds, iterations, converged = _settle(model, recipe, precondition, np.zeros(model.n_param), progress)
    if np.isfinite(recipe.variable) and set_variables_aside(model, p, recipe.variable):
        p, more, iterations, converged = _settle(model, recipe, precondition, p, progress)
        rounds += more
    diag = normal.diagonals(model)
    p = np.where(diag.determined, p, 0.0)
    label = gauges.labelled(model, diag)

    def respond(b: Floats) -> Floats:
        return solver.solve(model, b, precondition, stop=recipe.stop).p

    gauge = gauges.find_gauge(model, diag, label, removed, respond)
    p = np.where(diag.determined, gauge.project(p), 0.0)
    sigma = np.full(model.n_param, np.nan)
    if recipe.draws:
        sigma = uncertainty.sigmas(model, diag, gauge, precondition, draws=recipe.draws)
    correlations = {}
    for family in model.families:
        start = model.span(family.name).start
        if recipe.draws and 0 < family.size <= CORRELATED:
            for j in start + np.flatnonzero(diag.determined[start : start + family.size]):
                covariance = uncertainty.covariance_with(model, gauge, precondition, j, recipe.stop)
                sigma[j] = np.sqrt(max(covariance[j], 0.0))
                most = uncertainty.correlated(covariance, sigma, int(j))
                correlations[f"{family.name} {family.labels[j - start]}"] = tuple((_named(model, k), c) for k, c in most)
    stars, chi2, used = _stars(model, p, label)
    return Fit(
        parameters=_parameters(model, p, sigma, diag, label, gauge.degeneracies),
        stars=stars, rejected=_rejected(model), degeneracies=gauge.degeneracies, correlations=correlations,
        chi2=chi2, dof=used - _freedom(model, diag, gauge, stars), iterations=iterations, rounds=rounds,
        converged=converged, vector=p, gauge=gauge, intake=intake,
    )  # fmt: skip


def _settle(
    model: Model, recipe: RobustRecipe, precondition: solver.Preconditioner, p: Floats,
    progress: Callable[[solver.Progress], None] | None,
) -> tuple[Floats, int, int, bool]:  # fmt: skip
    """Alternate global solutions and rejection; the last solution and the last look are to full accuracy."""
    rough = np.isfinite(recipe.clip)
    for rounds in range(1, recipe.max_rounds + 1):
        b = normal.right_side(model)
        stop = ROUGH if rough else recipe.stop
        solution = solver.solve(model, b, precondition, start=p, stop=stop, progress=progress)
        p = solution.p
        changed = rejection.reject(model, p, recipe.clip, steps=recipe.steps) if np.isfinite(recipe.clip) else 0
        if not changed and not rough:
            return p, rounds, solution.iterations, solution.converged
        rough = rough and changed > 0
    return p, recipe.max_rounds, solution.iterations, False


def set_variables_aside(model: Model, p: Floats, limit: float) -> int:
    """Leave out stars that scatter more than the average star does; returns how many.

    Those with many rejected measurements count too: rejection may have left only what happens to agree.  Chi2 is turned into a Gaussian deviate by Wilson & Hilferty 1931 (PNAS 17, 684), after division by
    the median star's if that is above 1: errors that are all too small make no star variable.
    """
    kept = [(part, *_means(model, part, p)) for part in model.partitions()]
    dof = np.concatenate([used - 1.0 for *_, used in kept])
    chi2 = np.concatenate([chi2 for *_, chi2, _ in kept])
    rejected = np.concatenate([np.diff(part.first) for part, *_ in kept]) - dof - 1
    many = dof >= VARIABLE_DOF
    if not many.any():
        return 0
    scale = max(1.0, float(np.median(chi2[many] / (dof[many] * (1 - 2 / (9 * dof[many])) ** 3))))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = 2 / (9 * dof)
        deviate = (np.cbrt(chi2 / dof / scale) - (1 - spread)) / np.sqrt(spread)
    variable, at = many & (deviate > limit), 0
    variable |= (rejected >= 2) & (rejected > MANY_REJECTED * (rejected + dof + 1))
    for part, *_ in kept:
        here = variable[at : at + part.n_star] & (part.set_aside == 0)
        part.set_aside[here] = VARIABLE
        part.kept[np.repeat(here, np.diff(part.first))] = 0
        at += part.n_star
    return sum(int((part.set_aside == VARIABLE).sum()) for part, *_ in kept)


VARIABLE, HELD_OUT = 1, 2
"""Values of `Partition.set_aside`."""


def _means(model: Model, part: Partition, p: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.int32]]:
    """Mean over the reference, weight, chi2 and rows used of each star."""
    mean, total, chi2 = (np.empty(part.n_star) for _ in range(3))
    used = np.empty(part.n_star, np.int32)
    kernels.star_means(
        part.rows, part.anchor, part.anchor_mag, part.y, model.units, model.width, p, mean, total, chi2, used
    )
    return mean, total, chi2, used


def residuals(model: Model, part: Partition, p: Floats) -> NDArray[np.float32]:
    """(row,): measured minus fitted, magnitudes; rejected rows included."""
    out = np.empty(len(part.y), np.float32)
    kernels.residuals(part.rows, part.y, model.units, model.width, p, _means(model, part, p)[0], out)
    return out


def _stars(model: Model, p: Floats, label: NDArray[np.int32]) -> tuple[Stars, float, int]:
    columns: dict[str, list[NDArray]] = {name: [] for name in Stars.__slots__}
    for part in model.partitions():
        mean, total, chi2, used = _means(model, part, p)
        n_row = np.diff(part.first).astype(np.int32)
        aside = part.set_aside > 0
        with np.errstate(divide="ignore"):
            sigma = np.where(total > 0, 1 / np.sqrt(total), np.nan)
        one = {
            "star_id": part.star_id, "mag": part.reference + mean, "sigma": sigma, "count": used,
            "rejected": np.where(aside, 0, n_row - used).astype(np.int32), "chi2": chi2,
            "variable": part.set_aside == VARIABLE, "held_out": part.set_aside == HELD_OUT,
            "component": label[part.index[part.first[:-1], 0]] if len(part.y) else np.zeros(0, np.int32),
        }  # fmt: skip
        for name, column in one.items():
            columns[name].append(column)
    stars = Stars(**{name: np.concatenate(parts) for name, parts in columns.items()})
    return stars, float(stars.chi2.sum()), int(stars.count.sum())


def _freedom(model: Model, diag: normal.Diagonals, gauge: gauges.Gauge, stars: Stars) -> int:
    """Parameters that the data determined, stars included."""
    free = int((diag.determined & (model.prior_weight == 0)).sum())
    return free + int((stars.count > 0).sum()) - gauge.direction.shape[1]


def _rejected(model: Model) -> NDArray[np.int64]:
    rows = [np.zeros(0, np.int64)]
    for part in model.partitions():
        out = (part.kept == 0) & (np.repeat(part.set_aside, np.diff(part.first)) == 0)
        rows.append(part.origin_of(np.flatnonzero(out)))
    return np.sort(np.concatenate(rows))


def _parameters(
    model: Model, p: Floats, sigma: Floats, diag: normal.Diagonals, label: NDArray[np.int32],
    degeneracies: Sequence[Degeneracy],
) -> dict[str, Parameters]:  # fmt: skip
    result = {}
    for family in model.families:
        span = model.span(family.name)
        treated = list(dict.fromkeys(d.treatment if d.exact else f"{d.name} {d.treatment}" for d in degeneracies
                                     if d.family == family.name))  # fmt: skip
        result[family.name] = Parameters(
            family.name, family.labels, np.where(diag.determined[span], p[span], np.nan), sigma[span],
            diag.count[span], label[span], "; ".join(treated) or "absolute", family.unit,
        )  # fmt: skip
    return result


def _named(model: Model, parameter: int) -> str:
    at = int(np.searchsorted(model.offsets, parameter, side="right")) - 1
    family = model.families[at]
    return f"{family.name} {family.labels[parameter - int(model.offsets[at])]}"
