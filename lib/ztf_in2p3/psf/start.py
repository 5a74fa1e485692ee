"""About how wide stars are, before a PSF is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.model import Psf
from ztf_in2p3.psf.stars import StarStamps

BETA = 3.0
TRIED = np.geomspace(1.1, 9, 25)
"""Pixels, FWHM."""
TYPICAL = 2.5
"""Value where no star has light."""
CORE, AROUND = 1, 4
"""Pixels to each side of a star's own."""
MOST = 60


def start_width(stamps: StarStamps) -> float:
    """FWHM of a round Moffat profile (beta = 3) that is too wide for half of the brightest stars, too narrow for half.

    By the share of their light that is in the innermost pixels, each star where it lies on its pixels.  The median
    cares for no neighbours, galaxies and saturated stars, as long as they are the fewer: whoever chose stars by a
    profile of a wrong width would keep these and lose the others.
    """
    place = stamps.expected - stamps.corner
    light = _over_border(np.where(stamps.bad, np.nan, stamps.data))
    core_fraction, total = _core_share(light, place)
    brightest = np.argsort(-np.nan_to_num(total), kind="stable")[:MOST]
    brightest = brightest[np.isfinite(core_fraction[brightest]) & (total[brightest] > 0)]
    if not len(brightest):
        return TYPICAL
    square = (stamps.side, stamps.side)
    off = []
    for fwhm in TRIED:
        psf = Psf.round_moffat(fwhm, BETA)
        drawn = np.array([psf.draw(x, y, square)[0] for x, y in place[brightest]])
        drawn = np.where(np.isfinite(light[brightest]), drawn, np.nan)  # the same pixels
        off.append(np.nanmedian(core_fraction[brightest] - _core_share(drawn, place[brightest])[0]))
    return float(np.interp(0, off, TRIED))  # the wider the profile, the less light in its core


def _over_border(data: NDArray) -> NDArray[np.float64]:
    rim = np.ones(data.shape[1:], bool)
    rim[2:-2, 2:-2] = False
    sky = np.ma.median(np.ma.masked_invalid(data[:, rim]), axis=1).filled(0.0)
    return np.asarray(data - sky[:, None, None], np.float64)


def _core_share(light: NDArray, place: NDArray) -> tuple[NDArray, NDArray]:
    """(star,): share of the light within `AROUND` pixels that is within `CORE`; that light."""
    axis, (x, y) = np.arange(light.shape[-1]), np.rint(place).T
    away = np.maximum(np.abs(axis - x[:, None])[:, None, :], np.abs(axis - y[:, None])[:, :, None])
    core, around = (np.nansum(np.where(away <= reach, light, 0), axis=(1, 2)) for reach in (CORE, AROUND))
    with np.errstate(invalid="ignore", divide="ignore"):
        return core / around, around
