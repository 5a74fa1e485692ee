"""What the profile of a PSF lacks: a map of cubic B-splines, fine in the core and coarse in the wings.

A PSF errs by what its parameters take from the noise of its stars, and a flux measured with it falls by the square of
that: by the number of parameters over the squared signal to noise ratio of all stars together.  So the map has as
many as the data need: B-splines of one, two and four spacings, further out only the wider ones, each a sum of the
finest (B-splines refine exactly), which is how the map is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, hstack, kron

from ztf_in2p3.psf.kernels import profile
from ztf_in2p3.psf.model import PsfModel
from ztf_in2p3.psf.star_columns import star_columns
from ztf_in2p3.psf.star_kernels import add_to_map
from ztf_in2p3.psf.stars import StarFluxes, StarStamps
from ztf_in2p3.recipes import PsfRecipe

LEVELS = ((1, 1.2), (2, 2.5), (4, np.inf))
"""Spacings, in the finest, and how far out such splines are centred, in FWHM of the profile."""
PHASES = 4
"""Parts of a pixel along each axis for which the sum over the PSF is fixed."""
FIRM = 10.0
"""Weight of what the data cannot say, in units of the best known of the map's coefficients."""
SOFT = 0.1
"""Weight of what the stars' phases on the pixels leave open, in the same units: a map that resolves a pixel needs it,
and a coarser one, whose own errors repeat from pixel to pixel, would be bent by more."""
WINDOW = 2.5
"""Pixels; smooth edge of that sum, which a sum over a box would not have."""


@dataclass(frozen=True, slots=True, eq=False)
class MapTerms:
    """How the map is written, and what it must fulfil."""

    basis: csr_matrix
    """(coefficient of the map, parameter)."""
    rows: NDArray[np.float64]
    """(condition, coefficient)."""
    wanted: NDArray[np.float64]
    """(condition,): values of `rows` times the map."""
    weight: NDArray[np.float64]
    """(condition,): see `FIRM`."""


def empty_map(model: PsfModel, side: int, recipe: PsfRecipe) -> tuple[PsfModel, MapTerms]:
    """A map over stamps `side` pixels wide, still zero."""
    fwhm = model.at(model.middle).fwhm
    spacing = recipe.spacing * fwhm
    half = int(np.ceil(side / 2 / spacing))
    empty = PsfModel(model.shape, model.middle, model.scale, np.zeros((2 * half + 1, 2 * half + 1)), spacing)
    return empty, MapTerms(_basis(half, fwhm / spacing), *_conditions(empty))


def improve_map(
    model: PsfModel,
    stamps: StarStamps,
    fluxes: StarFluxes,
    used: NDArray,
    recipe: PsfRecipe,
    free: NDArray[np.bool_],
    terms: MapTerms,
) -> PsfModel:
    """Least squares on the residual map and on what is free of the shape, the stars' own parameters eliminated.

    Together, because until the map is there, where stars lie on their pixels passes for a change over the quadrant.
    """
    n, n_shape = len(model.residual), int(free.sum())
    fine, fine_right = np.zeros((n * n, n * n)), np.zeros(n * n)
    mixed, by_shape, right = (np.zeros((n_shape, n * n)), np.zeros((n_shape, n_shape)), np.zeros(n_shape))
    eliminated = []
    for s in np.flatnonzero(used):
        star = star_columns(model, stamps, fluxes, int(s), free)
        factor = star.psf.spacing / model.spacing  # the local map is the common one over factor^2
        columns = np.ascontiguousarray(np.column_stack([star.base, star.shape]))
        cross_terms = np.empty((4 + n_shape, n * n))
        add_to_map(
            float(star.psf.spacing),
            n,
            star.x,
            star.y,
            star.flux / factor**2,
            star.residual,
            columns,
            star.keep,
            stamps.side,
            fine,
            fine_right,
            cross_terms,
        )
        eliminated.append(cross_terms[:4])
        fine_right -= cross_terms[:4].T @ (star.base.T @ star.residual)
        mixed += cross_terms[4:]
        by_shape += star.shape.T @ star.shape
        right += star.shape.T @ star.residual

    old, firm, typical = (model.residual.ravel(), np.diag(fine).max(), np.diag(fine).mean())
    rows, gone = terms.rows @ terms.basis, np.concatenate(eliminated) @ terms.basis
    weight = firm * terms.weight
    fine[np.diag_indices_from(fine)] /= 2  # a half of it and its mirror image make the whole
    half = terms.basis.T @ (terms.basis.T @ fine).T
    by_map = half + half.T + (rows.T * weight) @ rows - gone.T @ gone
    by_map[np.diag_indices_from(by_map)] += recipe.ridge * typical
    map_right = terms.basis.T @ fine_right + rows.T @ (weight * (terms.wanted - terms.rows @ old))
    mixed = mixed @ terms.basis
    normal = np.block([[by_map, mixed.T], [mixed, by_shape]])
    change = cho_solve(cho_factor(normal, lower=True, overwrite_a=True), np.concatenate([map_right, right]))
    shape = model.shape.copy()
    shape[free] += np.clip(change[len(by_map) :], -0.3, 0.3)
    residual = (old + terms.basis @ change[: len(by_map)]).reshape(n, n)
    return PsfModel(shape, model.middle, model.scale, residual, model.spacing)


