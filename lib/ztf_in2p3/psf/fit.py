"""The PSF of a quadrant, from its isolated stars.

A Moffat profile, constant or linear over the quadrant, takes most; what it lacks is a map in units of the local
width, the same everywhere (`psf.residual_map`).  One weight for all pixels of the exposure (see `psf.stars`).
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.equations import StarEquations
from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.model import PsfModel
from ztf_in2p3.psf.residual_map import empty_map, following, improve_map, with_ripple
from ztf_in2p3.psf.size import flux_floor
from ztf_in2p3.psf.stars import FLAT, StarFluxes, StarStamps, measure_stars
from ztf_in2p3.psf.start import BETA, start_width
from ztf_in2p3.recipes import PsfRecipe
from ztf_in2p3.robust_statistics import robust_sigma

STANDARD = PsfRecipe()
TERMS = (1, 3, 6)
"""Terms of a polynomial in x and y of order 0, 1, 2."""
STARS_PER_ORDER = 15
"""Stars without which a quadrant's PSF is constant."""
MANY = 150
"""Stars that make the profile follow squares of x and y, and the residual map x and y: with fewer both cost more than
they give."""
ENOUGH = 30
"""Stars that will do where others are near full well."""
REGIONS, PER_RANK = 6, 2
"""Parts of the field along each axis, and stars that are taken from each part before any has more."""
TRIED = 4
"""Stars that are looked at for each that the PSF may be fitted to."""
FAINT = 5.0
"""Standard deviations of its flux below which a star does not find its own place."""
SETTLED = 4
"""Rounds in which the profile is the same over the field, and stars that are unlike the others leave."""
UNLIKE = 0.02
"""Relative; how much wider than most a star may be beyond their scatter.  A neighbour of half its light a FWHM away
makes it wider by a fifth, and disturbs the pixels of its image no more than a profile that is as wrong does."""
N_PIXEL = 20.0
"""Pixels whose sky disturbs a star's flux: about 4 pi sigma^2 for a FWHM of 3 pixels."""


