"""Height of a star above Palomar, and the air through which its light comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.directions import JULIAN_YEAR, MJD_2000

LONGITUDE = -116.8598
LATITUDE = 33.3573
"""Place of the telescope, degrees, east and north positive (headers of ZTF)."""


def sidereal_time(mjd: float) -> float:
    """Mean local sidereal time, degrees (Meeus 1998, Astronomical Algorithms, eq. 12.4; UT1 taken as UTC)."""
    return (280.46061837 + 360.98564736629 * (mjd - MJD_2000) + LONGITUDE) % 360


def altitude(ra: ArrayLike, dec: ArrayLike, mjd: float) -> NDArray:
    """Degrees above the horizon, without refraction.  Any shape.

    Positions are ICRS, degrees; precession to the date is applied to first order (Meeus 1998, chapter 21): over
    twenty years it is a quarter of a degree, 0.004 in the airmass at 45 degrees.
    """
    years = (mjd - MJD_2000) / JULIAN_YEAR
    a, d = np.deg2rad(np.asarray(ra, float)), np.deg2rad(np.asarray(dec, float))
    a_date = a + np.deg2rad(years * (46.124 + 20.043 * np.sin(a) * np.tan(d)) / 3600)
    d_date = d + np.deg2rad(years * 20.043 * np.cos(a) / 3600)
    latitude = np.deg2rad(LATITUDE)
    hour_angle = np.deg2rad(sidereal_time(mjd)) - a_date
    sine = np.sin(latitude) * np.sin(d_date) + np.cos(latitude) * np.cos(d_date) * np.cos(hour_angle)
    return np.rad2deg(np.arcsin(np.clip(sine, -1, 1)))


def airmass(ra: ArrayLike, dec: ArrayLike, mjd: float) -> NDArray:
    """Hardie 1962 (Astronomical Techniques, p. 184), as ZTF's headers; NaN lower than 10 degrees, where it fails.

    Any shape.
    """
    height = altitude(ra, dec, mjd)
    x = 1 / np.sin(np.deg2rad(np.maximum(height, 10.0))) - 1
    return np.where(height >= 10.0, 1 + x - 0.0018167 * x - 0.002875 * x**2 - 0.0008083 * x**3, np.nan)
