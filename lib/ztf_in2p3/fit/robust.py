"""Solve, reject, solve again, until nothing changes; then errors and names for everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from ztf_in2p3.fit import error_model, normal, rejection, solver, uncertainty
from ztf_in2p3.fit import gauge as gauges
from ztf_in2p3.fit import stars as star_results
from ztf_in2p3.fit.checkpoint import Checkpoint, FitState
from ztf_in2p3.fit.gauge import Degeneracy, Removed
from ztf_in2p3.fit.model import Floats, Model
from ztf_in2p3.fit.results import Fit, Intake, Parameters
from ztf_in2p3.fit.trust import trust
from ztf_in2p3.recipes import RobustRecipe, Stop

ROUGH = Stop(residual=1e-4, change=np.inf)
"""Good enough to tell which measurements are far off."""

INVISIBLE = Stop(residual=1e-6, change=np.inf)
"""Right to a ten-millionth of the parameters, and so of what is moved along such a direction."""

REVISIONS = 3
"""Times that errors and priors are looked at: once, and again after each change."""

RESTARTS = 2
"""Times that parameters which lost most of their measurements begin anew from the median of all."""

CONTESTED_FROM = 3
"""Measurements below which no majority can be told."""

CORRELATED = 2
"""Families of at most this many parameters get their covariances with all others."""


class Revise(Protocol):
    """Looks at a solution for what is to be changed of the model."""

    def __call__(self, model: Model, p: Floats) -> tuple[Floats | None, Floats | None]:
        """Other prior weights (parameter,), and what is added to the logarithm of the variance in each exposure."""

    def set_priors(self, model: Model, prior_weight: Floats) -> None:
        """Give a model other priors, and leave out of its gauge what they make uncertain.

        `prior_weight`: (parameter,).
        """


def fit(
    model: Model,
    recipe: RobustRecipe = RobustRecipe(),
    *,
    removed: Sequence[Removed] = (),
    progress: Callable[[solver.Progress], None] | None = None,
    intake: Intake | None = None,
    checkpoint: Checkpoint | None = None,
    sums: sparse.csr_array | None = None,
    revise: Revise | None = None,
) -> Fit:
    """Parameters, stars and rejected rows of a model.  What may change of the model is changed.

    Parameters
    ----------
    revise
        Looks at a solution for what priors and exposures' errors should be instead.
    sums
        (sum, parameter): sums of parameters whose errors are wanted.
    checkpoint
        From which an interrupted fit goes on, to the same answer, and in which it notes how far it is.

    Raises `ValueError` for an unknown method; what the data cannot determine comes back as NaN.
    """
    exposures = error_model.Exposures.of_model(model)
    precondition = _preconditioner(model, recipe)
    state = checkpoint.load(model) if checkpoint else None
    state = state or FitState(np.zeros(model.n_param), rough=bool(np.isfinite(recipe.clip)))
    if state.errors:
        error_model.apply(model, state.errors, exposures)
    if state.prior_weight is not None:
        assert revise, "only what revises a fit changes its priors"
        revise.set_priors(model, state.prior_weight)
    if state.errors or state.prior_weight is not None:
        precondition = _preconditioner(model, recipe)
    state, solution = _settle(model, recipe, precondition, state, progress, checkpoint)
    while np.isfinite(recipe.clip) and not state.constant and state.revisions < REVISIONS:
        state, changed = _revised(model, recipe, state, exposures, revise)
        if not changed:
            break
        if checkpoint:
            checkpoint.save(model, state, rows_changed=False)
        precondition = _preconditioner(model, recipe)
        state, solution = _settle(model, recipe, precondition, state, progress, checkpoint)
    if not state.constant and np.isfinite(recipe.variable):
        n = star_results.set_variables_aside(model, state.p, recipe.variable)
        state = replace(_again(state, recipe), constant=True)
        if n:
            if checkpoint:
                checkpoint.save(model, state, rows_changed=True)
            state, solution = _settle(model, recipe, precondition, state, progress, checkpoint)
    while np.isfinite(recipe.clip) and state.restarts < RESTARTS and _restart(model, state):
        state = replace(_again(state, recipe), restarts=state.restarts + 1)
        if checkpoint:
            checkpoint.save(model, state, rows_changed=True)
        state, solution = _settle(model, recipe, precondition, state, progress, checkpoint)
    diag = normal.diagonals(model)
    p = np.where(diag.determined, state.p, 0.0)
    label = gauges.labelled(model, diag)

    def respond(b: Floats) -> Floats:
        return solver.solve(model, b, precondition, stop=INVISIBLE).p

    exact = gauges.exact_gauge(model, diag, label)
    fixed, fixed_names = gauges.fixed_parameters(model, diag)
    gauge = gauges.take_out(exact, model, diag, removed, respond)
    p = np.where(diag.determined, gauge.project(p), 0.0)
    sigma, draws, correlations = np.full(model.n_param, np.nan), np.zeros((model.n_param, 0), np.float32), {}
    flag, hidden = trust(model, diag, state.clip, recipe)
    sums = sparse.csr_array((0, model.n_param)) if sums is None else sums
    sum_sigma = np.full(sums.shape[0], np.nan)
    unknown = sums @ (~(diag.determined | fixed)).astype(float) > 0
    component = np.full(sums.shape[0], -1, np.int32)
    component[~unknown] = gauges.comparable_parts(sums[~unknown], exact, fixed, label)
    if recipe.draws:
        sigma, sum_sigma, draws = uncertainty.sigmas(model, diag, gauge, precondition, draws=recipe.draws, sums=sums)
        correlations = _correlations(model, diag, gauge, precondition, recipe.stop, sigma)
        sigma = np.hypot(sigma, np.sqrt(hidden))
        sum_sigma = np.where(unknown, np.nan, np.hypot(sum_sigma, np.sqrt(sums @ hidden)))
    free = int((diag.determined & (model.prior_weight == 0)).sum()) - gauge.direction.shape[1]
    return Fit(
        parameters=_parameters(model, p, sigma, diag, label, flag, gauge.degeneracies),
        degeneracies=gauge.degeneracies + fixed_names,
        correlations=correlations,
        quality=star_results.quality(model, p, free),
        iterations=solution.iterations,
        rounds=state.rounds + state.earlier_rounds,
        converged=solution.converged,
        vector=p,
        label=label,
        gauge=gauge,
        model=model,
        intake=intake,
        fixed=fixed,
        sum_sigma=sum_sigma,
        sum_component=component,
        draws=draws,
        errors=state.errors or error_model.ErrorModel.unchanged(exposures.n),
        exposures=exposures,
    )


def _preconditioner(model: Model, recipe: RobustRecipe) -> solver.Preconditioner:
    diag = normal.diagonals(model)
    unseen = gauges.exact_gauge(model, diag, gauges.labelled(model, diag)).direction
    return solver.preconditioner(model, diag, unseen, recipe.method)


def _revised(
    model: Model,
    recipe: RobustRecipe,
    state: FitState,
    exposures: error_model.Exposures,
    revise: Revise | None,
) -> tuple[FitState, bool]:
    """Priors and errors as the residuals show that they should be, and whether any was changed."""
    diag = normal.diagonals(model)
    known = state.errors or error_model.ErrorModel.unchanged(exposures.n)
    change = error_model.ErrorModel.unchanged(exposures.n)
    prior_weight, exposure = revise(model, state.p) if revise else (None, None)
    if revise and prior_weight is not None:
        revise.set_priors(model, prior_weight)
        state = replace(state, prior_weight=prior_weight)
    if recipe.error_degree is not None:
        change = error_model.estimate(model, state.p, diag, exposures, recipe.error_degree, known)
    if exposure is not None:
        change = replace(change, exposure=change.exposure + exposure)
    if not change.is_unchanged:
        error_model.apply(model, change, exposures)
        state = replace(state, errors=error_model.combined(known, change))
    state = replace(_again(state, recipe), revisions=state.revisions + 1)
    return state, prior_weight is not None or not change.is_unchanged


def _again(state: FitState, recipe: RobustRecipe) -> FitState:
    """The state from which a fit settles once more, after its measurements changed."""
    rounds = state.rounds + state.earlier_rounds
    return replace(state, rough=bool(np.isfinite(recipe.clip)), rounds=0, earlier_rounds=rounds)


def _restart(model: Model, state: FitState) -> bool:
    """Give parameters that lost most of their measurements all of them back, and begin at their median.

    Which of the two halves is right the other measurements of the stars tell: a median is not taken over
    by fewer than half of its values.  False if no parameter is concerned.
    """
    deviations = rejection.deviations(model, state.p)
    lost = (deviations.total >= CONTESTED_FROM) & (2 * deviations.count < deviations.total)
    lost &= np.concatenate([np.full(family.size, not family.valued) for family in model.families])
    if not lost.any():
        return False
    state.p[:] = rejection.restore(model, state.p, lost)
    rejection.reject(model, state.p, state.clip)
    return True


def _settle(
    model: Model,
    recipe: RobustRecipe,
    precondition: solver.Preconditioner,
    state: FitState,
    progress: Callable[[solver.Progress], None] | None,
    checkpoint: Checkpoint | None,
) -> tuple[FitState, solver.Solution]:
    """Alternate global solutions and rejection; the last solution and the last look are to full accuracy."""
    most = rejection.LONG_ENOUGH if recipe.steps is None else recipe.steps
    while True:
        round_start = state

        def tell(reached: solver.Progress, number: int = round_start.rounds + round_start.earlier_rounds + 1) -> None:
            if progress:
                progress(replace(reached, round=number))

        def save(search: solver.Search, round_start: FitState = round_start) -> None:
            if checkpoint and search.iteration % checkpoint.every == 0:
                checkpoint.save(model, replace(round_start, search=search), rows_changed=False)

        solution = solver.solve(
            model,
            normal.right_side(model),
            precondition,
            start=state.p,
            stop=ROUGH if state.rough else recipe.stop,
            progress=tell,
            search=state.search,
            save=save,
        )
        changed, clip = 0, state.clip
        if np.isfinite(recipe.clip):
            deviations = rejection.deviations(model, solution.p)
            free = int(((deviations.count > 0) & (model.prior_weight == 0)).sum())
            clip = min(clip, recipe.clip * deviations.spread(free))
            steps = min(most, 2**state.rounds)
            changed = rejection.reject(model, solution.p, clip, steps=steps, bar=deviations.bar)
        settled = not changed and not state.rough
        rough = state.rough and changed > 0
        state = replace(state, p=solution.p, rounds=state.rounds + 1, rough=rough, search=None, clip=clip)
        if settled or state.rounds >= recipe.max_rounds:
            return state, replace(solution, converged=solution.converged and settled)
        if checkpoint:
            checkpoint.save(model, state, rows_changed=changed > 0)


def _correlations(
    model: Model,
    diag: normal.Diagonals,
    gauge: gauges.Gauge,
    precondition: solver.Preconditioner,
    stop: Stop,
    sigma: Floats,
) -> dict[str, tuple[tuple[str, float], ...]]:
    """What the parameters of small families are correlated with; their errors become exact on the way."""
    correlations = {}
    for family in model.families:
        start = model.span(family.name).start
        if family.size <= CORRELATED:
            for j in start + np.flatnonzero(diag.determined[start : start + family.size]):
                covariance = uncertainty.covariance_with(model, gauge, precondition, j, stop)
                sigma[j] = np.sqrt(max(covariance[j], 0.0))
                most = uncertainty.correlated(covariance, sigma, int(j))
                correlations[_named(model, int(j))] = tuple((_named(model, k), c) for k, c in most)
    return correlations


def _parameters(
    model: Model,
    p: Floats,
    sigma: Floats,
    diag: normal.Diagonals,
    label: NDArray[np.int32],
    flag: NDArray[np.int8],
    degeneracies: Sequence[Degeneracy],
) -> dict[str, Parameters]:
    result = {}
    for family in model.families:
        span = model.span(family.name)
        treated = list(
            dict.fromkeys(
                d.treatment if d.exact else f"{d.name}: {d.treatment}" for d in degeneracies if d.family == family.name
            )
        )
        unmoved = "absolute" if family.prior_sigma is None else "drawn to its prior"
        result[family.name] = Parameters(
            family.name,
            family.labels,
            np.where(diag.determined[span], p[span], np.nan),
            sigma[span],
            diag.count[span],
            label[span],
            flag[span],
            "; ".join(treated) or unmoved,
            family.unit,
        )
    return result


def _named(model: Model, parameter: int) -> str:
    at = int(np.searchsorted(model.offsets, parameter, side="right")) - 1
    family = model.families[at]
    return f"{family.name} {family.labels[parameter - int(model.offsets[at])]}"
