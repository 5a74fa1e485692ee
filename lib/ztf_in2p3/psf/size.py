"""How wide an exposure's PSF is around the target, according to its stars.

A PSF that is too wide takes the same share of every star and of the transient, and that cancels.  Not so the light of
a host, seen through PSFs of other widths before and after; nor where the width changes over the quadrant otherwise
than the PSF's polynomials do.  By how much a star is wider than the PSF is found with pixel weights that do not depend
on its flux (see `ztf_in2p3.psf.stars`); neither does what is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.model import Psf, PsfModel
from ztf_in2p3.psf.star_kernels import WIDER
from ztf_in2p3.psf.stars import FLAT, SOFT, StarFluxes
from ztf_in2p3.robust_statistics import robust_sigma

FLOOR = 0.002
"""Relative; added to the errors of the stars' widths, so that no star alone decides."""
GRADIENT_PRIOR = 0.1
"""Relative; prior of each term of what the width does over the quadrant, for exposures of few stars."""
CLIP = 5.0
MIN_STARS = 4
TRIED = np.array([-0.04, -0.02, 0.0, 0.02, 0.04])
"""Relative; by how much stars are wider for which it is computed what a PSF makes of them."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalPsf:
    """A PSF as wide as the stars around the target, and what the one it came from made of them."""

    psf: Psf
    width: float
    """How much it was made wider, relative."""
    flux_error: float
    """Relative; of the target's flux, from the error of how the width bends; its mean's cancels with the stars."""
    flux_fraction: NDArray[np.float64]
    """(star,): flux by the PSF as it was, over that by one of the star's width."""
    n_star: int


def refine_psf(
    model: PsfModel, at: NDArray, side: int, place: NDArray, width: NDArray, width_error: NDArray, soft: float = SOFT
) -> LocalPsf:
    """Correct the width of the PSF at a pixel, by a polynomial of second order through the stars' widths.

    Parameters
    ----------
    at : (2,)
        Pixel x, y of the target.
    side
        Of the stamps in which stars and target are measured.
    place : (star, 2)
        Pixels.
    width, width_error : (star,)
        What each star is wider than the PSF, to first order (`StarFluxes`).
    soft
        Of the pixel weights with which stars and target are measured.

    Raises
    ------
    NoStars
        Fewer than four stars agree.
    """
    psf, terms, target_terms = model.at(at), model.terms(place)[:, 1:], model.terms(at)[1:]
    field, n_star = _through(terms, width, np.hypot(width_error, FLOOR))
    width_by, fraction_by = _response(psf, side, soft)
    local = float(np.polyval(width_by, field(target_terms)))
    flux_error = abs(float(fraction_by[-2])) * field.error(target_terms)
    flux_fraction = np.polyval(fraction_by, np.polyval(width_by, field(terms)))
    return LocalPsf(psf.widened(1 + local), local, flux_error, flux_fraction, n_star)


def flux_floor(model: PsfModel, stars: StarFluxes, used: NDArray[np.bool_], soft: float) -> float:
    """Relative error of any single flux: what the width scatters from star to star, times d ln flux / d ln width.

    `used`: (star,).

    The turbulence of a short exposure, the phase on the pixels and what the PSF's polynomials lack make stars wider or
    narrower than the PSF; the noise is taken off.  0 where the noise explains it all.
    """
    known = used & np.isfinite(stars.width) & np.isfinite(stars.width_error)
    if known.sum() < MIN_STARS:
        return 0.0
    _, fraction_by = _response(model.at(model.middle), stars.keep.shape[1], soft)
    return abs(float(fraction_by[-2])) * intrinsic_scatter(stars.width[known], stars.width_error[known])


