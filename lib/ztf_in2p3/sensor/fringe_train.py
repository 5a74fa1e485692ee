"""Fringe maps of a quadrant: the patterns that the skies of many exposures have in common.

Principal components of what is known (weighted low-rank approximation, Srebro & Jaakkola 2003, ICML 20, 720).  An
exposure weighs by the noise it shows; cells that the model does not explain are unknown from then on.  At last each
pattern loses most of its noise (`ztf_in2p3.sensor.fringe_denoise`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.recipes import FringeFitRecipe
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.sensor.fringe import CcdFringes, FringeMap, sky_basis
from ztf_in2p3.sensor.fringe_cells import Cells
from ztf_in2p3.sensor.fringe_denoise import denoised
from ztf_in2p3.store.fits import Cards

_ROUNDS, _CLIPS = 30, 10
"""Rounds of least squares, and of looks at the outliers; a few are needed."""
_SETTLED = 0.03
"""Noises of a cell, root mean square, by which no component moves any more in the exposures."""
_RIDGE = 0.1
"""Pull of each cell's patterns to zero, in exposures of signal-to-noise 1, lest an unseen cell be undetermined."""
_ALONE = 0.8
"""An exposure with so much of a component makes it alone: no pattern of the sensor, so the exposure is left out."""
_EXPOSURES_EACH = 2
"""More exposures than these are needed for each component, or the components are the exposures themselves."""


@dataclass(slots=True, eq=False)
class _Skies:
    """Exposures as rows; arrays are (exposure, cell) unless said otherwise."""

    level: NDArray[np.float32]
    """Level over the exposure's sky."""
    known: NDArray[np.bool_]
    noise: NDArray[np.float32]
    """(exposure, 1), of a cell, over its sky."""
    least: NDArray[np.float32]
    """(exposure, 1), of a cell from the variance of its pixels."""
    basis: NDArray[np.float32]
    """(term, cell), orthonormal: the smooth sky."""
    shape: tuple[int, ...]
    """Rows and columns of cells."""

    def take(self, which: NDArray[np.bool_]) -> _Skies:
        """Some of the exposures."""
        return _Skies(
            self.level[which], self.known[which], self.noise[which], self.least[which], self.basis, self.shape
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Components:
    left: NDArray[np.float32]
    """(exposure, component), orthonormal."""
    strength: NDArray[np.float32]
    """(component,), of a cell's noise."""
    patterns: NDArray[np.float32]
    """(component, cell), orthogonal, of root mean square 1."""


def train_ccd(
    ccdid: int, skies: Sequence[Mapping[int, Cells]], recipe: FringeFitRecipe, *, cards: Cards | None = None
) -> CcdFringes:
    """Fringe maps of a CCD.

    Parameters
    ----------
    skies
        Cells of the quadrants of each exposure, by qid.
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
        components = _principal(skies, recipe)
        chance = np.sqrt(n_exposure) + np.sqrt(n_cell)
        significant = components.strength > chance
        dominant = np.any(components.left[:, significant] ** 2 > _ALONE, axis=1)
        if not dominant.any():
            break
        skies = skies.take(~dominant)
    if not significant.any():
        raise BadData(
            f"{n_exposure} exposures have no pattern in common: the strongest is {components.strength[0]:.0f} noises "
            f"of a cell, chance makes {chance:.0f}; detrend without fringes, or take more exposures"
        )
    patterns, noise = _without_noise(skies, components)
    count = skies.known.sum(axis=0).reshape(skies.shape)
    return FringeMap(patterns[significant], noise[significant], count.astype(np.uint16))


def _principal(skies: _Skies, recipe: FringeFitRecipe) -> _Components:
    """The components that explain the exposures best; what they cannot explain is unknown afterwards."""
    components, everything = _first_guess(skies, recipe.components), skies.known
    for _ in range(_CLIPS):
        components = _fitted(skies, components)
        known = everything & _explained(skies, components, recipe.clip)
        if np.array_equal(known, skies.known):
            break
        skies.known = known
    return components


def _fitted(skies: _Skies, components: _Components) -> _Components:
    """Weighted least squares over the known cells: amplitudes of given patterns, patterns of given amplitudes, in turn.

    Filling in what is unknown by what the model says, again and again, would lead to the same, but took a thousand
    rounds where two thirds of a cell's exposures are unknown.
    """
    for _ in range(_ROUNDS):
        amplitudes, smooth = _amplitudes(skies, components.patterns)
        normal, right = _cell_equations(skies, amplitudes, smooth)
        normal += _RIDGE * np.eye(len(components.strength), dtype=np.float32)
        patterns = np.linalg.solve(normal, right[..., None])[..., 0].T
        before, components = components, _upright(skies, amplitudes, patterns)
        moved = (
            np.square(components.patterns - before.patterns).mean(axis=1)
            * components.strength**2
            / components.patterns.shape[1]
        )
        if moved.max() < _SETTLED**2:
            break
    return components


def _amplitudes(skies: _Skies, patterns: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Amplitudes of the patterns in each exposure over its noise, (exposure, component); skies, (exposure, cell)."""
    design = np.concatenate([patterns, skies.basis])
    n = len(design)
    products = (design[:, None] * design).reshape(n * n, -1)
    normal = (skies.known.astype(np.float32) @ products.T).reshape(-1, n, n)
    right = np.where(skies.known, skies.level / skies.noise, 0) @ design.T
    solution = np.linalg.solve(normal, right[..., None])[..., 0]
    amplitudes, smooth = solution[:, : len(patterns)], solution[:, len(patterns) :]
    return amplitudes, smooth @ skies.basis


def _cell_equations(
    skies: _Skies, amplitudes: NDArray[np.float32], smooth: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normal equations of the patterns in each cell: (cell, component, component) and (cell, component)."""
    n = amplitudes.shape[1]
    squares = (amplitudes[:, :, None] * amplitudes[:, None, :]).reshape(-1, n * n)
    normal = (skies.known.astype(np.float32).T @ squares).reshape(-1, n, n)
    fluctuation = np.where(skies.known, skies.level / skies.noise - smooth, 0)
    return normal, fluctuation.T @ amplitudes


def _upright(skies: _Skies, amplitudes: NDArray[np.float32], patterns: NDArray[np.float32]) -> _Components:
    """The model in orthogonal patterns of root mean square 1 without smooth sky, the strongest first."""
    rough = patterns - (patterns @ skies.basis.T) @ skies.basis
    square, turn = np.linalg.eigh((rough @ rough.T).astype(np.float64))
    root = np.sqrt(np.maximum(square, np.finfo(np.float32).tiny))
    left, strength, right = np.linalg.svd(amplitudes @ (turn * root), full_matrices=False)
    turned = (right / root) @ turn.T @ rough
    signs = np.where(left.sum(axis=0) < 0, -1, 1)
    scale = signs * np.sqrt(patterns.shape[1])
    return _Components(*(np.asarray(array, np.float32) for array in (left * signs, strength, turned * scale[:, None])))


def _normalised(exposures: Sequence[Cells], recipe: FringeFitRecipe) -> _Skies:
    """Cells over the exposure's own sky, with the noise that its pixels should have."""
    usable = [cells for cells in exposures if cells.tell]
    if not usable:
        raise BadData(f"none of {len(exposures)} exposures has enough sky between its sources to show fringes")
    known = np.array([cells.known.ravel() for cells in usable])
    mean = np.array([cells.mean.ravel() for cells in usable])
    error = np.array([np.median(cells.error[cells.known]) for cells in usable])
    sky = np.array([np.median(level[with_sky]) for level, with_sky in zip(mean, known, strict=True)])
    if not (sky > 0).all():
        raise BadData(f"the sky of an exposure is {sky.min():.1f} ADU; expected a positive one: look at bias and flat")
    shape = usable[0].mean.shape
    basis = sky_basis(shape, recipe.sky_degree)
    level = np.where(known, mean / sky[:, None] - 1, 0).astype(np.float32)
    noise = (error / sky)[:, None].astype(np.float32)
    skies = _Skies(level, known, noise, noise, (basis / np.sqrt(basis.shape[1])).astype(np.float32), shape)
    # To begin with none counts more than the usual one: clouds and ghosts, still unknown, would be the first component.
    fluctuation = np.where(known, level - _smooth_sky(level, skies), 0)
    contrast: NDArray[np.float64] = (
        np.sqrt((fluctuation**2).sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True)) / noise
    )
    skies.noise = noise * np.maximum(1, contrast / np.median(contrast)).astype(np.float32)
    return skies


def _first_guess(skies: _Skies, n: int) -> _Components:
    """Principal components with the unknown cells at the level of the smooth sky."""
    level = skies.level / skies.noise
    filled = np.where(skies.known, level - _smooth_sky(level, skies), 0)
    left, strength, patterns = _leading(filled, n)
    return _upright(skies, left * strength, patterns)


def _leading(rows: NDArray[np.float32], n: int) -> tuple[NDArray, NDArray, NDArray]:
    """Singular vectors and values of a few long rows, by the products of the rows."""
    square, left = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    left, strength = left[:, ::-1][:, :n], np.sqrt(np.maximum(square[::-1][:n], np.finfo(float).tiny))
    return left, strength, (left / strength).T.astype(np.float32) @ rows


def _smooth_sky(level: NDArray[np.float32], skies: _Skies) -> NDArray[np.float32]:
    """Least squares of the polynomial through the known cells of each exposure: (exposure, cell)."""
    basis, n_term = skies.basis, len(skies.basis)
    squares = (basis[:, None] * basis).reshape(-1, basis.shape[1])
    normal = (skies.known.astype(np.float32) @ squares.T).reshape(-1, n_term, n_term)
    right = np.where(skies.known, level, 0) @ basis.T
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0] @ basis)


