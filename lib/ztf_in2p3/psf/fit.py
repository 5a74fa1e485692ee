"""The PSF of a quadrant, from its isolated stars.

A Moffat profile, constant or linear over the quadrant, takes most; what it lacks is a map in units of the local
width, the same everywhere (`psf.residual_map`).  One weight for all pixels of the exposure (see `psf.stars`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.model import PsfModel
from ztf_in2p3.psf.residual_map import empty_map, improve_map
from ztf_in2p3.psf.star_columns import star_columns
from ztf_in2p3.psf.stars import StarFluxes, StarStamps, measure_stars
from ztf_in2p3.psf.start import BETA, start_width
from ztf_in2p3.recipes import PsfRecipe

STANDARD = PsfRecipe()
TERMS = (1, 3, 6)
"""Terms of a polynomial in x and y of order 0, 1, 2."""
STARS_PER_ORDER = 15
"""Stars without which a quadrant's PSF is constant; twice as many for squares."""


def fit_psf(stamps: StarStamps, recipe: PsfRecipe = STANDARD) -> tuple[PsfModel, NDArray[np.bool_], StarFluxes]:
    """The PSF, which stars it comes from, and the photometry of all of them with it.

    Parameters
    ----------
    stamps
        `recipe.margin` pixels wider at each edge than those in which sources will be measured: the wings beyond a
        stamp lend it the light of a galaxy.

    Returns
    -------
    psf
    used : (star,)
    fluxes
        Measured in the stamps without their margin.

    Raises
    ------
    NoStars
        Fewer than `min_stars` stars are left after rejection.
    """
    model = _start(stamps)
    inner = stamps.inner(recipe.margin)
    # No pixels are rejected until the map is there: against a profile alone, bright stars would have none left.
    first = measure_stars(inner, model.at, clip=np.inf)
    whole = ((~stamps.bad).mean(axis=(1, 2)) > 0.9) & (first.flux > 5 * first.error)
    chosen = np.flatnonzero(whole)
    chosen = np.sort(chosen[np.argsort(-first.flux[chosen], kind="stable")][: recipe.most_stars])
    model, agreeing = _fit(model, stamps.only(chosen), recipe)
    used = np.zeros(len(stamps), bool)
    used[chosen[agreeing]] = True
    return model, used, measure_stars(inner, model.at, model_error=recipe.model_error)


def _fit(model: PsfModel, stamps: StarStamps, recipe: PsfRecipe) -> tuple[PsfModel, NDArray[np.bool_]]:
    """The PSF, and the stars that agree with it."""
    used = np.ones(len(stamps), bool)
    _need(used, stamps, recipe)
    fluxes = measure_stars(stamps, model.at, clip=np.inf)
    used &= _like_the_others(stamps, fluxes, recipe, 0.3)
    for attempt in range(8):
        _need(used, stamps, recipe)
        model, step = _improve_moffat(model, stamps, fluxes, used, _free(used, recipe))
        fluxes = measure_stars(stamps, model.at, clip=np.inf, start=_own(stamps, fluxes), quick=True)
        if 0 < attempt < 4:  # until double stars and galaxies that were let in at the start are out
            used = _like_the_others(stamps, fluxes, recipe, 0.1)
        if step < 1e-3 and attempt > 3:
            break
    model, terms = empty_map(model, stamps.side, recipe)
    for attempt in range(recipe.passes):
        _need(used, stamps, recipe)
        slopes = _free(used, recipe)
        slopes[:, 0] = False  # the map knows better
        model = improve_map(model, stamps, fluxes, used, recipe, slopes, terms)
        if attempt < recipe.passes - 1:  # stars return that were too bright for the profile alone
            fluxes = measure_stars(
                stamps, model.at, model_error=recipe.model_error, start=_own(stamps, fluxes), quick=True
            )
            used = _like_the_others(stamps, fluxes, recipe, recipe.model_error)
    return model, used


def _need(used: NDArray[np.bool_], stamps: StarStamps, recipe: PsfRecipe) -> None:
    if used.sum() < recipe.min_stars:
        raise NoStars(
            f"{used.sum()} of {len(stamps)} stars can show the PSF, {recipe.min_stars} are needed: "
            "take fainter ones, or set the exposure aside"
        )


def _start(stamps: StarStamps) -> PsfModel:
    fwhm = start_width(stamps)
    shape = np.zeros((4, TERMS[-1]))
    shape[:, 0] = np.log(fwhm**2 / (4 * (2 ** (1 / BETA) - 1))), 0, 0, np.log(BETA - 1)
    middle = np.median(stamps.expected, axis=0)
    scale = max(float(np.abs(stamps.expected - middle).max()), 1.0)
    return PsfModel(shape, middle, scale, np.zeros((1, 1)), 1.0)


def _own(stamps: StarStamps, fluxes: StarFluxes) -> NDArray[np.float64]:
    return np.column_stack([fluxes.flux, fluxes.place - stamps.corner, fluxes.sky])


def _like_the_others(
    stamps: StarStamps, fluxes: StarFluxes, recipe: PsfRecipe, model_error: float
) -> NDArray[np.bool_]:
    """Stars that have light and are no worse described than the others: no neighbours, no galaxies, not saturated."""
    residual = stamps.data - fluxes.model
    light = np.maximum(fluxes.model - fluxes.sky[:, None, None], 0)
    good = ~stamps.bad & np.isfinite(residual)
    lit = fluxes.flux > 5 * fluxes.error
    if not lit.any():
        return lit
    allowed = stamps.variance + light / stamps.gain + (model_error * light) ** 2
    misfit = np.sqrt(np.mean(residual**2 / allowed, axis=(1, 2), where=good))
    missing = (~fluxes.keep & ~stamps.bad).mean(axis=(1, 2))
    middle = np.median(misfit[lit])
    spread = 1.4826 * np.median(np.abs(misfit[lit] - middle)) + 0.02 * middle
    moved = np.hypot(*(fluxes.place - stamps.expected).T)
    # What stays within its own noise is no outlier, however quiet the others are.
    return lit & (misfit < max(middle + recipe.clip * spread, 1.2 + model_error)) & (missing < 0.05) & (moved < 2)


def _free(used: NDArray, recipe: PsfRecipe) -> NDArray[np.bool_]:
    """Shape parameters (4, term) of the profile that are fitted; the wings are the same everywhere."""
    order = min(recipe.order, int(used.sum()) // STARS_PER_ORDER)
    free = np.zeros((4, TERMS[-1]), bool)
    free[:3, : TERMS[min(order, 2)]] = True
    free[3, 0] = True
    return free


def _improve_moffat(
    model: PsfModel, stamps: StarStamps, fluxes: StarFluxes, used: NDArray, free: NDArray[np.bool_]
) -> tuple[PsfModel, float]:
    """One Gauss-Newton step on what is free of the profile's shape, the stars' own parameters eliminated."""
    n = int(free.sum())
    normal, right = np.zeros((n, n)), np.zeros(n)
    for s in np.flatnonzero(used):
        star = star_columns(model, stamps, fluxes, int(s), free)
        normal += star.shape.T @ star.shape
        right += star.shape.T @ star.residual
    step = np.zeros(free.shape)
    damped = normal + np.diag(1e-6 * np.diag(normal) + 1e-12 * np.trace(normal))
    step[free] = np.linalg.solve(damped, right)
    largest = float(np.abs(step).max())
    shape = model.shape + step * min(1.0, 0.3 / max(largest, 1e-99))
    shape[3, 0] = np.clip(shape[3, 0], np.log(0.3), np.log(30.0))
    return PsfModel(shape, model.middle, model.scale, model.residual, model.spacing), largest
