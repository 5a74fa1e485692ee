"""Zenith distances against astropy's, air masses against the archive's header."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from ztf_in2p3.catalogue.airmass import ALTITUDE_M, LATITUDE_DEG, LONGITUDE_DEG, airmass, hardie, zenith_distance
from ztf_in2p3.errors import BadData


@pytest.mark.parametrize("mjd", [58211.25, 59116.4317708, 60310.1, 61200.4])
def test_airmass_is_that_of_rigorous_altitudes(mjd):
    rng = np.random.default_rng(int(mjd))
    ra, dec = rng.uniform(0, 360, 3000), np.rad2deg(np.arcsin(rng.uniform(-0.6, 1, 3000)))
    site = EarthLocation.from_geodetic(LONGITUDE_DEG, LATITUDE_DEG, ALTITUDE_M)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "warn"):
        frame = AltAz(obstime=Time(mjd, format="mjd", scale="utc"), location=site)
        rigorous = SkyCoord(ra * units.deg, dec * units.deg).transform_to(frame).zen.deg
    used = rigorous < 66.4  # air mass 2.5
    assert used.sum() > 500
    np.testing.assert_allclose(airmass(ra[used], dec[used], mjd), hardie(rigorous[used]), atol=1e-3)
    # UT1 - UTC below 0.9 s is 14"; polar motion below 0.5".
    assert np.abs(zenith_distance(ra, dec, mjd) - rigorous).max() < 14.5 / 3600


def test_the_telescope_s_own_airmass():
    # TELRAD, TELDECD, OBSMJD and AIRMASS of ztf_20200924431759_000655_zr_c13_o; the card has three decimals.
    assert airmass(55.0608, 33.35, 59116.4317708) == pytest.approx(1.018, abs=0.002)


def test_the_zenith_is_one_and_it_grows_downwards():
    distance = np.linspace(0, 80, 200)
    found = hardie(distance)
    assert found[0] == 1
    assert (np.diff(found) > 0).all()
    # Kasten & Young 1989 (Applied Optics 28, 4735), of apparent zenith distances.
    kasten = 1 / (np.cos(np.deg2rad(distance)) + 0.50572 * (96.07995 - distance) ** -1.6364)
    np.testing.assert_allclose(found, kasten, rtol=0.0025)


def test_a_star_near_the_horizon_is_bad_data():
    with pytest.raises(BadData, match="check the date"):
        airmass([55.0], [-70.0], 59116.43)
