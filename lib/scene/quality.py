"""How well a PSF describes its stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lib.scene.errors import NoStars
from lib.scene.stars import StarFluxes, StarStamps


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
    rest = np.where(fluxes.keep, stamps.data - fluxes.model, 0)
    radii = np.arange(1.0, stamps.side // 2 + 0.5)
    weight = np.where(used & np.isfinite(fluxes.flux), fluxes.flux, 0)
    inside = r[None] <= radii[:, None, None, None]
    missing = np.where(inside, np.nan_to_num(rest)[None], 0).sum(axis=(2, 3))
    return radii, missing @ weight / np.sum(weight**2)


def magnitude_slope(flux: NDArray, error: NDArray, reference: NDArray) -> tuple[float, float]:
    """Slope of the stars' residuals with their magnitude, and its error: mmag per magnitude, 0 when all is linear.

    A PSF that depends on the flux (brighter-fatter, deferred charge) shows here before anywhere else.

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
    sigma = 2500 / np.log(10) * np.hypot(error[good] / flux[good], 1e-3)
    for _ in range(5):
        weight = sigma**-2.0
        centred = magnitude - np.average(magnitude, weights=weight)
        information = float(np.sum(weight * centred**2))
        slope = float(np.sum(weight * centred * residual)) / information
        rest = residual - slope * centred - np.average(residual, weights=weight)
        kept = np.abs(rest) < 5 * sigma * max(1.0, float(np.median(np.abs(rest / sigma))) / 0.6745)
        if kept.all():
            break
        magnitude, residual, sigma = magnitude[kept], residual[kept], sigma[kept]
    return slope, information**-0.5
