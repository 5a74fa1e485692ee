"""What the profile of a PSF lacks: a map of cubic B-splines, fine in the core and coarse in the wings.

A PSF errs by what its parameters take from the noise of its stars, and a flux measured with it falls by the square of
that: by the number of parameters over the squared signal to noise ratio of all stars together.  So the map has as
many as the data need: B-splines of one, two and four spacings, further out only the wider ones, each a sum of the
finest (B-splines refine exactly), which is how the map is kept.  The normal equations are those of the parameters
from the start: of the finest coefficients they would take gigabytes where the seeing is sharp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, hstack, kron

from ztf_in2p3.psf.equations import StarEquations
from ztf_in2p3.psf.kernels import profile
from ztf_in2p3.psf.model import PsfModel
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
PIXELS = 12
"""Pixels to each side of a star over which its light is summed."""
LIGHT_RADIUS = 6.0
"""Pixels; smooth edge of the light of which the PSF keeps the same, wherever a star lies on its pixels."""
WINDOW = 2.5
"""Pixels; smooth edge of that sum, which a sum over a box would not have."""


@dataclass(frozen=True, slots=True, eq=False)
class MapTerms:
    """How the map is written, and what it must fulfil."""

    basis: csr_matrix
    """(coefficient of the map, parameter)."""
    factors: NDArray[np.float64]
    """(level,): spacings of its splines, in the finest."""
    last: NDArray[np.int64]
    """(level,): nodes to either side of the middle one."""
    number: NDArray[np.int64]
    """(level, y, x): parameter of the spline at a node, -1 where there is none."""
    conditions: tuple[Conditions, Conditions]
    """What the data cannot say of the map that is the same everywhere, and of one that is added with x or y."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """What the data cannot say of a map."""

    rows: NDArray[np.float64]
    """(condition, coefficient)."""
    wanted: NDArray[np.float64]
    """(condition,): values of `rows` times the map."""
    weight: NDArray[np.float64]
    """(condition,): see `FIRM`."""


def empty_map(model: PsfModel, side: int, recipe: PsfRecipe) -> tuple[PsfModel, MapTerms]:
    """A map over stamps `side` pixels wide, still zero."""
    fwhm = model.at(model.middle).fwhm
    spacing = max(recipe.spacing * fwhm, recipe.min_spacing)
    inside = side / 2 / spacing
    half = int(np.ceil(inside)) + 2 * LEVELS[-1][0]
    empty = PsfModel(model.shape, model.middle, model.scale, np.zeros((1, 2 * half + 1, 2 * half + 1)), spacing)
    levels = [_level(half, int(inside / factor), factor, radius * fwhm / spacing) for factor, radius in LEVELS]
    number = np.full((len(levels), *np.max([near.shape for _, near in levels], axis=0)), -1, np.int64)
    total = 0
    for k, (_, near) in enumerate(levels):
        number[k, : len(near), : len(near)] = np.where(near, total + np.cumsum(near).reshape(near.shape) - 1, -1)
        total += int(near.sum())
    basis = hstack(
        [kron(csr_matrix(along), csr_matrix(along), format="csc")[:, near.ravel()] for along, near in levels], "csr"
    )
    last = np.array([len(near) // 2 for _, near in levels])
    return empty, MapTerms(basis, np.array([float(factor) for factor, _ in LEVELS]), last, number, _conditions(empty))


def improve_map(
    model: PsfModel,
    stars: StarEquations,
    recipe: PsfRecipe,
    free: NDArray[np.bool_],
    terms: MapTerms,
) -> PsfModel:
    """Least squares on the residual map and on what is free of the shape, the stars' own parameters eliminated.

    Together, because until the map is there, where stars lie on their pixels passes for a change over the quadrant.
    """
    n_term, n_map = len(model.residual), terms.basis.shape[1]
    blocks, right, mixed, by_shape, shape_right, crossed = stars.with_map(model, free, terms)
    eliminated = crossed.reshape(-1, n_term * n_map)
    normal = np.zeros((n_term, n_map, n_term, n_map))
    pairs = [(i, j) for i in range(n_term) for j in range(i + 1)]
    for (i, j), block in zip(pairs, blocks, strict=True):
        whole = np.tril(block) + np.tril(block, -1).T
        normal[i, :, j], normal[j, :, i] = whole, whole
    diagonal = np.einsum("iaia->ia", normal)
    # In the units of the finest splines, whatever the coarse ones hold.
    fine = diagonal[0, : int((terms.number[0] >= 0).sum())]
    firm, typical = float(fine.max()), float(fine.mean())
    for i, part in enumerate(model.residual):
        condition = terms.conditions[min(i, 1)]
        rows, weight = condition.rows @ terms.basis, firm * condition.weight
        normal[i, :, i] += (rows.T * weight) @ rows + recipe.ridge * typical * np.eye(n_map)
        right[i] += rows.T @ (weight * (condition.wanted - condition.rows @ part.ravel()))
    by_map = normal.reshape(n_term * n_map, -1) - eliminated.T @ eliminated
    mixed = mixed.reshape(len(mixed), n_term * n_map)
    whole = np.block([[by_map, mixed.T], [mixed, by_shape]])
    solved = cho_factor(whole, lower=True, overwrite_a=True)
    change = cho_solve(solved, np.concatenate([right.ravel(), shape_right]))
    shape = model.shape.copy()
    shape[free] += np.clip(change[n_term * n_map :], -0.3, 0.3)
    by_term = terms.basis @ change[: n_term * n_map].reshape(n_term, n_map).T
    residual = model.residual + by_term.T.reshape(model.residual.shape)
    return replace(model, shape=shape, residual=residual)


def following(model: PsfModel, n_term: int) -> PsfModel:
    """The same, with so many terms of a map that follows x and y; what is new is zero."""
    new = np.zeros((n_term - len(model.residual), *model.residual.shape[1:]))
    return replace(model, residual=np.concatenate([model.residual, new]), ripple=np.zeros((n_term, 4)))


def with_ripple(model: PsfModel) -> PsfModel:
    """The same, each term of its map with what the pixels' phases do to its sum (`ztf_in2p3.psf.kernels`)."""
    n, spacing = model.residual.shape[1], model.spacing
    pixels, phase = np.arange(-PIXELS, PIXELS + 1), np.arange(PHASES) / PHASES - 0.5
    sums = np.empty((len(model.residual), PHASES, PHASES))
    for y, down in enumerate(phase):  # a star at -phase on its pixel
        for x, across in enumerate(phase):
            by_y, by_x = _splines(pixels + down, n, spacing), _splines(pixels + across, n, spacing)
            distance2 = (pixels[:, None] + down) ** 2 + (pixels + across) ** 2
            window = np.exp(-((distance2 / LIGHT_RADIUS**2) ** 2))
            sums[:, y, x] = np.tensordot(model.residual, by_y.T @ window @ by_x, 2)
    cos, sin = np.cos(2 * np.pi * phase), np.sin(2 * np.pi * phase)
    by_x, by_y = sums.mean(axis=1), sums.mean(axis=2)
    ripple = 2 / PHASES * np.stack([by_x @ cos, -by_x @ sin, by_y @ cos, -by_y @ sin], axis=1)
    return replace(model, ripple=ripple)