def intrinsic_scatter(value: NDArray, error: NDArray) -> float:
    """Standard deviation of values beyond their errors, both (n,); outliers do not count (Paule & Mandel 1982)."""

    def excess(scatter: float) -> float:
        off = np.abs(value - middle_value) / np.hypot(error, scatter)
        return robust_sigma(off, 0.0) - 1

    middle_value = float(np.median(value))
    low, high = 0.0, float(np.ptp(value)) + 1e-12
    if excess(low) <= 0:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """Widths over a quadrant."""

    mean: float
    """Mean over the stars."""
    middle: NDArray[np.float64]
    """(term,): means over the stars."""
    gradient: NDArray[np.float64]
    """(term,): change with each."""
    shrinkage: float
    """Share of the bend that stands out of the noise."""
    normal: NDArray[np.float64]
    """(term, term): inverse covariance of the bend."""

    def __call__(self, terms: NDArray) -> NDArray[np.float64]:
        return self.mean + self.shrinkage * ((terms - self.middle) @ self.gradient)

    def error(self, terms: NDArray) -> float:
        """Relative to the mean."""
        away = terms - self.middle
        return float(np.sqrt(self.shrinkage * (away @ np.linalg.solve(self.normal, away))))


def _through(terms: NDArray, width: NDArray, sigma: NDArray) -> tuple[_Field, int]:
    """A linear model of the terms (star, term), without stars unlike the others; and the number of those it has.

    The mean costs nothing, for it cancels between stars and target.  The bend would take more from the noise of 200
    stars than their throughput does, and most PSFs need none: it is shrunk towards zero (James & Stein 1961).
    """
    good = np.isfinite(width) & np.isfinite(sigma)
    expected = np.full(len(width), np.median(width[good]) if good.any() else 0.0)
    for attempt in range(10):
        off = np.abs(width - expected) / sigma
        spread = max(1.0, robust_sigma(off[good], 0.0)) if good.any() else 1.0
        kept = np.isfinite(off) & (off < CLIP * spread)
        if kept.sum() < MIN_STARS:
            raise NoStars(f"{kept.sum()} of {len(width)} stars are as wide as the others; {MIN_STARS} are needed")
        weight = (spread * sigma[kept]) ** -2.0
        mean, middle = np.average(width[kept], weights=weight), np.average(terms[kept], weights=weight, axis=0)
        away = terms[kept] - middle
        normal = away.T @ (weight[:, None] * away) + GRADIENT_PRIOR**-2.0 * np.eye(len(middle))
        gradient = np.linalg.solve(normal, away.T @ (weight * (width[kept] - mean)))
        shrinkage = max(0.0, 1 - max(len(gradient) - 2, 0) / max(float(gradient @ normal @ gradient), 1e-99))
        field = _Field(float(mean), middle, gradient, shrinkage, normal)
        expected = field(terms)
        if attempt > 1 and np.array_equal(kept, good):  # the first scatter was that around the median, bend and all
            break
        good = kept
    return field, int(kept.sum())


def _response(psf: Psf, side: int, soft: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a PSF makes of stars of another width, as polynomials of falling powers.

    Returns
    -------
    width
        Of the star, by the width that is found to first order.
    share
        Of the star's flux that is found, by its width.
    """
    middle, square = (side - 1) / 2, (side, side)

    def draw(factor: float) -> NDArray[np.float64]:
        return psf.widened(factor).draw(middle, middle, square)[0].ravel()

    columns = np.column_stack([*psf.draw(middle, middle, square).reshape(3, -1), np.ones(side**2)])
    wide = np.array([draw(1 + width) for width in TRIED]).T
    by_width = np.column_stack([columns, (draw(1 + WIDER) - columns[:, 0]) / WIDER])
    root = (np.maximum(columns[:, :1], 0) / psf.peak + min(soft, FLAT)) ** -0.5
    columns, wide, by_width = root * columns, root * wide, root * by_width
    flux_fraction = np.linalg.lstsq(columns, wide)[0][0]
    apparent = np.linalg.lstsq(by_width, wide)[0][-1] / flux_fraction
    return np.polyfit(apparent, TRIED, 2), np.polyfit(TRIED, flux_fraction, 2)
