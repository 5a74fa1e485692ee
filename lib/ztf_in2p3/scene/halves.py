"""PSF photometry of an image against apertures: the PSF from half of its stars, compared on the other half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.catalogue.stars import Stars
from ztf_in2p3.psf.fit import fit_psf, measure_all
from ztf_in2p3.psf.model import PsfModel
from ztf_in2p3.psf.stars import StarStamps
from ztf_in2p3.recipes import PsfCatalogueRecipe
from ztf_in2p3.robust_statistics import robust_sigma
from ztf_in2p3.scene.inputs import ExposureImage, chosen_stars, star_stamps

FINE = 10
"""Points along a pixel to tell what part of it is in a circle."""
WHOLE = 0.95
"""Smallest fraction of a stamp's pixels that must be good."""
BIN_MAG = 1.0
SHOWN = 6
"""Stars whose residual images are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """Stars measured with the PSF of the other half, brightest first."""

    mag: NDArray[np.float64]
    """(star,): by the aperture."""
    total: NDArray[np.float64]
    """(star,): aperture minus PSF, mmag: their mean is what the aperture lacks."""
    within: NDArray[np.float64]
    """(star,): the same against the light that the PSF has within the aperture."""
    error: NDArray[np.float64]
    """(star,): of the PSF flux, mmag, the floor included."""
    width: NDArray[np.float64]
    """(star,): by how much wider than the PSF, relative."""
    width_error: NDArray[np.float64]
    phase: NDArray[np.float64]
    """(star, 2): where on its pixel it lies, -0.5 to 0.5."""
    data: NDArray[np.float64]
    """(shown, row, column): bright stars, sky subtracted, in units of their peak."""
    residual: NDArray[np.float64]
    """(shown, row, column)."""
    n_star: tuple[int, int]
    """Stars that each PSF comes from."""
    phase_error: float
    """Relative; see `PsfModel.phase_error`; the larger one."""
    flux_floor: float

    def binned(self, values: NDArray, magnitudes: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Median and robust scatter of values (star,) around magnitudes (bin,); NaN where there are fewer than 5."""
        middle, scatter = np.full(len(magnitudes), np.nan), np.full(len(magnitudes), np.nan)
        for k, magnitude in enumerate(magnitudes):
            near = values[(np.abs(self.mag - magnitude) < BIN_MAG / 2) & np.isfinite(values)]
            if len(near) >= 5:
                middle[k] = np.median(near)
                scatter[k] = robust_sigma(near, middle[k])
        return middle, scatter


def compare_halves(
    exposure: ExposureImage, stars: Stars, aperture: NDArray, radius: float, scale: float, recipe: PsfCatalogueRecipe
) -> Halves:
    """Measure every isolated star of an image with a PSF that it had no part in.

    Parameters
    ----------
    stars
        Sources on the image; star_id counts the rows of `aperture`.
    aperture : (source,), ADU
        Light within `radius` pixels.
    scale
        Arcseconds per pixel.

    Raises
    ------
    NoStars
        Too few stars.
    """
    kept, alone = chosen_stars(exposure, stars, scale, recipe)
    kept = kept.take(alone)
    stamps = star_stamps(exposure, kept, recipe.side + 2 * recipe.psf.margin)
    first = np.random.default_rng(1).permutation(len(stamps)) % 2 == 0
    parts, models, counts = [], [], []
    for half in (first, ~first):
        model, used, _ = fit_psf(stamps.only(half), recipe.psf)
        second = np.flatnonzero(~half)
        parts.append((second, *_measured(stamps.only(second), model, radius, recipe)))
        models.append(model)
        counts.append(int(used.sum()))
    index, flux, error, within, width, width_error, place, keep, left = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    light, mag = aperture[kept.star_id[index]], kept.g_mag[index].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        total, inner = (-2500 * np.log10(light / of) for of in (flux, within))
        relative = 2500 / np.log(10) * np.hypot(error / flux, max(model.flux_floor for model in models))
    good = (keep > WHOLE) & np.isfinite(total) & np.isfinite(inner)
    order = np.flatnonzero(good)[np.argsort(mag[good], kind="stable")]
    linear = order[stamps.peak[index[order]] <= recipe.psf.max_peak][:SHOWN]
    peak = np.nanmax(left[linear, 0], axis=(1, 2))[:, None, None]
    return Halves(
        mag[order],
        total[order],
        inner[order],
        relative[order],
        width[order],
        width_error[order],
        (place - np.rint(place))[order],
        left[linear, 0] / peak,
        left[linear, 1] / peak,
        (counts[0], counts[1]),
        max(model.phase_error for model in models),
        max(model.flux_floor for model in models),
    )


def _measured(
    stamps: StarStamps, model: PsfModel, radius: float, recipe: PsfCatalogueRecipe
) -> tuple[NDArray[np.float64], ...]:
    inner = stamps.inner(recipe.psf.margin)
    fluxes = measure_all(inner, model, recipe.psf)
    square = (inner.side, inner.side)
    within = np.full(len(inner), np.nan)
    for s in np.flatnonzero(np.isfinite(fluxes.flux)):
        x, y = fluxes.place[s] - inner.corner[s]
        image = model.at(inner.expected[s]).draw(x, y, square)[0]
        within[s] = fluxes.flux[s] * float(np.sum(circle(x, y, radius, inner.side) * image))
    sky = fluxes.sky[:, None, None]
    left = np.where(fluxes.keep, np.stack([inner.data - sky, inner.data - fluxes.model]), np.nan).swapaxes(0, 1)
    return (
        fluxes.flux,
        fluxes.error,
        within,
        fluxes.width,
        fluxes.width_error,
        fluxes.place,
        fluxes.keep.mean(axis=(1, 2)),
        left,
    )


def circle(x: float, y: float, radius: float, side: int) -> NDArray[np.float64]:
    """(side, side): share of each pixel within a circle."""
    fine = (np.arange(side * FINE) + 0.5) / FINE - 0.5
    inside = np.hypot(fine - x, (fine - y)[:, None]) < radius
    return np.asarray(inside.reshape(side, FINE, side, FINE).mean(axis=(1, 3)), np.float64)


def of_sources(x: NDArray, y: NDArray, ra: NDArray, dec: NDArray, mag: NDArray) -> Stars:
    """Sources of an image as stars, numbered as they come.  All (star,)."""
    n = len(x)
    unknown = np.full(n, np.nan, np.float32)
    return Stars(np.arange(n), ra, dec, x, y, np.ones(n, bool), mag.astype(np.float32), unknown, unknown)
