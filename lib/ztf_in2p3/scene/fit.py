"""All exposures of a source at once: one galaxy, one position, one flux an exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.contradictions import clear_beside, contradicting, drop, drop_troubled, leave_masked_out
from ztf_in2p3.scene.elimination import FLUX
from ztf_in2p3.scene.model import ExposureFlag, FitFlag, SceneFit, Series
from ztf_in2p3.scene.passes import Passes
from ztf_in2p3.scene.quiet import quiet_fluxes
from ztf_in2p3.scene.solve import Noise, SceneSolution, covariance, solve
from ztf_in2p3.scene.usable import usable_exposures

STANDARD = SceneRecipe()
ENOUGH_QUIET = 3
"""Quiet exposures that tell the galaxy by themselves to begin with, and which of them is unlike the others."""
DROPS = 2
"""Rounds of leaving out exposures that contradict the others."""
INFLUENTIAL = 3.0
"""Standard deviations of a flux; an exposure that moves a flux by more, by itself, is flagged."""
SHINING = 5.0
"""Standard deviations from which a quiet exposure is said to show the source."""
TRIED = 40
"""Quiet exposures that are left out in turn: of more, none decides."""


def fit_scene(series: Series, recipe: SceneRecipe = STANDARD) -> SceneFit:
    """Light curve of a transient on its galaxy.

    Raises
    ------
    DegenerateScene
        No usable exposure is known to be free of the transient.
    NothingToFit
        No usable exposure of the transient, or none at all.
    """
    return _fit(series, recipe, galaxy=True, motion=False)


def fit_star(series: Series, recipe: SceneRecipe = STANDARD, *, motion: bool = True) -> SceneFit:
    """Light curve of a star by the same estimator: the same PSF and weights, no galaxy, proper motion.

    Raises
    ------
    NothingToFit
        No usable exposure.
    """
    return _fit(series, recipe, galaxy=False, motion=motion)


def _fit(series: Series, recipe: SceneRecipe, *, galaxy: bool, motion: bool) -> SceneFit:
    usable = usable_exposures(series, recipe, galaxy=galaxy)
    fit = Passes.begin(series, recipe, usable, galaxy=galaxy, motion=motion)
    # No model yet: sky, fluxes and galaxy at the catalogue position; of quiet exposures alone, if there are enough.
    fit.begun = fit.quiet if len(fit.quiet) >= ENOUGH_QUIET else fit.used
    fit.run_pass(fit.begun, clip=np.inf)
    fit.solve()
    while drop_troubled(fit, fit.quiet):
        pass
    fit.begin_active()
    clear_beside(fit)
    fit.find_place()
    while drop_troubled(fit, fit.used):
        fit.find_place()  # what was dropped may have told it
    leave_masked_out(fit)
    solution, noise, settled = fit.settle()
    for _ in range(DROPS):
        failing = contradicting(fit, noise)
        if not len(failing):
            break
        drop(fit, failing)
        solution, noise, settled = fit.settle()
    return _result(fit, solution, noise, settled)


def _result(fit: Passes, solution: SceneSolution, noise: Noise, settled: bool) -> SceneFit:
    series, state, active = fit.series, fit.state, fit.active
    n, side = len(series), series.side
    cov, free = covariance(fit.equations, noise, solution, active, fit.recipe.position_error)
    cov_place = np.zeros((len(state.place), len(state.place)))
    cov_place[: len(free), : len(free)] = free
    n_pixel = state.keep.sum(axis=1)
    rejected = fit.given & ~state.keep
    lost = rejected[fit.used].sum(axis=1) > 0.05 * fit.given[fit.used].sum(axis=1)
    fit.flag[fit.used] |= np.where(lost, ExposureFlag.MANY_REJECTED, 0)
    freedom = fit.freedom()
    off = np.isfinite(noise.chi2) & (np.abs(noise.chi2 - freedom) > 5 * np.sqrt(2 * freedom))
    fit.flag |= np.where(off, ExposureFlag.POOR_FIT, 0)
    # An error holds what the model lacks, as far as the pixels tell; and what stars are wider than one another.
    spread = np.sqrt(np.where(off, np.maximum(noise.chi2 / freedom, 1), 1))[active]
    cov *= spread[:, None] * spread
    cov[range(len(active)), range(len(active))] += (series.flux_floor * state.nuisance[:, FLUX])[active] ** 2
    influence = _influence(fit, np.sqrt(np.diag(cov)))
    fit.flag |= np.where(influence > INFLUENTIAL, ExposureFlag.INFLUENTIAL, 0)
    quiet_flux, quiet_error = quiet_fluxes(fit, solution)
    shines = quiet_flux > SHINING * quiet_error
    fit.flag |= np.where(shines, ExposureFlag.SHINES, 0)
    flag = FitFlag(0)
    if not state.free_place:
        flag |= FitFlag.POSITION_KEPT
    if np.abs(state.place[:2]).max() > 2 * fit.recipe.position_error:
        flag |= FitFlag.POSITION_FAR
    if not settled:
        flag |= FitFlag.UNSETTLED
    if np.sum(off & (noise.chi2 > freedom)) > len(fit.used) / 3:
        flag |= FitFlag.POOR
    if np.any(influence > INFLUENTIAL):
        flag |= FitFlag.INFLUENCED
    if shines.sum() > 0.1 * len(fit.quiet):
        flag |= FitFlag.SHINES_EARLY_OR_LATE
    flux = np.full(n, np.nan)
    flux[active] = state.nuisance[active, FLUX]
    measured = np.zeros(n, bool)
    measured[active] = True
    return SceneFit(
        flux,
        measured,
        cov,
        state.place,
        cov_place,
        state.galaxy.reshape(fit.nodes.side, fit.nodes.side),
        fit.nodes.step,
        state.nuisance[:, 0],
        state.nuisance[:, 1],
        state.nuisance[:, 2:4],
        noise.chi2,
        n_pixel,
        rejected.reshape(n, side, side),
        fit.flag,
        flag,
        freedom,
        influence,
        quiet_flux,
        quiet_error,
    )


def _influence(fit: Passes, error: NDArray) -> NDArray[np.float64]:
    """(exposure,): what each quiet exposure does to the fluxes, by leaving it out; the most telling of many."""
    influence, quiet = np.full(len(fit.series), np.nan), np.setdiff1d(fit.used, fit.active)
    if not fit.galaxy or len(quiet) < 2:
        return influence
    flux, state = fit.state.nuisance[fit.active, FLUX].copy(), fit.state
    for i in map(int, quiet[:TRIED]):
        pixels = fit.exposure_model.linearise(i, state, fit.recipe.clip, fit.recipe.model_error)
        solution = solve(fit.equations.without(i, pixels), state, fit.recipe.ridge, fit.recipe.position_error)
        influence[i] = np.max(np.abs(solution.nuisance[fit.active, FLUX] - flux) / error)
    return influence
