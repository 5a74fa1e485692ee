"""All exposures of a source at once: one galaxy, one position, one flux an exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, ExposureModel, NormalEquations, SceneState
from ztf_in2p3.scene.errors import DegenerateScene, NothingToFit
from ztf_in2p3.scene.model import ExposureFlag, FitFlag, SceneFit, Series
from ztf_in2p3.scene.solve import Noise, SceneSolution, covariance, flux_response, solve

STANDARD = SceneRecipe()
LOOSE_MODEL = 0.25
"""Model error while the position is sought: a source beside its place must not be rejected."""
SETTLED = 0.01
"""Fraction of a flux's error: passes end when no flux moves by more."""
STRIDE = 0.5
"""Pixels; furthest the position moves in a pass, where its derivatives still hold."""


def fit_scene(series: Series, recipe: SceneRecipe = STANDARD) -> SceneFit:
    """Light curve of a transient on its galaxy.

    Raises
    ------
    DegenerateScene
        No usable exposure is known to be free of the transient.
    NothingToFit
        No usable exposure of the transient, or none at all.
    """
    return _Fit(series, recipe, galaxy=True, motion=False).run()


def fit_star(series: Series, recipe: SceneRecipe = STANDARD, *, motion: bool = True) -> SceneFit:
    """Light curve of a star by the same estimator: the same PSF and weights, no galaxy, proper motion.

    Raises
    ------
    NothingToFit
        No usable exposure.
    """
    return _Fit(series, recipe, galaxy=False, motion=motion).run()


