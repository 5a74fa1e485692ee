"""Fringe maps of a quadrant: the patterns that the skies of many exposures have in common.

Principal components with missing cells, by expectation and maximisation (Roweis 1998, NIPS 10, 626): unknown cells
are filled with what the model says, the components of the filled exposures are the next model, and so on.  An exposure
weighs by the noise it shows; cells that its model does not explain are unknown from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from lib.errors import BadData
from lib.recipes import FringeFitRecipe
from lib.sensor.fringe import CcdFringes, FringeMap, sky_basis
from lib.sensor.fringe_cells import Cells
from lib.store.fits import Cards

_ROUNDS = 60
_SETTLED = 1e-2
"""Of the noise of a cell; the filling is done when the model moves by less, root mean square."""
_ALONE = 0.8
"""An exposure with so much of a component makes it alone: no pattern of the sensor, so the exposure is left out."""
_CLIP_EVERY = 5
"""Rounds between two looks at noise and outliers."""
_EXPOSURES_EACH = 2
"""More exposures than these are needed for each component, or the components are the exposures themselves."""


@dataclass(slots=True, eq=False)
class _Skies:
    """Exposures as rows; arrays are (exposure, cell) unless said otherwise."""

    level: NDArray[np.float32]
    """Over the exposure's sky."""
    known: NDArray[np.bool_]
    noise: NDArray[np.float32]
    """(exposure, 1), of a cell, over its sky."""
    least: NDArray[np.float32]
    """(exposure, 1), of a cell from the variance of its pixels."""
    basis: NDArray[np.float32]
    """(term, cell), orthonormal: the smooth sky."""

    def take(self, which: NDArray[np.bool_]) -> _Skies:
        """Some of the exposures."""
        return _Skies(self.level[which], self.known[which], self.noise[which], self.least[which], self.basis)


@dataclass(frozen=True, slots=True, eq=False)
class _Components:
    left: NDArray[np.float32]
    """(exposure, component), orthonormal."""
    strength: NDArray[np.float32]
    """(component,), of a cell's noise."""
    components: NDArray[np.float32]
    """(component, cell), orthonormal."""


def train_ccd(
    ccdid: int, skies: Sequence[Mapping[int, Cells]], recipe: FringeFitRecipe, *, cards: Cards | None = None
) -> CcdFringes:
    """Fringe maps of a CCD.

    Parameters
    ----------
    skies
        Of each exposure, the cells of its quadrants by qid.
    cards
        To add: period, recipe.

    Raises
    ------
    BadData
        As `train_fringes`; the message says of which quadrant.
    """
    maps = {}
    for qid in sorted({qid for of_exposure in skies for qid in of_exposure}):
        try:
            maps[qid] = train_fringes([cells[qid] for cells in skies if qid in cells], recipe)
        except BadData as error:
            raise BadData(f"fringe map of CCD {ccdid}, quadrant {qid}: {error}") from error
    if not maps:
        raise BadData(f"fringe maps of CCD {ccdid}: no exposure could be detrended; look at what was set aside")
    return CcdFringes(ccdid, maps, {"NFRAMES": (len(skies), "exposures they are made of"), **(cards or {})})


def train_fringes(exposures: Sequence[Cells], recipe: FringeFitRecipe) -> FringeMap:
    """Fringe map of one quadrant.

    Only patterns that noise cannot make are kept: the largest singular value of noise alone is sqrt(exposures) +
    sqrt(cells) (Marchenko and Pastur 1967).  What is as smooth as the sky's polynomial is no fringe.

    Parameters
    ----------
    exposures
        Sky of each, detrended.

    Raises
    ------
    BadData
        Too few exposures for the components, or no pattern that they have in common.
    """
    skies = _normalised(exposures, recipe)
    while True:
        n_exposure, n_cell = skies.level.shape
        if n_exposure <= _EXPOSURES_EACH * recipe.components:
            raise BadData(
                f"{n_exposure} exposures with sky for {recipe.components} fringe components, more than "
                f"{_EXPOSURES_EACH * recipe.components} are needed: take a longer period, or fewer components"
            )
        found = _principal(skies, recipe)
        alone = np.any(found.left**2 > _ALONE, axis=1)
        if not alone.any():
            break
        skies = skies.take(~alone)
    chance = np.sqrt(n_exposure) + np.sqrt(n_cell)
    significant = found.strength > chance
    if not significant.any():
        raise BadData(
            f"{n_exposure} exposures have no pattern in common: the strongest is {found.strength[0]:.0f} noises of a "
            f"cell, chance makes {chance:.0f}; detrend without fringes, or take more exposures"
        )
    upright = np.where(found.left.sum(axis=0) < 0, -1, 1)[significant]
    shape = exposures[0].mean.shape
    patterns = (found.components[significant] * upright[:, None]).reshape(-1, *shape) * np.sqrt(n_cell)
    count = skies.known.sum(axis=0).reshape(shape)
    noise = np.sqrt(n_cell) / found.strength[significant]
    return FringeMap(
        _bridged(patterns, count > recipe.components).astype(np.float32),
        noise.astype(np.float32),
        count.astype(np.uint16),
    )