def _explained(skies: _Skies, components: _Components, clip: float) -> NDArray[np.bool_]:
    """Cells that are as the model says, within the noise that the exposure shows; that noise is noted."""
    amplitudes, smooth = _amplitudes(skies, components.patterns)
    distance = np.abs(skies.level / skies.noise - smooth - amplitudes @ components.patterns)
    scatters = [robust_sigma(row[cells], 0.0) for row, cells in zip(distance, skies.known, strict=True)]
    # Never below the noise of the pixels: an exposure that a component fits better would weigh more, and so on.
    scatter = np.maximum(np.array(scatters, np.float32)[:, None], skies.least / skies.noise)
    skies.noise = skies.noise * scatter
    return np.asarray(distance <= clip * scatter)


def _without_noise(skies: _Skies, components: _Components) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Patterns, (component, cell row, cell column), and the standard deviation of what is wrong with a cell of each."""
    amplitudes, smooth = _amplitudes(skies, components.patterns)
    normal, right = _cell_equations(skies, amplitudes, smooth)
    covariance = np.linalg.inv(normal + _RIDGE * np.eye(normal.shape[1], dtype=np.float32))
    patterns = (covariance @ right[..., None])[..., 0].T.reshape(-1, *skies.shape)
    variances = np.diagonal(covariance, axis1=1, axis2=2).T.reshape(patterns.shape)
    calm, noise = zip(*map(denoised, patterns, variances), strict=True)
    return np.array(calm, np.float32), np.array(noise, np.float32)