@dataclass(eq=False)
class _Fit:
    series: Series
    recipe: SceneRecipe
    galaxy: bool
    motion: bool

    def run(self) -> SceneFit:
        recipe = self.recipe
        self._prepare()
        self._pass(self.used, clip=np.inf)  # no model yet: sky, fluxes and galaxy at the catalogue position
        solution = self._solve()
        self._pass(self.active, clip=recipe.clip, model_error=LOOSE_MODEL)
        solution = self._solve()
        if self._shines(solution):
            self.state.free_place = True
            for _ in range(recipe.rounds):
                self._pass(self.active, clip=recipe.clip, model_error=LOOSE_MODEL)
                solution = self._solve()
                if np.abs(solution.common[len(self.nodes) :]).max() < 0.02:
                    break
        moved = np.inf
        for left in reversed(range(recipe.rounds)):
            flux, keep = self.state.nuisance[self.active, FLUX].copy(), self.state.keep.copy()
            near = moved < 5 * SETTLED or not left  # the noise costs as much as the rest
            noise = Noise.of(len(self.series), len(solution.common), keep.shape[1]) if near else None
            self._pass(self.used, recipe.clip, recipe.model_error, noise)
            solution = self._solve()
            step = np.abs(self.state.nuisance[self.active, FLUX] - flux) / np.sqrt(self.equations.noise[self.active])
            moved = step.max() if np.array_equal(keep, self.state.keep) else np.inf
            if noise and (moved < SETTLED or not left):
                return self._result(solution, noise, moved < SETTLED)
        raise ValueError(f"{recipe.rounds} rounds: expected at least one")

    def _prepare(self) -> None:
        series, recipe = self.series, self.recipe
        n, side = len(series), series.side
        finite = np.isfinite(series.data) & ~series.bad
        start = finite.reshape(n, -1)
        numbers = np.column_stack([series.variance, series.gain, series.throughput])
        self.flag = np.where(series.active, 0, ExposureFlag.QUIET)
        usable = (start.mean(axis=1) > 0.2) & (np.isfinite(numbers) & (numbers > 0)).all(axis=1)
        self.flag[~usable] |= ExposureFlag.UNUSABLE
        covered = np.zeros(n)
        for i in np.flatnonzero(usable):
            psf = series.psf[i].draw(series.origin[i, 0], series.origin[i, 1], (side, side))[0]
            covered[i] = _coverage(psf, finite[i])
        hidden = usable & (covered < recipe.min_coverage)
        self.flag[hidden] |= ExposureFlag.MASKED
        self.active = np.flatnonzero(usable & ~hidden & series.active)
        quiet = np.flatnonzero(usable & ~series.active)
        self.used = np.sort(np.concatenate([self.active, quiet]))
        if not len(self.active):
            raise NothingToFit(
                f"none of {n} exposures can measure the source: {n - usable.sum()} unusable, {hidden.sum()} with less "
                f"than {recipe.min_coverage:.0%} of it on good pixels, {np.sum(~series.active)} before or after it "
                "shines; look at their masks, or at the window of the transient"
            )
        if self.galaxy and not np.any(~hidden[quiet]):
            raise DegenerateScene(
                f"the transient may shine in each of the {len(self.active)} usable exposures: a constant more in all "
                "fluxes and a point source less in the galaxy give the same pixels, so no flux is determined. "
                "Add exposures from before the transient or long after it, or narrow its window"
            )
        self.nodes = Nodes.covering(series, recipe.step, recipe.margin) if self.galaxy else Nodes(recipe.step, -1)
        self.exposure_model = ExposureModel(series, Design(series, self.nodes, self.used))
        n_place = 4 if self.motion else 2
        self.state = SceneState(
            np.zeros(len(self.nodes)), np.zeros(n_place), np.zeros((n, N_NUISANCE)), start.copy(), start
        )
        self.equations = NormalEquations.of(n, len(self.nodes), n_place, side**2)

    def _pass(self, exposures: NDArray, clip: float, model_error: float = 0.0, noise: Noise | None = None) -> None:
        for i in map(int, exposures):
            pixels = self.exposure_model.linearise(i, self.state, clip, model_error)
            self.equations.take(i, pixels)
            if noise:
                noise.take(i, pixels)

    def _solve(self) -> SceneSolution:
        solution = solve(self.equations, self.state, self.recipe.ridge, self.recipe.position_error)
        self.state.galaxy = solution.common[: len(self.nodes)]
        self.state.nuisance = solution.nuisance
        if self.state.free_place:
            step = solution.common[len(self.nodes) :]
            self.state.place = self.state.place + step * min(1, STRIDE / np.abs(step[:2]).max(initial=1e-99))
        return solution

    def _shines(self, solution: SceneSolution) -> bool:
        """Whether the fluxes are so significant that they tell where the source is.

        Fitting the place of noise finds its highest peak, and fluxes that are too large.  At the threshold, a
        signal to noise ratio near 8 in all, that costs a flux 1/64 of itself, an eighth of its error.
        """
        active, size = self.active, len(self.nodes)
        response = flux_response(self.equations, size)[active]
        noise = self.equations.noise[active]
        white = self.equations.r[active, FLUX, FLUX] ** -2.0  # what it would be without photons of the model
        covariance = np.mean(noise / white) * response @ solution.inverse_times(response.T)
        covariance[range(len(active)), range(len(active))] += noise
        flux = self.state.nuisance[active, FLUX]
        excess = flux @ np.linalg.solve(covariance, flux) - len(active)
        return bool(excess > 25 + 5 * np.sqrt(2 * len(active)))

    def _result(self, solution: SceneSolution, noise: Noise, settled: bool) -> SceneFit:
        series, state, active = self.series, self.state, self.active
        n, side = len(series), series.side
        cov, free = covariance(self.equations, noise, solution, active, self.recipe.position_error)
        cov_place = np.zeros((len(state.place), len(state.place)))
        cov_place[: len(free), : len(free)] = free
        n_pixel = state.keep.sum(axis=1)
        rejected = state.start & ~state.keep
        self.flag[self.used] |= np.where(rejected[self.used].mean(axis=1) > 0.05, ExposureFlag.MANY_REJECTED, 0)
        freedom = np.maximum(n_pixel - 2, 1)
        off = np.abs(noise.chi2 - freedom) > 5 * np.sqrt(2 * freedom)
        self.flag |= np.where(off & np.isfinite(noise.chi2), ExposureFlag.POOR_FIT, 0)
        flag = FitFlag(0)
        if not state.free_place:
            flag |= FitFlag.POSITION_KEPT
        if np.abs(state.place[:2]).max() > 2 * self.recipe.position_error:
            flag |= FitFlag.POSITION_FAR
        if not settled:
            flag |= FitFlag.UNSETTLED
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
            state.galaxy.reshape(self.nodes.side, self.nodes.side),
            self.nodes.step,
            state.nuisance[:, 0],
            state.nuisance[:, 1],
            state.nuisance[:, 2:4],
            noise.chi2,
            n_pixel,
            rejected.reshape(n, side, side),
            self.flag,
            flag,
        )


def _coverage(psf: NDArray, good: NDArray) -> float:
    """Share of the information on the flux that the good pixels hold."""
    return float(np.sum(psf**2, where=good) / np.sum(psf**2))