def _principal(skies: _Skies, recipe: FringeFitRecipe) -> _Components:
    """The components that explain the exposures best; what they cannot explain is unknown afterwards."""
    model, everything = np.zeros_like(skies.level), skies.known
    found = _components(skies, model, recipe.components)
    for n_round in range(1, _ROUNDS + 1):
        before, model = model, np.asarray((found.left * found.strength) @ found.components, np.float32)
        settled = np.sqrt(np.mean(np.square(model - before))) < _SETTLED
        if n_round % _CLIP_EVERY == 0 or settled:
            known = everything & _explained(skies, model, recipe.clip)
            if settled and np.array_equal(known, skies.known):
                break
            skies.known = known
        found = _components(skies, model, recipe.components)
    return found


def _normalised(exposures: Sequence[Cells], recipe: FringeFitRecipe) -> _Skies:
    """Over the exposure's own sky, with the noise that its pixels should have."""
    usable = [cells for cells in exposures if cells.tell]
    if not usable:
        raise BadData(f"none of {len(exposures)} exposures has enough sky between its sources to show fringes")
    known = np.array([cells.known.ravel() for cells in usable])
    mean = np.array([cells.mean.ravel() for cells in usable])
    error = np.array([np.median(cells.error[cells.known]) for cells in usable])
    sky = np.array([np.median(level[seen]) for level, seen in zip(mean, known, strict=True)])
    if not (sky > 0).all():
        raise BadData(f"the sky of an exposure is {sky.min():.1f} ADU; expected a positive one: look at bias and flat")
    basis = sky_basis(usable[0].mean.shape, recipe.sky_degree)
    level = np.where(known, mean / sky[:, None] - 1, 0).astype(np.float32)
    noise = (error / sky)[:, None].astype(np.float32)
    skies = _Skies(level, known, noise, noise, (basis / np.sqrt(basis.shape[1])).astype(np.float32))
    # To begin with none counts more than the usual one: clouds and ghosts, still unknown, would be the first component.
    rest = np.where(known, level - _smooth_sky(level, skies), 0)
    contrast: NDArray[np.float64] = (
        np.sqrt((rest**2).sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True)) / noise
    )
    skies.noise = noise * np.maximum(1, contrast / np.median(contrast)).astype(np.float32)
    return skies


def _components(skies: _Skies, model: NDArray[np.float32], n: int) -> _Components:
    """Singular vectors and values of the exposures over their noise.

    `model` fills what is not known.  The smooth sky, measured with the fringes out of the way, fills it too.
    """
    filled = np.where(skies.known, skies.level / skies.noise, model)
    smooth = _smooth_sky(filled - model, skies)
    filled = np.where(skies.known, filled - smooth, model)
    filled -= (filled @ skies.basis.T) @ skies.basis
    square, left = np.linalg.eigh((filled @ filled.T).astype(np.float64))
    left = left[:, ::-1][:, :n].astype(np.float32)
    strength = np.sqrt(np.maximum(square[::-1][:n], np.finfo(float).tiny)).astype(np.float32)
    return _Components(left, strength, (left.T @ filled) / strength[:, None])


def _smooth_sky(rest: NDArray[np.float32], skies: _Skies) -> NDArray[np.float32]:
    """Least squares of the polynomial through the known cells of each exposure: (exposure, cell)."""
    basis, n_term = skies.basis, len(skies.basis)
    squares = (basis[:, None] * basis).reshape(-1, basis.shape[1])
    normal = (skies.known.astype(np.float32) @ squares.T).reshape(-1, n_term, n_term)
    right = np.where(skies.known, rest, 0) @ basis.T
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0] @ basis)


def _explained(skies: _Skies, model: NDArray[np.float32], clip: float) -> NDArray[np.bool_]:
    """Cells that are as the model says, within the noise that the exposure shows; that noise is noted."""
    rest = skies.level / skies.noise - model
    rest -= _smooth_sky(rest, skies)
    distance = np.abs(rest)
    found = [1.4826 * np.median(row[seen]) for row, seen in zip(distance, skies.known, strict=True)]
    # Never below the noise of the pixels: an exposure that a component fits better would weigh more, and so on.
    shown = np.maximum(np.array(found, np.float32)[:, None], skies.least / skies.noise)
    skies.noise = skies.noise * shown
    model /= shown
    return np.asarray(distance <= clip * shown)


def _bridged(patterns: NDArray, seen: NDArray[np.bool_]) -> NDArray:
    """Patterns whose cells that too few exposures saw are the mean of their neighbours; 0 where there are none."""
    weight = uniform_filter(seen.astype(float), 3)
    around = np.array([uniform_filter(np.where(seen, pattern, 0).astype(float), 3) for pattern in patterns])
    some = weight > 1e-3
    bridge = np.where(some, around / np.where(some, weight, 1), 0)
    return np.where(seen, patterns, bridge)
