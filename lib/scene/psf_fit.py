"""The PSF of a quadrant, from its isolated stars.

A Moffat profile, constant or linear over the quadrant, takes most; what it lacks is a cubic B-spline in units of
the local width, the same everywhere.  One weight for all pixels of the exposure (see `lib.scene.stars`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from lib.recipes import PsfRecipe
from lib.scene.errors import NoStars
from lib.scene.psf import Psf
from lib.scene.star_kernels import add_to_map, own_columns
from lib.scene.stars import StarFluxes, StarStamps, measure_stars

PHASES = 4
"""Parts of a pixel along each axis for which the sum over the PSF is fixed."""
FIRM = 10.0
"""Weight of what the data cannot say, in units of the largest of the map's coefficients."""
WINDOW = 2.5
"""Pixels; smooth edge of that sum, which a sum over a box would not have."""


STANDARD = PsfRecipe()


@dataclass(frozen=True, slots=True, eq=False)
class PsfModel:
    """The PSF anywhere on a quadrant."""

    shape: NDArray[np.float64]
    """(4, 3): of log width^2, two ellipticities and log(beta - 1) the value at `middle`, and the slopes."""
    middle: NDArray[np.float64]
    """(2,): x, y."""
    scale: float
    """Pixels of a unit of the slopes."""
    residual: NDArray[np.float64]
    spacing: float
    """Of the residual at `middle`; it grows with the width."""

    def at(self, place: NDArray) -> Psf:
        x, y = (place - self.middle) / self.scale
        local = self.shape @ np.array([1.0, x, y])
        factor = float(np.exp(0.5 * (local[0] - self.shape[0, 0])))
        return Psf(moffat_of(local), self.residual / factor**2, self.spacing * factor)


def moffat_of(local: NDArray) -> NDArray[np.float64]:
    """(qxx, qxy, qyy, beta) of log width^2, ellipticities e1, e2 (any real numbers), log(beta - 1)."""
    log_width2, e1, e2, log_beta = local
    e = np.hypot(e1, e2)
    s = np.sinh(e) / e if e > 1e-9 else 1.0
    q = np.exp(-log_width2)
    return np.array([q * (np.cosh(e) - s * e1), -q * s * e2, q * (np.cosh(e) + s * e1), 1 + np.exp(log_beta)])


