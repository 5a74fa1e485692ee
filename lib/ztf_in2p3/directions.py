"""Directions on the sky and dates, as numbers: the little geometry that needs no coordinate frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

JULIAN_YEAR = 365.25
"""Days."""
MJD_2000 = 51544.5
"""Modified Julian date of J2000.0."""


def julian_epoch(mjd: float) -> float:
    """Julian year of a modified Julian date: 2016.0 for Gaia DR3's epoch."""
    return 2000.0 + (mjd - MJD_2000) / JULIAN_YEAR


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Directions as vectors, (..., 3), of right ascensions and declinations, both (...) in degrees."""
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def tangent_plane(ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float) -> NDArray[np.float64]:
    """Gnomonic projection onto the plane that touches the sky at (ra0, dec0).

    Parameters
    ----------
    ra, dec : (...), degrees
    ra0, dec0
        Degrees.

    Returns
    -------
    (2, ...), degrees
        East and north; NaN further than 84 degrees away, where the plane is endless.
    """
    a, d, d0 = np.deg2rad(np.asarray(ra) - ra0), np.deg2rad(dec), np.deg2rad(dec0)
    depth = np.asarray(np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a))
    depth = np.where(depth > 0.1, depth, np.nan)
    east = np.cos(d) * np.sin(a) / depth
    north = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / depth
    return np.rad2deg(np.stack([east, north]))
