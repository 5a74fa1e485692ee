"""Air between the telescope and a star."""

from __future__ import annotations

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.errors import BadData

LONGITUDE_DEG, LATITUDE_DEG, ALTITUDE_M = -116.8598, 33.3573, 1668.0
"""Palomar Observatory, east longitude: cards OBSLON, OBSLAT, OBSALT of ZTF's headers."""

MAX_ZENITH_DISTANCE_DEG = 80.0
"""Hardie's polynomial is good to here; no survey looks lower."""


def zenith_distance(ra: ArrayLike, dec: ArrayLike, mjd: float) -> NDArray[np.float64]:
    """True (unrefracted) zenith distance at Palomar, degrees.  `ra` and `dec` have one shape, that of the result.

    Rigorous but for UT1 = UTC and no polar motion, which would need tables from the network;
    leaving them out moves a star by less than 14".

    Parameters
    ----------
    ra, dec : degrees, ICRS at the epoch of the exposure
    mjd
        UTC, modified Julian date.
    """
    site = np.deg2rad(LONGITUDE_DEG), np.deg2rad(LATITUDE_DEG), ALTITUDE_M
    # dut1, polar motion x and y, then pressure (0: no refraction), temperature, humidity, wavelength: all 0.
    astrometry, _ = erfa.apco13(2400000.5, mjd, 0.0, *site, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    ra_apparent, dec_apparent = erfa.atciqz(np.deg2rad(ra), np.deg2rad(dec), astrometry)
    return np.rad2deg(erfa.atioq(ra_apparent, dec_apparent, astrometry)[1])


def hardie(zenith_distance_deg: ArrayLike) -> NDArray[np.float64]:
    """Air mass, 1 at the zenith, of a zenith distance up to 80 degrees.  Any shape, that of the result.

    Hardie 1962 (Astronomical Techniques, p. 184), as the AIRMASS card of ZTF's headers.  Taken on the
    true zenith distance it is 0.0016 too high at air mass 2, where refraction lifts a star by 1.6'.
    """
    x = 1 / np.cos(np.deg2rad(zenith_distance_deg)) - 1
    return np.asarray(1 + x - 0.0018167 * x - 0.002875 * x**2 - 0.0008083 * x**3)


def airmass(ra: ArrayLike, dec: ArrayLike, mjd: float) -> NDArray[np.float64]:
    """Air mass of stars seen from Palomar.  Parameters as `zenith_distance`.  Shapes are the same, too.

    Raises
    ------
    BadData
        A star is below 10 degrees, where the formula fails: the date or the position is wrong.
    """
    distance = zenith_distance(ra, dec, mjd)
    if np.any(distance > MAX_ZENITH_DISTANCE_DEG):
        raise BadData(
            f"at MJD {mjd} a star stands {float(np.max(distance)):.1f} deg from the zenith of Palomar; expected at "
            f"most {MAX_ZENITH_DISTANCE_DEG:g}: check the date (OBSMJD) and the position (CRVAL1, CRVAL2) in the header"
        )
    return hardie(distance)
