"""How well a PSF describes its stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.errors import NoStars
from ztf_in2p3.psf.stars import StarFluxes, StarStamps
from ztf_in2p3.robust_statistics import robust_sigma


def growth_residual(
    stamps: StarStamps, fluxes: StarFluxes, used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the PSF lacks within a radius, as a share of the flux: stars weighted as the PSF's fit weights them.

    Stamps that are wider than those of the fluxes lose their margin.

    Returns
    -------
    radius : (ring,), pixels
    residual : (ring,)
        Light in data minus model within the radius; 0 for the right PSF.
    """
    stamps = stamps.inner((stamps.side - fluxes.keep.shape[1]) // 2)
    centre = fluxes.place - stamps.corner
    axis = np.arange(stamps.side)
    r = np.hypot(axis - centre[:, 0, None, None], axis[:, None] - centre[:, 1, None, None])
    residual = np.where(fluxes.keep, stamps.data - fluxes.model, 0)
    radii = np.arange(1.0, stamps.side // 2 + 0.5)
    weight = np.where(used & np.isfinite(fluxes.flux), fluxes.flux, 0)
    inside = r[None] <= radii[:, None, None, None]
    missing = np.where(inside, np.nan_to_num(residual)[None], 0).sum(axis=(2, 3))
    return radii, missing @ weight / np.sum(weight**2)


def magnitude_slope(flux: NDArray, error: NDArray, reference: NDArray) -> tuple[float, float]:
    """Slope of the stars' residuals with their magnitude, and its error: mmag per magnitude, 0 when all is linear.

    A PSF that depends on the flux (brighter-fatter, deferred charge) makes bright stars too faint.

    Parameters
    ----------
    flux, error : (star,)
        Measured, at the throughput of the reference.
    reference : (star,)
        Fluxes of the same stars from elsewhere, or their means over many exposures.

    Raises
    ------
    NoStars
        Fewer than three stars of positive flux.
    """
    good = np.isfinite(flux) & np.isfinite(error) & (flux > 10 * error) & (reference > 0)
    if good.sum() < 3:
        raise NoStars(f"{good.sum()} stars above 10 sigma: 3 are needed for a slope")
    magnitude = -2.5 * np.log10(reference[good])
    residual = -2500 * np.log10(flux[good] / reference[good])
    return robust_slope(magnitude, residual, 2500 / np.log(10) * np.hypot(error[good] / flux[good], 1e-3))


def width_slope(magnitude: NDArray, width: NDArray, error: NDArray) -> tuple[float, float]:
    """Slope of the stars' widths with their magnitude, and its error: relative width per magnitude.

    0 when the PSF does not depend on the flux: needs no other measurement of the stars, and so tells of one exposure.

    Parameters
    ----------
    magnitude, width, error : (star,)
        Of any zero point; how much wider than the PSF each star is, relative (`StarFluxes.width`).

    Raises
    ------
    NoStars
        Fewer than three stars of known width.
    """
    good = np.isfinite(magnitude) & np.isfinite(width) & (error > 0)
    if good.sum() < 3:
        raise NoStars(f"{good.sum()} stars of known width: 3 are needed for a slope")
    return robust_slope(magnitude[good], width[good], np.hypot(error[good], 1e-3))


def robust_slope(x: NDArray, y: NDArray, sigma: NDArray) -> tuple[float, float]:
    """Slope of the straight line through points, and its error; points 5 standard deviations off are left out.

    All (point,).
    """
    for _ in range(5):
        weight = sigma**-2.0
        centred = x - np.average(x, weights=weight)
        information = float(np.sum(weight * centred**2))
        slope = float(np.sum(weight * centred * y)) / information
        residual = y - slope * centred - np.average(y, weights=weight)
        kept = np.abs(residual) < 5 * sigma * max(1.0, robust_sigma(residual / sigma, 0.0))
        if kept.all():
            break
        x, y, sigma = x[kept], y[kept], sigma[kept]
    return slope, information**-0.5