def fit_psf(
    stamps: StarStamps, recipe: PsfRecipe = STANDARD, alone: NDArray[np.bool_] | None = None
) -> tuple[PsfModel, NDArray[np.bool_], StarFluxes]:
    """The PSF, which stars it comes from, and the photometry of all of them with it.

    Parameters
    ----------
    stamps
        `recipe.margin` pixels wider at each edge than those in which sources will be measured: the wings beyond a
        stamp lend it the light of a galaxy.  Of very many the first are tried: bright ones.
    alone : (star,)
        Stars without a neighbour, which may show the PSF; all, if not given.

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
    candidates = np.arange(len(stamps)) if alone is None else np.flatnonzero(alone)
    candidates = candidates[: TRIED * recipe.most_stars]
    model = _start(stamps.only(candidates))
    # No pixels are rejected until the map is there: against a profile alone, bright stars would have none left.
    first = measure_stars(stamps.inner(recipe.margin).only(candidates), model, clip=np.inf, soft=recipe.soft)
    chosen = candidates[choose_stars(stamps.only(candidates), first, recipe)]
    model, agreeing = _fit(model, stamps.only(chosen), recipe)
    used = np.zeros(len(stamps), bool)
    used[chosen[agreeing]] = True
    fluxes = measure_all(stamps.inner(recipe.margin), model, recipe)
    return replace(model, flux_floor=flux_floor(model, fluxes, used, recipe.soft)), used, fluxes


def measure_all(stamps: StarStamps, model: PsfModel, recipe: PsfRecipe) -> StarFluxes:
    """Photometry of stars down to any flux: too faint ones are measured where the others say that they are.

    A faint star that finds its own place finds the highest peak of the noise near it.
    """
    fluxes = measure_stars(stamps, model, model_error=recipe.model_error, soft=recipe.soft)
    faint = np.flatnonzero(fluxes.flux < FAINT * fluxes.error)
    bright = fluxes.flux > 2 * FAINT * fluxes.error
    if not len(faint) or not bright.any():
        return fluxes
    off = np.median((fluxes.place - stamps.expected)[bright], axis=0)
    at = replace(stamps.only(faint), expected=stamps.expected[faint] + off)
    expected = measure_stars(at, model, fixed=True, model_error=recipe.model_error, soft=recipe.soft)
    values = {}
    for column in fields(StarFluxes):
        values[column.name] = getattr(fluxes, column.name).copy()
        values[column.name][faint] = getattr(expected, column.name)
    return StarFluxes(**values)


def choose_stars(stamps: StarStamps, fluxes: StarFluxes, recipe: PsfRecipe) -> NDArray[np.int64]:
    """Stars to which the PSF is fitted, rising: whole, with light, far from full well, the brightest of each region.

    Near full well detectors are not linear and bright stars are wider than faint ones (brighter-fatter): a PSF from
    them would be that of no transient.  Where too few stars are fainter, brighter ones serve.
    """
    whole = ((~stamps.bad).mean(axis=(1, 2)) > 0.9) & (fluxes.flux > 5 * fluxes.error)
    peak, linear = stamps.peak, whole
    for limit in (recipe.max_peak, 1.5 * recipe.max_peak, 2.5 * recipe.max_peak, np.inf):
        linear = whole & (peak <= limit)
        if linear.sum() >= min(ENOUGH, whole.sum()):
            break
    stars = np.flatnonzero(linear)
    brightness, region = fluxes.flux[stars], _regions(stamps.expected[stars])
    order = np.lexsort([-brightness, region])
    rank = np.empty(len(stars), np.int64)
    first = np.searchsorted(region[order], region[order])
    rank[order] = np.arange(len(stars)) - first
    return np.sort(stars[np.lexsort([-brightness, rank // PER_RANK])[: recipe.most_stars]])


def _regions(place: NDArray) -> NDArray[np.int64]:
    """(star,): number of the part of the field, of `REGIONS` along each axis."""
    low, high = (place.min(axis=0), place.max(axis=0)) if len(place) else (0.0, 1.0)
    cell = np.clip((place - low) / np.maximum(high - low, 1) * REGIONS, 0, REGIONS - 1).astype(np.int64)
    return np.asarray(cell @ np.array([1, REGIONS]))


def star_weights(stamps: StarStamps, fluxes: StarFluxes, recipe: PsfRecipe) -> NDArray[np.float64]:
    """(star,): weight of a star's pixels: 1 / (sky + photons + model) of its flux, of a star without photons 1.

    By its photons alone a star of the brightest would count for a hundred others, and what is its own (its neighbours,
    its share of the sky's turbulence) for as many.
    """
    flux = np.maximum(fluxes.flux, 0)
    sky = N_PIXEL * stamps.variance
    return np.asarray(sky / (sky + flux / stamps.gain + (recipe.star_error * flux) ** 2), np.float64)


def _fit(model: PsfModel, stamps: StarStamps, recipe: PsfRecipe) -> tuple[PsfModel, NDArray[np.bool_]]:
    """The PSF, and the stars that agree with it."""
    used = np.ones(len(stamps), bool)
    _need(used, stamps, recipe)
    # Flat weights: the wings, where double stars and galaxies differ most, must not decide who is like the others.
    fluxes = measure_stars(stamps, model, clip=np.inf, soft=FLAT)
    used &= _like_the_others(stamps, fluxes, recipe, 0.3)
    for attempt in range(8):
        _need(used, stamps, recipe)
        free = _free(used, recipe)
        free[:, 1:] &= attempt >= SETTLED  # before, a width that follows the field would follow double stars
        model, step = _improve_moffat(model, _equations(stamps, fluxes, used, recipe, FLAT), free)
        fluxes = measure_stars(stamps, model, clip=np.inf, start=_own(stamps, fluxes), quick=True, soft=FLAT)
        if 0 < attempt < SETTLED + 2:  # until double stars and galaxies that were let in at the start are out
            used = _like_the_others(stamps, fluxes, recipe, 0.05)
        if step < 1e-3 and attempt >= SETTLED:
            break
    model, terms = empty_map(model, stamps.side, recipe)
    for attempt in range(recipe.passes):
        _need(used, stamps, recipe)
        slopes = _free(used, recipe)
        if attempt == recipe.passes - 1:  # what follows x and y is small, and costs six times as much
            model = following(model, _map_terms(used, recipe))
        slopes[:, : len(model.residual)] = False  # the map knows better
        model = improve_map(model, _equations(stamps, fluxes, used, recipe, recipe.soft), recipe, slopes, terms)
        if attempt < recipe.passes - 1:  # stars return that were too bright for the profile alone
            fluxes = measure_stars(
                stamps,
                model,
                model_error=recipe.model_error,
                start=_own(stamps, fluxes),
                quick=True,
                soft=recipe.soft,
            )
            used = _like_the_others(stamps, fluxes, recipe, recipe.model_error)
    return with_ripple(model), used


def _equations(
    stamps: StarStamps, fluxes: StarFluxes, used: NDArray[np.bool_], recipe: PsfRecipe, soft: float
) -> StarEquations:
    return StarEquations.of(stamps, fluxes, used, star_weights(stamps, fluxes, recipe), soft)


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
    spread = robust_sigma(misfit[lit], middle) + 0.02 * middle
    moved = np.hypot(*(fluxes.place - stamps.expected).T)
    width = np.nan_to_num(fluxes.width)
    typical = np.median(width[lit])
    wide = recipe.clip * np.hypot(robust_sigma(width[lit], typical), np.nan_to_num(fluxes.width_error)) + UNLIKE
    # What stays within its own noise is no outlier, however quiet the others are.
    return (
        lit
        & (np.abs(width - typical) < wide)
        & (misfit < max(middle + recipe.clip * spread, 1.2 + model_error))
        & (missing < 0.05)
        & (moved < 2)
    )


def _free(used: NDArray, recipe: PsfRecipe) -> NDArray[np.bool_]:
    """Shape parameters (4, term) of the profile that are fitted; the wings are the same everywhere."""
    n = int(used.sum())
    order = min(recipe.order, n // STARS_PER_ORDER, 1 if n < MANY else 2)
    free = np.zeros((4, TERMS[-1]), bool)
    free[:3, : TERMS[order]] = True
    free[3, 0] = True
    return free


def _map_terms(used: NDArray, recipe: PsfRecipe) -> int:
    """Terms of the residual map: with many stars it follows x and y."""
    return TERMS[recipe.map_order] if used.sum() >= MANY else 1


def _improve_moffat(model: PsfModel, equations: StarEquations, free: NDArray[np.bool_]) -> tuple[PsfModel, float]:
    """One Gauss-Newton step on what is free of the profile's shape, the stars' own parameters eliminated."""
    normal, right = equations.shapes(model, free)
    step = np.zeros(free.shape)
    damped = normal + np.diag(1e-6 * np.diag(normal) + 1e-12 * np.trace(normal))
    step[free] = np.linalg.solve(damped, right)
    largest = float(np.abs(step).max())
    shape = model.shape + step * min(1.0, 0.3 / max(largest, 1e-99))
    shape[3, 0] = np.clip(shape[3, 0], np.log(0.3), np.log(30.0))
    return replace(model, shape=shape), largest
