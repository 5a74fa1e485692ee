"""Exposures and pixels that contradict the rest of a scene: found, cleared, or left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.scene.errors import DegenerateScene, NothingToFit
from ztf_in2p3.scene.model import ExposureFlag
from ztf_in2p3.scene.passes import LOOSE_MODEL, Passes
from ztf_in2p3.scene.solve import Noise
from ztf_in2p3.scene.trouble import FOUND, worst_shape
from ztf_in2p3.scene.usable import LEAST_PIXELS, coverage

SETTLING, TROUBLES, BLAMED = 6, 12, 0.7
"""Most rounds of rejecting pixels, and then of looking for trouble; those exposures are to blame that are nearly as
far off as the worst."""
FAILING, UNUSUAL, MOST_LOST = 0.5, 4.0, 0.4
"""chi2 per degree of freedom beyond 1, multiples of what the others have of it, and lost pixels of an exposure that is
left out."""
BESIDE = 3.0
"""Pixels from the catalogue's position within which the source may be."""
COMPACT = 25
"""Pixels, at most, that are cleared for a source of a single exposure."""
CLEAR = 0.98
"""Share of a source's information that trouble must leave: what is under the source passes for its light, and the trail
that is found beside it is only a part."""


def drop_troubled(fit: Passes, exposures: NDArray) -> bool:
    """Leave out what is in the pixels of one exposure alone, beginning with the worst: it pulls at the others.

    `exposures`: (n,), their numbers.

    An exposure that loses too much is dropped; then there is more to look for.
    """
    state, side = fit.state, fit.series.side
    for _ in range(SETTLING):  # single pixels first: they have what the galaxy learned of them in all exposures
        keep = state.keep.copy()
        fit.run_pass(exposures, fit.recipe.clip, fit.recipe.model_error)
        fit.solve()
        if np.array_equal(keep, state.keep):
            break
    for _ in range(TROUBLES):
        worst = np.zeros(len(fit.series))
        cleared = {}
        for i in map(int, exposures):
            pixels = fit.exposure_model.linearise(i, state, fit.recipe.clip, fit.recipe.model_error)
            fit.equations.take(i, pixels)
            loose = fit.recipe.model_error * pixels.light
            worst[i], cleared[i] = worst_shape(pixels.pull, pixels.keep, loose, side)
        bad = np.flatnonzero((worst > FOUND) & (worst > BLAMED * worst.max()))
        for k in bad:
            state.start[k] &= ~cleared[int(k)]
            fit.flag[k] |= ExposureFlag.TROUBLE
        lost = bad[state.start[bad].sum(axis=1) < (1 - MOST_LOST) * fit.given[bad].sum(axis=1)]
        if len(lost) and _can_do_without(fit, lost):
            drop(fit, lost)
            return True
        fit.solve()
        if not len(bad):
            break
    return False


def clear_beside(fit: Passes) -> None:
    """Leave out a source that a single exposure has beside the target: an asteroid must not pass for its place.

    Trails are left to `drop_troubled`, which sees them whole.
    """
    state, side = fit.state, fit.series.side
    row, column = np.mgrid[:side, :side]
    for _ in range(TROUBLES):
        worst, cleared = np.zeros(len(fit.series)), {}
        for i in map(int, fit.active):
            pixels = fit.exposure_model.linearise(i, state, np.inf, LOOSE_MODEL)
            x, y = fit.exposure_model.source_place(i, state.place)
            beside = np.hypot(column - x, row - y).ravel() > BESIDE
            keep = pixels.keep & beside
            worst[i], _ = worst_shape(pixels.pull, keep, LOOSE_MODEL * pixels.light, side)
            _, cleared[i] = worst_shape(pixels.pull, keep, np.zeros(side**2), side)  # a trail, if it is one, is longest
        compact = np.array([i in cleared and cleared[i].sum() <= COMPACT for i in range(len(worst))])
        bad = np.flatnonzero(compact & (worst > FOUND) & (worst > BLAMED * worst.max()))
        if not len(bad) or len(bad) > max(len(fit.active) / 3, 1):
            return  # nothing, or what most of them have: a source of the sky
        for k in bad:
            state.start[k] &= ~cleared[int(k)]
            fit.flag[k] |= ExposureFlag.TROUBLE
        fit.run_pass(fit.active, clip=np.inf)
        fit.solve()


def leave_masked_out(fit: Passes) -> None:
    """Exposures in which trouble hides the source have no flux."""
    side, hidden = fit.series.side, []
    for i in map(int, np.flatnonzero(fit.flag & ExposureFlag.TROUBLE)):
        at = fit.exposure_model.source_place(i, fit.state.place)
        psf = fit.series.psf[i].draw(at[0], at[1], (side, side))[0].ravel()
        if i in fit.used and (
            fit.state.start[i].mean() < LEAST_PIXELS or (i in fit.active and coverage(psf, fit.state.start[i]) < CLEAR)
        ):
            hidden.append(i)
    if hidden:
        fit.flag[hidden] |= ExposureFlag.MASKED
        _exclude(fit, np.array(hidden), "are hidden by trails or saturated cores")


def contradicting(fit: Passes, noise: Noise) -> NDArray[np.int64]:
    """Exposures whose pixels contradict the others; none if so many do that the model is to blame."""
    freedom = fit.freedom()
    excess = np.where(np.isfinite(noise.chi2), noise.chi2 / freedom - 1, 0)
    lost = 1 - fit.state.keep.sum(axis=1) / np.maximum(fit.given.sum(axis=1), 1)
    usual = np.median(excess[fit.used])
    failing = (excess > 10 * np.sqrt(2 / freedom)) & (excess > FAILING + UNUSUAL * max(usual, 0)) | (lost > MOST_LOST)
    failing[np.setdiff1d(np.arange(len(failing)), fit.used)] = False
    rows = np.flatnonzero(failing)
    return rows if _can_do_without(fit, rows) else rows[:0]


def _can_do_without(fit: Passes, exposures: NDArray) -> bool:
    left = np.setdiff1d(fit.used, exposures)
    quiet_left = len(np.setdiff1d(left, fit.active)) > 0 or not fit.galaxy
    few = len(exposures) <= max(len(fit.used) / 3, 1)
    return few and quiet_left and len(np.intersect1d(left, fit.active)) > 0


def drop(fit: Passes, exposures: NDArray) -> None:
    """Leave exposures, (n,) numbers, out of a fit; its errors as `usable_exposures`."""
    fit.flag[exposures] |= ExposureFlag.DROPPED
    _exclude(fit, exposures, "contradict the others")


def _exclude(fit: Passes, exposures: NDArray, why: str) -> None:
    quiet = np.setdiff1d(fit.used, fit.active)
    fit.used, fit.active = np.setdiff1d(fit.used, exposures), np.setdiff1d(fit.active, exposures)
    if not len(fit.active):
        raise NothingToFit(f"none of {len(fit.series)} exposures can measure the source: the last {why}")
    if fit.galaxy and not len(np.setdiff1d(quiet, exposures)):
        raise DegenerateScene(
            f"the exposures without the transient {why}: none is left that knows the galaxy; add exposures"
        )
    fit.state.nuisance[exposures] = 0
    fit.start_again()