def fit_psf(stamps: StarStamps, recipe: PsfRecipe = STANDARD) -> tuple[PsfModel, NDArray[np.bool_], StarFluxes]:
    """The PSF, which stars it comes from, and the photometry of all of them with it.

    Raises
    ------
    NoStars
        Fewer than `min_stars` stars are left after rejection.
    """
    model = _start(stamps)
    used = (~stamps.bad).mean(axis=(1, 2)) > 0.9
    _need(used, stamps, recipe)
    fluxes = measure_stars(stamps, model.at, model_error=0.3)
    used &= _like_the_others(stamps, fluxes, recipe, 0.3)
    for attempt in range(8):
        _need(used, stamps, recipe)
        model, step = _improve_moffat(model, stamps, fluxes, used, _free(used, recipe))
        fluxes = measure_stars(stamps, model.at, model_error=0.1, start=_own(stamps, fluxes))
        if attempt == 3:
            used &= _like_the_others(stamps, fluxes, recipe, 0.1)
        if step < 1e-3 and attempt > 3:
            break
    fwhm = model.at(model.middle).fwhm
    spacing = recipe.spacing * min(1.0, fwhm / 2.4)
    half = int((stamps.side // 2) / spacing)
    model = PsfModel(model.shape, model.middle, model.scale, np.zeros((2 * half + 1, 2 * half + 1)), spacing)
    slopes = _free(used, recipe)
    slopes[:, 0] = False  # the map knows better
    for attempt in range(recipe.passes):
        _need(used, stamps, recipe)
        model = _improve_map(model, stamps, fluxes, used, recipe, slopes)
        fluxes = measure_stars(stamps, model.at, model_error=recipe.model_error, start=_own(stamps, fluxes))
        if attempt == 0:
            used &= _like_the_others(stamps, fluxes, recipe, recipe.model_error)
    return model, used, fluxes


def _need(used: NDArray[np.bool_], stamps: StarStamps, recipe: PsfRecipe) -> None:
    if used.sum() < recipe.min_stars:
        raise NoStars(
            f"{used.sum()} of {len(stamps)} stars can show the PSF, {recipe.min_stars} are needed: "
            "take fainter ones, or set the exposure aside"
        )


def _start(stamps: StarStamps) -> PsfModel:
    """A round profile as wide as the stars' pixels above half their maximum say."""
    data = np.where(stamps.bad, np.nan, stamps.data)
    light = data - np.nanmedian(data, axis=(1, 2))[:, None, None]
    peak = np.nanmax(light, axis=(1, 2))
    bright = peak >= np.quantile(peak, 0.7)
    area = np.median(np.sum(light[bright] > 0.5 * peak[bright, None, None], axis=(1, 2)))
    fwhm, beta = max(np.sqrt(4 * area / np.pi), 1.5), 3.0
    shape = np.zeros((4, 3))
    shape[:, 0] = np.log(fwhm**2 / (4 * (2 ** (1 / beta) - 1))), 0, 0, np.log(beta - 1)
    middle = np.median(stamps.expected, axis=0)
    scale = max(float(np.abs(stamps.expected - middle).max()), 1.0)
    return PsfModel(shape, middle, scale, np.zeros((1, 1)), 1.0)


def _own(stamps: StarStamps, fluxes: StarFluxes) -> NDArray[np.float64]:
    return np.column_stack([fluxes.flux, fluxes.place - stamps.corner, fluxes.sky])


def _like_the_others(
    stamps: StarStamps, fluxes: StarFluxes, recipe: PsfRecipe, model_error: float
) -> NDArray[np.bool_]:
    """Stars that have light and are no worse described than the others: no neighbours, no galaxies, not saturated."""
    rest = stamps.data - fluxes.model
    light = np.maximum(fluxes.model - fluxes.sky[:, None, None], 0)
    allowed = stamps.variance + light / stamps.gain + (model_error * light) ** 2
    misfit = np.sqrt(np.mean(rest**2 / allowed, axis=(1, 2), where=~stamps.bad & np.isfinite(rest)))
    missing = (~fluxes.keep & ~stamps.bad).mean(axis=(1, 2))
    lit = fluxes.flux > 5 * fluxes.error
    if not lit.any():
        return lit
    middle = np.median(misfit[lit])
    spread = 1.4826 * np.median(np.abs(misfit[lit] - middle)) + 0.02 * middle
    moved = np.hypot(*(fluxes.place - stamps.expected).T)
    # What stays within its own noise is no outlier, however quiet the others are.
    return lit & (misfit < max(middle + recipe.clip * spread, 1.2)) & (missing < 0.05) & (moved < 2)


def _columns(
    model: PsfModel, stamps: StarStamps, fluxes: StarFluxes, s: int
) -> tuple[Psf, NDArray, NDArray, NDArray, NDArray]:
    """Of a star: its PSF, its place in the stamp, its pixels kept, its residual, a base of its own parameters."""
    psf = model.at(stamps.expected[s])
    x, y = fluxes.place[s] - stamps.corner[s]
    keep = fluxes.keep[s].ravel()
    image = psf.draw(x, y, (stamps.side, stamps.side)).reshape(3, -1)
    columns = np.empty((image.shape[1], 4))
    own_columns(image, fluxes.flux[s], keep, columns)
    rest = np.where(keep, stamps.data[s].ravel() - fluxes.flux[s] * image[0] - fluxes.sky[s], 0)
    return psf, np.array([x, y]), keep, rest, np.linalg.qr(columns)[0]


def _free(used: NDArray, recipe: PsfRecipe) -> NDArray[np.bool_]:
    """Of the (4, 3) numbers of the profile's shape, those to be fitted; the wings are the same everywhere."""
    free = np.ones((4, 3), bool)
    free[3, 1:] = False
    if not recipe.linear or used.sum() < 15:
        free[:, 1:] = False
    return free


def _shape_columns(
    model: PsfModel, stamps: StarStamps, fluxes: StarFluxes, s: int, free: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(pixel, free): derivatives of a star's image by the numbers of the profile's shape."""
    psf = model.at(stamps.expected[s])
    x, y = fluxes.place[s] - stamps.corner[s]
    place = np.append(1.0, (stamps.expected[s] - model.middle) / model.scale)
    local = model.shape @ place
    drawn = []
    for k in range(4):
        other = local.copy()
        other[k] += 1e-4
        drawn.append(Psf(moffat_of(other), psf.residual, psf.spacing).draw(x, y, (stamps.side, stamps.side))[0].ravel())
    image = psf.draw(x, y, (stamps.side, stamps.side))[0].ravel()
    slopes = (np.stack(drawn) - image) / 1e-4
    keep = fluxes.keep[s].ravel()
    return fluxes.flux[s] * (slopes[:, None, :] * place[:, None])[free].T * keep[:, None]


def _improve_moffat(
    model: PsfModel, stamps: StarStamps, fluxes: StarFluxes, used: NDArray, free: NDArray[np.bool_]
) -> tuple[PsfModel, float]:
    """One Gauss-Newton step on what is free of the profile's shape, the stars' own parameters eliminated."""
    n = int(free.sum())
    normal, right = np.zeros((n, n)), np.zeros(n)
    for s in np.flatnonzero(used):
        _, _, _, rest, q = _columns(model, stamps, fluxes, int(s))
        columns = _shape_columns(model, stamps, fluxes, int(s), free)
        columns -= q @ (q.T @ columns)
        normal += columns.T @ columns
        right += columns.T @ rest
    step = np.zeros((4, 3))
    damped = normal + np.diag(1e-6 * np.diag(normal) + 1e-12 * np.trace(normal))
    step[free] = np.linalg.solve(damped, right)
    largest = float(np.abs(step).max())
    shape = model.shape + step * min(1.0, 0.3 / max(largest, 1e-99))
    shape[3, 0] = np.clip(shape[3, 0], np.log(0.3), np.log(30.0))
    return PsfModel(shape, model.middle, model.scale, model.residual, model.spacing), largest


def _improve_map(
    model: PsfModel, stamps: StarStamps, fluxes: StarFluxes, used: NDArray, recipe: PsfRecipe, free: NDArray[np.bool_]
) -> PsfModel:
    """Least squares on the residual map and on what is free of the shape, the stars' own parameters eliminated.

    Together, because until the map is there, where stars lie on their pixels passes for a change over the quadrant.
    """
    n, n_shape = len(model.residual), int(free.sum())
    n_map = n * n
    normal, right = np.zeros((n_map + n_shape, n_map + n_shape)), np.zeros(n_map + n_shape)
    by_map, map_right, crossed = np.zeros((n_map, n_map)), np.zeros(n_map), []
    for s in np.flatnonzero(used):
        psf, (x, y), keep, rest, q = _columns(model, stamps, fluxes, int(s))
        shape = _shape_columns(model, stamps, fluxes, int(s), free)
        shape -= q @ (q.T @ shape)
        own = np.empty((4 + n_shape, n_map))
        factor = psf.spacing / model.spacing  # the local map is the common one over factor^2
        base = np.ascontiguousarray(np.column_stack([q, shape]))
        add_to_map(float(psf.spacing), n, x, y, fluxes.flux[s] / factor**2, rest, base, keep, stamps.side, by_map,
                   map_right, own)  # fmt: skip
        crossed.append(own[:4])
        map_right -= own[:4].T @ (q.T @ rest)
        normal[n_map:, :n_map] += own[4:]
        normal[n_map:, n_map:] += shape.T @ shape
        right[n_map:] += shape.T @ rest
    stacked = np.concatenate(crossed)
    rows, wanted = _conditions(model)
    diagonal = np.diag(by_map).copy()
    weight = FIRM * diagonal.max() / np.maximum((rows**2).sum(axis=1), 1e-8)
    by_map += (rows.T * weight) @ rows - stacked.T @ stacked
    by_map[range(n_map), range(n_map)] += recipe.ridge * diagonal.mean()
    old = model.residual.ravel()
    right[:n_map] = map_right + rows.T @ (weight * (wanted - rows @ old)) - recipe.ridge * diagonal.mean() * old
    normal[:n_map, :n_map] = by_map
    change = cho_solve(cho_factor(normal, lower=True, overwrite_a=True), right)
    shape_change = np.zeros((4, 3))
    shape_change[free] = np.clip(change[n_map:], -0.3, 0.3)
    return PsfModel(
        model.shape + shape_change, model.middle, model.scale, (old + change[:n_map]).reshape(n, n), model.spacing
    )


def _conditions(model: PsfModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the data cannot say, as products (condition, map) with the map's coefficients, and their values.

    The map has no part in what looks like another flux, place or sky: its products with the profile, the profile's
    slopes and 1 vanish.  And a star on any part of a pixel has the same flux and place: pixels miss no light, so
    no smoothly weighted sum of the PSF over pixels, nor its first moments, depend on the phase.  Without that, a
    factor in the PSF that repeats from pixel to pixel hides in the fluxes of the stars (compare Anderson & King
    2000, PASP 112, 1360).
    """
    n, spacing = len(model.residual), model.spacing
    moffat = model.at(model.middle).moffat

    def profile(x: NDArray, y: NDArray) -> NDArray[np.float64]:
        s = 1 + moffat[0] * x**2 + 2 * moffat[1] * x * y + moffat[2] * y**2
        return np.sqrt(moffat[0] * moffat[2] - moffat[1] ** 2) * (moffat[3] - 1) / np.pi * s ** -moffat[3]

    def splines(at: NDArray) -> NDArray[np.float64]:
        distance = np.abs(at[:, None] / float(spacing) - (np.arange(n) - n // 2))
        inner = (4 - 6 * distance**2 + 3 * distance**3) / 6
        return np.where(distance < 1, inner, np.clip(2 - distance, 0, 2) ** 3 / 6)

    reach = n // 2 + 2
    fine = np.arange(-2 * reach, 2 * reach + 1) * spacing / 2
    x, y = np.meshgrid(fine, fine)
    image, spline = profile(x, y), splines(fine)
    orthogonal = [(spline.T @ one @ spline).ravel() for one in (image, *np.gradient(image), np.ones_like(image))]

    pixels = np.arange(-30, 31.0)
    phases = (np.arange(PHASES) + 0.5) / PHASES - 0.5
    sums, wanted = [], []
    for down in phases:
        for across in phases:
            at_y, at_x = pixels + down, pixels + across
            x, y = np.meshgrid(at_x, at_y)
            image, by_y, by_x = profile(x, y), splines(at_y), splines(at_x)
            window = np.exp(-0.5 * (x**2 + y**2) / WINDOW**2)
            for one in (window, x * window, y * window):
                sums.append((by_y.T @ one @ by_x).ravel())
                wanted.append(-float(np.sum(one * image)))
    total, value = np.array(sums).reshape(-1, 3, n * n), np.array(wanted).reshape(-1, 3)
    total, value = total - total.mean(axis=0), value - value.mean(axis=0)
    rows = np.concatenate([np.array(orthogonal), total.reshape(-1, n * n)])
    return rows, np.concatenate([np.zeros(len(orthogonal)), value.ravel()])
