"""All exposures of a source at once: one galaxy, one position, one flux an exposure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, ExposureModel, NormalEquations, SceneState
from ztf_in2p3.scene.errors import DegenerateScene, NothingToFit
from ztf_in2p3.scene.model import ExposureFlag, FitFlag, SceneFit, Series
from ztf_in2p3.scene.solve import Noise, SceneSolution, covariance, flux_response, solve
from ztf_in2p3.scene.trouble import FOUND, plateaux, worst_shape

STANDARD = SceneRecipe()
LOOSE_MODEL = 0.25
"""Model error while the position is sought: a source beside its place must not be rejected."""
SETTLED = 0.01
"""Fraction of a flux's error: passes end when no flux moves by more."""
SETTLING, TROUBLES, BLAMED = 6, 12, 0.7
"""Most rounds of rejecting pixels, and then of looking for trouble; those exposures are to blame that are nearly as
far off as the worst."""
ENOUGH_QUIET = 3
"""Quiet exposures that tell the galaxy by themselves to begin with, and which of them is unlike the others."""
DROPS = 2
"""Rounds of leaving out exposures that contradict the others."""
FAILING, UNUSUAL, MOST_LOST = 0.5, 4.0, 0.4
"""chi2 per degree of freedom beyond 1, multiples of what the others have of it, and lost pixels of an exposure that is
left out."""
CLEAR = 0.98
"""Share of a source's information that trouble must leave: what is under the source passes for its light, and the trail
that is found beside it is only a part."""
INFLUENTIAL = 3.0
TRIED = 40
"""Quiet exposures that are left out in turn: of more, none decides."""
OFF_CENTRE = 0.05
"""Pixels that the source may be from where the pixels' weights expect it."""
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
    used: NDArray[np.int64] = field(init=False)
    """Exposures in the fit."""
    active: NDArray[np.int64] = field(init=False)
    """Those in which the source is measured."""
    begun: NDArray[np.int64] = field(init=False)
    """Those of which there is a model."""
    state: SceneState = field(init=False)

    def run(self) -> SceneFit:
        self._prepare()
        quiet = np.setdiff1d(self.used, self.active)
        # No model yet: sky, fluxes and galaxy at the catalogue position; of quiet exposures alone, if there are enough.
        self.begun = quiet if len(quiet) >= ENOUGH_QUIET else self.used
        self._pass(self.begun, clip=np.inf)
        self._solve()
        while self._drops_in_trouble(np.setdiff1d(self.used, self.active)):
            pass
        self._find_place()
        while self._drops_in_trouble(self.used):
            self._find_place()  # what was dropped may have told it
        self._leave_masked_out()
        solution, noise, settled = self._settle()
        for _ in range(DROPS):
            failing = self._failing(noise)
            if not len(failing):
                break
            self._drop(failing)
            solution, noise, settled = self._settle()
        return self._result(solution, noise, settled)

    def _find_place(self) -> None:
        recipe = self.recipe
        if not np.isin(self.active, self.begun).all():  # of these there is no sky yet
            self._pass(self.active, clip=np.inf)
            self._solve()
            self.begun = self.used
        self._pass(self.active, clip=recipe.clip, model_error=LOOSE_MODEL)
        solution = self._solve()
        self.state.free_place = self.state.free_place or self._shines(solution)
        if not self.state.free_place:
            return
        for _ in range(recipe.rounds):
            self._pass(self.active, clip=recipe.clip, model_error=LOOSE_MODEL)
            solution = self._solve()
            if np.abs(solution.common[len(self.nodes) :]).max() < 0.02:
                break
        if np.abs(self.state.place[:2]).max() > OFF_CENTRE:
            self.exposure_model.centre(self.state.place[:2])
            self._start_again()

    def _settle(self) -> tuple[SceneSolution, Noise, bool]:
        """Passes until no flux moves; the noise that the pixels have, and whether the fit came to rest."""
        recipe, moved = self.recipe, np.inf
        for left in reversed(range(recipe.rounds)):
            flux, keep = self.state.nuisance[self.active, FLUX].copy(), self.state.keep.copy()
            near = moved < 5 * SETTLED or not left  # the noise costs as much as the rest
            size = len(self.nodes) + (len(self.state.place) if self.state.free_place else 0)
            noise = Noise.of(len(self.series), size, keep.shape[1]) if near else None
            self._pass(self.used, recipe.clip, recipe.model_error, noise)
            solution = self._solve()
            step = np.abs(self.state.nuisance[self.active, FLUX] - flux) / np.sqrt(self.equations.noise[self.active])
            moved = step.max() if np.array_equal(keep, self.state.keep) else np.inf
            if noise and (moved < SETTLED or not left):
                return solution, noise, bool(moved < SETTLED)
        raise ValueError(f"{recipe.rounds} rounds: expected at least one")

    def _drops_in_trouble(self, exposures: NDArray) -> bool:
        """Leave out what is in the pixels of one exposure alone, beginning with the worst: it pulls at the others.

        An exposure that loses too much is dropped; then there is more to look for.
        """
        state, side = self.state, self.series.side
        for _ in range(SETTLING):  # single pixels first: they have what the galaxy learned of them in all exposures
            keep = state.keep.copy()
            self._pass(exposures, self.recipe.clip, self.recipe.model_error)
            self._solve()
            if np.array_equal(keep, state.keep):
                break
        for _ in range(TROUBLES):
            worst = np.zeros(len(self.series))
            cleared = {}
            for i in map(int, exposures):
                pixels = self.exposure_model.linearise(i, state, self.recipe.clip, self.recipe.model_error)
                self.equations.take(i, pixels)
                loose = self.recipe.model_error * pixels.light
                worst[i], cleared[i] = worst_shape(pixels.pull, pixels.keep, loose, side)
            bad = np.flatnonzero((worst > FOUND) & (worst > BLAMED * worst.max()))
            for k in bad:
                state.start[k] &= ~cleared[int(k)]
                self.flag[k] |= ExposureFlag.TROUBLE
            lost = bad[state.start[bad].sum(axis=1) < (1 - MOST_LOST) * self.given[bad].sum(axis=1)]
            if len(lost) and self._can_do_without(lost):
                self._drop(lost)
                return True
            self._solve()
            if not len(bad):
                break
        return False

    def _leave_masked_out(self) -> None:
        """Exposures in which trouble hides the source have no flux."""
        side, hidden = self.series.side, []
        for i in map(int, np.flatnonzero(self.flag & ExposureFlag.TROUBLE)):
            at = self.exposure_model.source_place(i, self.state.place)
            psf = self.series.psf[i].draw(at[0], at[1], (side, side))[0].ravel()
            if i in self.used and (
                self.state.start[i].mean() < 0.2 or (i in self.active and _coverage(psf, self.state.start[i]) < CLEAR)
            ):
                hidden.append(i)
        if hidden:
            self.flag[hidden] |= ExposureFlag.MASKED
            self._exclude(np.array(hidden), "are hidden by trails or saturated cores")

    def _failing(self, noise: Noise) -> NDArray[np.int64]:
        """Exposures whose pixels contradict the others; none if so many do that the model is to blame."""
        freedom = self._freedom()
        excess = np.where(np.isfinite(noise.chi2), noise.chi2 / freedom - 1, 0)
        lost = 1 - self.state.keep.sum(axis=1) / np.maximum(self.given.sum(axis=1), 1)
        usual = np.median(excess[self.used])
        failing = (excess > 10 * np.sqrt(2 / freedom)) & (excess > FAILING + UNUSUAL * max(usual, 0)) | (
            lost > MOST_LOST
        )
        failing[np.setdiff1d(np.arange(len(failing)), self.used)] = False
        rows = np.flatnonzero(failing)
        return rows if self._can_do_without(rows) else rows[:0]

    def _can_do_without(self, exposures: NDArray) -> bool:
        left = np.setdiff1d(self.used, exposures)
        quiet_left = len(np.setdiff1d(left, self.active)) > 0 or not self.galaxy
        few = len(exposures) <= max(len(self.used) / 3, 1)
        return few and quiet_left and len(np.intersect1d(left, self.active)) > 0

    def _drop(self, exposures: NDArray) -> None:
        self.flag[exposures] |= ExposureFlag.DROPPED
        self._exclude(exposures, "contradict the others")

    def _exclude(self, exposures: NDArray, why: str) -> None:
        quiet = np.setdiff1d(self.used, self.active)
        self.used, self.active = np.setdiff1d(self.used, exposures), np.setdiff1d(self.active, exposures)
        if not len(self.active):
            raise NothingToFit(f"none of {len(self.series)} exposures can measure the source: the last {why}")
        if self.galaxy and not len(np.setdiff1d(quiet, exposures)):
            raise DegenerateScene(
                f"the exposures without the transient {why}: none is left that knows the galaxy; add exposures"
            )
        self.state.nuisance[exposures] = 0
        self._start_again()

    def _start_again(self) -> None:
        """Sum everything anew: some exposures are gone, or weigh differently."""
        self._forget()
        self._pass(np.intersect1d(self.used, self.begun), self.recipe.clip, self.recipe.model_error)
        self._solve()

    def _prepare(self) -> None:
        series, recipe = self.series, self.recipe
        n, side = len(series), series.side
        full = plateaux(series.data, series.bad, series.variance)
        finite = np.isfinite(series.data) & ~series.bad & ~full
        start = finite.reshape(n, -1)
        numbers = np.column_stack([series.variance, series.gain, series.throughput])
        self.given = (np.isfinite(series.data) & ~series.bad).reshape(n, -1)
        self.flag = np.where(series.active, 0, ExposureFlag.QUIET)
        self.flag[full.any(axis=(1, 2))] |= ExposureFlag.TROUBLE
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
        self.exposure_model = ExposureModel(series, Design(series, self.nodes, self.used), recipe.soft)
        n_place = 4 if self.motion else 2
        self.state = SceneState(
            np.zeros(len(self.nodes)), np.zeros(n_place), np.zeros((n, N_NUISANCE)), start.copy(), start
        )
        self._forget()

    def _forget(self) -> None:
        n_place, n_pixel = len(self.state.place), self.series.side**2
        self.equations = NormalEquations.of(len(self.series), len(self.nodes), n_place, n_pixel)

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
        rejected = self.given & ~state.keep
        lost = rejected[self.used].sum(axis=1) > 0.05 * self.given[self.used].sum(axis=1)
        self.flag[self.used] |= np.where(lost, ExposureFlag.MANY_REJECTED, 0)
        freedom = self._freedom()
        off = np.isfinite(noise.chi2) & (np.abs(noise.chi2 - freedom) > 5 * np.sqrt(2 * freedom))
        self.flag |= np.where(off, ExposureFlag.POOR_FIT, 0)
        # An error holds what the model lacks, as far as the pixels tell; and what stars are wider than one another.
        spread = np.sqrt(np.where(off, np.maximum(noise.chi2 / freedom, 1), 1))[active]
        cov *= spread[:, None] * spread
        cov[range(len(active)), range(len(active))] += (series.flux_floor * state.nuisance[:, FLUX])[active] ** 2
        influence = self._influence(np.sqrt(np.diag(cov)))
        self.flag |= np.where(influence > INFLUENTIAL, ExposureFlag.INFLUENTIAL, 0)
        flag = FitFlag(0)
        if not state.free_place:
            flag |= FitFlag.POSITION_KEPT
        if np.abs(state.place[:2]).max() > 2 * self.recipe.position_error:
            flag |= FitFlag.POSITION_FAR
        if not settled:
            flag |= FitFlag.UNSETTLED
        if np.sum(off & (noise.chi2 > freedom)) > len(self.used) / 3:
            flag |= FitFlag.POOR
        if np.any(influence > INFLUENTIAL):
            flag |= FitFlag.INFLUENCED
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
            freedom,
            influence,
        )

    def _freedom(self) -> NDArray[np.float64]:
        """(exposure,): pixels less the exposure's own parameters and its share of what the galaxy has."""
        series = self.series
        n_parameters = 1 + series.active + (series.throughput_error > 0) + 2 * (series.shift_error > 0)
        information = np.zeros(len(series))
        information[self.used] = series.throughput[self.used] ** 2 / series.variance[self.used]
        share = information / max(information.sum(), 1e-300)
        n_node = min(len(self.nodes), 0.9 * self.state.keep[self.used].sum(axis=1).mean())
        return np.maximum(self.state.keep.sum(axis=1) - n_parameters - n_node * share, 1)

    def _influence(self, error: NDArray) -> NDArray[np.float64]:
        """(exposure,): what each quiet exposure does to the fluxes, by leaving it out; the most telling of many."""
        found, quiet = np.full(len(self.series), np.nan), np.setdiff1d(self.used, self.active)
        if not self.galaxy or len(quiet) < 2:
            return found
        flux, state = self.state.nuisance[self.active, FLUX].copy(), self.state
        for i in map(int, quiet[:TRIED]):
            pixels = self.exposure_model.linearise(i, state, self.recipe.clip, self.recipe.model_error)
            solution = solve(self.equations.without(i, pixels), state, self.recipe.ridge, self.recipe.position_error)
            found[i] = np.max(np.abs(solution.nuisance[self.active, FLUX] - flux) / error)
        return found


def _coverage(psf: NDArray, good: NDArray) -> float:
    """Share of the information on the flux that the good pixels hold."""
    return float(np.sum(psf**2, where=good) / np.sum(psf**2))