def _basis(half: int, fwhm: float) -> csr_matrix:
    """B-splines of all levels as sums of the finest; `half` and `fwhm` in the finest spacing."""
    parts = []
    for factor, radius in LEVELS:
        taps = np.ones(1)
        for _ in range(4):  # a cubic B-spline is four boxes
            taps = np.convolve(taps, np.ones(factor))
        reach = len(taps) // 2
        last = (half + reach) // factor
        centre = np.arange(-last, last + 1) * factor
        away = np.arange(-half, half + 1)[:, None] - centre + reach
        along = np.where((away >= 0) & (away < len(taps)), taps[np.clip(away, 0, len(taps) - 1)] / factor**3, 0)
        near = (np.hypot(centre[:, None], centre) <= radius * fwhm).ravel()
        parts.append(kron(csr_matrix(along), csr_matrix(along), format="csc")[:, near])
    return hstack(parts, format="csr")


def _conditions(model: PsfModel) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What the data cannot say, as products (condition, map) with the map's coefficients, their values and weights.

    The map has no part in what looks like another flux, place or sky: its products with the profile, the profile's
    slopes and 1 vanish.  And a star on any part of a pixel has the same flux and place: pixels miss no light, so
    no smoothly weighted sum of the PSF over pixels, nor its first moments, depend on the phase.  Without that, a
    factor in the PSF that repeats from pixel to pixel hides in the fluxes of the stars (compare Anderson & King
    2000, PASP 112, 1360).
    """
    n, spacing = len(model.residual), model.spacing
    moffat = model.at(model.middle).moffat
    reach = n // 2 + 2
    fine = np.arange(-2 * reach, 2 * reach + 1) * spacing / 2
    image, spline = profile(moffat, fine, fine), _splines(fine, n, spacing)
    still = np.array(
        [(spline.T @ factor @ spline).ravel() for factor in (image, *np.gradient(image), np.ones_like(image))]
    )

    pixels = np.arange(-30, 31.0)
    phases = (np.arange(PHASES) + 0.5) / PHASES - 0.5
    sums, wanted = [], []
    for down in phases:
        for across in phases:
            at_y, at_x = pixels + down, pixels + across
            x, y = np.meshgrid(at_x, at_y)
            image, by_y, by_x = (profile(moffat, at_x, at_y), _splines(at_y, n, spacing), _splines(at_x, n, spacing))
            window = np.exp(-0.5 * (x**2 + y**2) / WINDOW**2)
            for factor in (window, x * window, y * window):
                sums.append((by_y.T @ factor @ by_x).ravel())
                wanted.append(-float(np.sum(factor * image)))
    total, value = np.array(sums).reshape(-1, 3, n * n), np.array(wanted).reshape(-1, 3)
    total, value = ((total - total.mean(axis=0)).reshape(-1, n * n), (value - value.mean(axis=0)).ravel())
    firm = FIRM / np.maximum((still**2).sum(axis=1), 1e-8)
    weight = np.append(firm, np.full(len(total), SOFT))
    return np.concatenate([still, total]), np.append(np.zeros(len(still)), value), weight


def _splines(at: NDArray, n: int, spacing: float) -> NDArray[np.float64]:
    """(point, n): the finest B-splines along an axis."""
    distance = np.abs(at[:, None] / spacing - (np.arange(n) - n // 2))
    inner = (4 - 6 * distance**2 + 3 * distance**3) / 6
    return np.where(distance < 1, inner, np.clip(2 - distance, 0, 2) ** 3 / 6)