def _level(half: int, last: int, factor: int, radius: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """B-splines of a level along an axis as sums of the finest (coefficient, node); which nodes (y, x) have one."""
    taps = np.ones(1)
    for _ in range(4):  # a cubic B-spline is four boxes
        taps = np.convolve(taps, np.ones(factor))
    reach = len(taps) // 2
    centre = np.arange(-last, last + 1) * factor
    away = np.arange(-half, half + 1)[:, None] - centre + reach
    along = np.where((away >= 0) & (away < len(taps)), taps[np.clip(away, 0, len(taps) - 1)] / factor**3, 0)
    return along, np.hypot(centre[:, None], centre) <= radius


def _conditions(model: PsfModel) -> tuple[Conditions, Conditions]:
    """What the data cannot say, as products (condition, map) with the map's coefficients, their values and weights.

    The map has no part in what looks like another flux, place or sky: its products with the profile, the profile's
    slopes and 1 vanish.  And a star on any part of a pixel has the same flux and place: pixels miss no light, so
    no smoothly weighted sum of the PSF over pixels, nor its first moments, depend on the phase.  Without that, a
    factor in the PSF that repeats from pixel to pixel hides in the fluxes of the stars (compare Anderson & King
    2000, PASP 112, 1360).
    """
    n, spacing = model.residual.shape[1], model.spacing
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
    by_phase, by_value = (part - part.mean(axis=0) for part in (total, value))
    firm = FIRM / np.maximum((still**2).sum(axis=1), 1e-8)
    rows = np.concatenate([still, by_phase.reshape(-1, n * n)])
    value_of_row = np.append(np.zeros(len(still)), by_value)
    weight = np.append(firm, np.full(by_value.size, SOFT))
    mean = total.mean(axis=0)
    steady = np.append(weight, FIRM / np.maximum((mean**2).sum(axis=1), 1e-8))
    added = Conditions(np.concatenate([rows, mean]), np.zeros(len(steady)), steady)
    return Conditions(rows, value_of_row, weight), added


def _splines(at: NDArray, n: int, spacing: float) -> NDArray[np.float64]:
    """(point, n): the finest B-splines along an axis."""
    distance = np.abs(at[:, None] / spacing - (np.arange(n) - n // 2))
    inner = (4 - 6 * distance**2 + 3 * distance**3) / 6
    return np.where(distance < 1, inner, np.clip(2 - distance, 0, 2) ** 3 / 6)
