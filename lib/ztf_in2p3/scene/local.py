"""Place and brightness of the sky in an exposure, according to the stars around the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.robust_statistics import Mask, refit, robust_sigma

PLACE_FLOOR = 0.005
"""Pixels; added to the stars' position errors, so that no star alone decides."""
FLUX_FLOOR = 0.002
"""Relative; added to the stars' flux errors, likewise.  With it a throughput's error stands for the noise of the PSF
too: from 200 stars of 14 to 18 mag, simulated point sources scatter by 0.56 mmag, and 0.56 is what it says."""
CLIP = 5.0
MIN_STARS = 4
ROUNDS = 10
"""Most fits without outliers; a few are enough."""
MEDIAN_DISTANCE = 1.1774
"""Median distance from the centre of a round Gaussian of two dimensions, in its standard deviations along an axis."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalWcs:
    """pixel = place + matrix @ u, near u = 0."""

    place: NDArray[np.float64]
    """(2,): x, y."""
    matrix: NDArray[np.float64]
    """(2, 2)."""
    error: float
    """Standard deviation of `place` along each axis, pixels."""
    n_star: int

    def __call__(self, u: NDArray) -> NDArray[np.float64]:
        """Pixels (star, 2) of places on the tangent plane (star, 2)."""
        return self.place + u @ self.matrix.T


def refine_wcs(start: LocalWcs, u: NDArray, place: NDArray, place_error: NDArray) -> LocalWcs:
    """Correct a WCS by a linear map, so that it sends the stars where they were found.

    Parameters
    ----------
    u : (star, 2)
        Sky positions at the exposure's epoch.
    place, place_error : (star, 2)
        Where they are, pixels.

    Raises
    ------
    NoStars
        Fewer than four stars agree.
    """
    off = place - start(u)
    sigma = np.hypot(place_error, PLACE_FLOOR).max(axis=1)
    scale = max(float(np.abs(u).max()), 1.0)
    terms = np.column_stack([np.ones(len(u)), u / scale])
    known = np.isfinite(off).all(axis=1) & np.isfinite(sigma)

    def fit(good: Mask) -> tuple[tuple[NDArray, NDArray, float], Mask]:
        if good.sum() < MIN_STARS:
            raise NoStars(f"{good.sum()} of {len(u)} stars are where the WCS has them; {MIN_STARS} are needed")
        weight = good / np.where(good, sigma, 1) ** 2
        normal = terms.T @ (weight[:, None] * terms)
        change = np.linalg.solve(normal, terms.T @ (weight[:, None] * np.where(good[:, None], off, 0)))
        distance = np.hypot(*(off - terms @ change).T)
        # Measured on the stars themselves: their errors do not know what a catalogue is worth.
        spread = max(1.0, float(np.median((distance / sigma)[good])) / MEDIAN_DISTANCE)
        near = np.isfinite(distance) & np.isfinite(sigma) & (distance < CLIP * spread * sigma)
        return (change, normal, spread), near

    (change, normal, spread), good = refit(fit, known, ROUNDS)
    error = spread * np.sqrt(np.linalg.inv(normal)[0, 0])
    return LocalWcs(start.place + change[0], start.matrix + change[1:].T / scale, float(error), int(good.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class PhotometricRatios:
    """Photometric ratios of the exposures, relative to one another."""

    ratio: NDArray[np.float64]
    """(exposure,): flux measured = ratio x flux of the star; NaN without stars."""
    error: NDArray[np.float64]
    """(exposure,): relative."""
    flux: NDArray[np.float64]
    """(star,)."""
    flux_error: NDArray[np.float64]
    """(star,): relative to the other stars."""
    chi2: float
    """Per degree of freedom."""
    used: NDArray[np.bool_]
    """(exposure, star)."""


def photometric_ratios(flux: NDArray, error: NDArray, reference: NDArray | None = None) -> PhotometricRatios:
    """Ratio of each exposure from stars that do not vary: log flux = log ratio + log star.

    Parameters
    ----------
    flux, error : (exposure, star)
        NaN where a star was not measured.
    reference : (star,)
        Fluxes that set the zero point; otherwise the median ratio is 1.

    Raises
    ------
    NoStars
        No star was measured well in any exposure.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.hypot(error / flux, FLUX_FLOOR)
        used = np.isfinite(relative) & (flux > 20 * error)
        value = np.where(used, np.log(np.where(used, flux, 1)), 0)
    if not used.any():
        raise NoStars(f"none of {flux.shape[1]} stars reaches a signal to noise ratio of 20 in any exposure")

    def fit(used: Mask) -> tuple[tuple[NDArray, NDArray, NDArray, NDArray], Mask]:
        weight = np.where(used, relative, np.inf) ** -2.0
        ratio, star = _two_way(value, weight)
        pull = np.abs(value - ratio[:, None] - star) * np.sqrt(weight)
        spread = max(1.0, robust_sigma(pull[used], 0.0))
        return (weight, ratio, star, pull), used & (pull < CLIP * spread)

    (weight, ratio, star, pull), used = refit(fit, used, ROUNDS)
    freedom = max(used.sum() - len(ratio) - len(star) + 1, 1)
    chi2 = float(np.sum(pull[used] ** 2) / freedom)
    measured, known = used.any(axis=1), used.any(axis=0)
    zero = np.median(ratio[measured])
    if reference is not None:
        zero = np.average((np.log(reference) - star)[known], weights=weight.sum(axis=0)[known])
    exposure_error = np.sqrt(max(chi2, 1.0) / np.where(measured, weight.sum(axis=1), 1))
    star_error = np.sqrt(max(chi2, 1.0) / np.where(known, weight.sum(axis=0), 1))
    return PhotometricRatios(
        np.where(measured, np.exp(ratio - zero), np.nan),
        np.where(measured, exposure_error, np.nan),
        np.where(known, np.exp(star + zero), np.nan),
        np.where(known, star_error, np.nan),
        chi2,
        used,
    )


def _two_way(value: NDArray, weight: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted least squares of rows plus columns; what carries no weight is 0."""
    by_row, by_column = weight.sum(axis=1), weight.sum(axis=0)
    safe_row, safe_column = np.where(by_row > 0, by_row, 1), np.where(by_column > 0, by_column, 1)
    mean = (weight * value).sum(axis=1) / safe_row
    normal = np.diag(by_column) - weight.T @ (weight / safe_row[:, None])
    right = (weight * (value - mean[:, None])).sum(axis=0)
    column = np.linalg.lstsq(normal + np.diag(by_column == 0), right, rcond=1e-12)[0]
    row = (weight * (value - column)).sum(axis=1) / safe_row
    return row, column * (safe_column == by_column)
