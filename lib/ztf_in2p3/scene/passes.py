"""A scene's model in passes: linearised about its state, summed over exposures, solved, until no flux moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, ExposureModel, NormalEquations, SceneState
from ztf_in2p3.scene.model import Series
from ztf_in2p3.scene.solve import Noise, SceneSolution, flux_response, solve
from ztf_in2p3.scene.usable import Usable

LOOSE_MODEL = 0.25
"""Model error while the position is sought: a source beside its place must not be rejected."""
SETTLED = 0.01
"""Fraction of a flux's error: passes end when no flux moves by more."""
OFF_CENTRE = 0.05
"""Pixels that the source may be from where the pixels' weights expect it."""
STRIDE = 0.5
"""Pixels; furthest the position moves in a pass, where its derivatives still hold."""


@dataclass(eq=False)
class Passes:
    """A fit under way: exposures that are in it, and the state that the next pass starts from."""

    series: Series
    recipe: SceneRecipe
    galaxy: bool
    """Whether there is one under the source."""
    used: NDArray[np.int64]
    """(used,): exposures in the fit."""
    active: NDArray[np.int64]
    """(active,): exposures of them in which the source is measured."""
    begun: NDArray[np.int64]
    """(begun,): exposures of which there is a model."""
    given: NDArray[np.bool_]
    """(exposure, pixel): pixels with data that are not masked."""
    flag: NDArray[np.int64]
    """(exposure,): bits of `ExposureFlag`."""
    nodes: Nodes
    exposure_model: ExposureModel
    state: SceneState
    equations: NormalEquations

    @classmethod
    def begin(cls, series: Series, recipe: SceneRecipe, usable: Usable, *, galaxy: bool, motion: bool) -> Passes:
        """No pass was made yet: the source is at the catalogue's position, and nothing shines."""
        n, n_place = len(series), 4 if motion else 2
        nodes = Nodes.covering(series, recipe.step, recipe.margin) if galaxy else Nodes(recipe.step, -1)
        start = usable.start
        state = SceneState(np.zeros(len(nodes)), np.zeros(n_place), np.zeros((n, N_NUISANCE)), start.copy(), start)
        return cls(
            series,
            recipe,
            galaxy,
            usable.used,
            usable.active,
            usable.used[:0],
            usable.given,
            usable.flag,
            nodes,
            ExposureModel(series, Design(series, nodes, usable.used), recipe.soft),
            state,
            NormalEquations.of(n, len(nodes), n_place, series.side**2),
        )

    @property
    def quiet(self) -> NDArray[np.int64]:
        """(quiet,): exposures in the fit that are free of the source."""
        return np.setdiff1d(self.used, self.active)

    def begin_active(self) -> None:
        """Give exposures of the source their sky and flux at its present place, if they have none yet."""
        if not np.isin(self.active, self.begun).all():
            self.run_pass(self.active, clip=np.inf)
            self.solve()
            self.begun = self.used

    def find_place(self) -> None:
        """Let the source move to where its light is, if it shines enough to tell; the catalogue's place serves else."""
        recipe = self.recipe
        self.begin_active()
        self.run_pass(self.active, clip=recipe.clip, model_error=LOOSE_MODEL)
        solution = self.solve()
        self.state.free_place = self.state.free_place or self._shines(solution)
        if not self.state.free_place:
            return
        for _ in range(recipe.rounds):
            self.run_pass(self.active, clip=recipe.clip, model_error=LOOSE_MODEL)
            solution = self.solve()
            if np.abs(solution.common[len(self.nodes) :]).max() < 0.02:
                break
        if np.abs(self.state.place[:2]).max() > OFF_CENTRE:
            self.exposure_model.centre(self.state.place[:2])
            self.start_again()

    def settle(self) -> tuple[SceneSolution, Noise, bool]:
        """Passes until no flux moves; the noise that the pixels have, and whether the fit came to rest."""
        recipe, moved = self.recipe, np.inf
        for left in reversed(range(recipe.rounds)):
            flux, keep = self.state.nuisance[self.active, FLUX].copy(), self.state.keep.copy()
            near = moved < 5 * SETTLED or not left  # the noise costs as much as the rest
            size = len(self.nodes) + (len(self.state.place) if self.state.free_place else 0)
            noise = Noise.of(len(self.series), size, keep.shape[1]) if near else None
            self.run_pass(self.used, recipe.clip, recipe.model_error, noise)
            solution = self.solve()
            step = np.abs(self.state.nuisance[self.active, FLUX] - flux) / np.sqrt(self.equations.noise[self.active])
            moved = step.max() if np.array_equal(keep, self.state.keep) else np.inf
            if noise and (moved < SETTLED or not left):
                return solution, noise, bool(moved < SETTLED)
        raise ValueError(f"{recipe.rounds} rounds: expected at least one")

    def start_again(self) -> None:
        """Sum everything anew: some exposures are gone, or weigh differently."""
        self.forget()
        self.run_pass(np.intersect1d(self.used, self.begun), self.recipe.clip, self.recipe.model_error)
        self.solve()

    def forget(self) -> None:
        """Begin the sums over the exposures anew."""
        n_place, n_pixel = len(self.state.place), self.series.side**2
        self.equations = NormalEquations.of(len(self.series), len(self.nodes), n_place, n_pixel)

    def run_pass(self, exposures: NDArray, clip: float, model_error: float = 0.0, noise: Noise | None = None) -> None:
        """Linearise exposures about the state, and sum them up.

        Parameters
        ----------
        exposures : (n,)
            Their numbers.
        clip, model_error
            Pixels further from the model than so many standard deviations are rejected, the model's light being wrong
            by so much.
        noise
            Learns what noise the pixels have.
        """
        for i in map(int, exposures):
            pixels = self.exposure_model.linearise(i, self.state, clip, model_error)
            self.equations.take(i, pixels)
            if noise:
                noise.take(i, pixels)

    def solve(self) -> SceneSolution:
        """Solve the sums, and move the state there."""
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

    def freedom(self) -> NDArray[np.float64]:
        """(exposure,): pixels less the exposure's own parameters and its share of what the galaxy has."""
        series = self.series
        n_parameters = 1 + series.active + (series.throughput_error > 0) + 2 * (series.shift_error > 0)
        information = np.zeros(len(series))
        information[self.used] = series.throughput[self.used] ** 2 / series.variance[self.used]
        share = information / max(information.sum(), 1e-300)
        n_node = min(len(self.nodes), 0.9 * self.state.keep[self.used].sum(axis=1).mean())
        return np.maximum(self.state.keep.sum(axis=1) - n_parameters - n_node * share, 1)
