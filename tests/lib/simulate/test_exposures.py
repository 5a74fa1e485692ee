"""A plan can be written down, and says nothing impossible."""

from dataclasses import replace
from datetime import date

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.identifiers import Exposure, Filter, ImageType
from ztf_in2p3.simulate.airmass import airmass, altitude, sidereal_time
from ztf_in2p3.simulate.detector import Effects
from ztf_in2p3.simulate.exposures import (
    VERSION,
    BiasFrame,
    FlatFrame,
    NightPlan,
    ObjectFrame,
    exposure_number,
    mjd_of,
    night_number,
    real_size_night,
    tiny_night,
)  # fmt: skip
from ztf_in2p3.simulate.sky import Sky

PALOMAR = EarthLocation.from_geodetic(-116.8598, 33.3573, 1668)

plans = st.builds(
    tiny_night,
    night=st.dates(date(2018, 1, 1), date(2025, 12, 31)),
    seed=st.integers(0, 2**32 - 1),
    ccdids=st.lists(st.integers(1, 16), unique=True, max_size=5).map(tuple),
    filters=st.lists(st.sampled_from([Filter.ZG, Filter.ZR, Filter.ZI]), unique=True, min_size=1).map(tuple),
    n_bias=st.integers(0, 3), n_led=st.integers(1, 3), n_flat=st.integers(0, 2), n_object=st.integers(0, 4),
    sky=st.builds(Sky, seed=st.integers(0, 2**32 - 1), density=st.floats(0, 1e5), faint=st.floats(14, 21)),
    effects=st.builds(Effects, read_noise=st.booleans(), cosmic_rays=st.booleans()),
)  # fmt: skip


@given(plans)
def test_a_plan_survives_being_written_down(plan):
    assert NightPlan.from_json(plan.to_json()) == plan


@given(plans)
def test_no_two_exposures_share_a_name_and_all_are_of_the_night(plan):
    names = [str(ccd) for ccd in plan.ccd_exposures]
    assert len(set(names)) == len(names) == len(plan.ccdids) * len(plan.frames)
    assert all(frame.exposure.night == plan.night for frame in plan.frames)
    assert all(1 <= frame.airmass < 2.5 for frame in plan.objects)


def test_the_usual_tiny_night():
    plan = tiny_night()
    assert (len(plan.biases), len(plan.flats), len(plan.objects), len(plan.ccdids)) == (10, 16, 8, 16)
    assert {(flat.exposure.filter, flat.led) for flat in plan.flats} == {("zg", 2), ("zg", 3), ("zr", 7), ("zr", 8)}
    assert {(o.exposure.field, o.exposure.filter) for o in plan.objects} == {
        (601, "zg"), (601, "zr"), (602, "zg"), (602, "zr"),
    }  # fmt: skip
    assert sorted(bias.exposure.field for bias in plan.biases) == [0] * 9 + [601]
    assert all(15_000 < flat.level_adu < 45_000 for flat in plan.flats)


def test_the_usual_real_night_is_of_one_ccd():
    plan = real_size_night(5)
    assert plan.ccdids == (5,)
    assert plan.camera.shape == (3080, 3072)
    assert (len(plan.biases), len(plan.flats), len(plan.objects)) == (10, 8, 4)


def test_nights_of_one_seed_share_the_sky_and_differ_in_weather():
    one, other = tiny_night(date(2019, 4, 5)), tiny_night(date(2019, 4, 6))
    assert one.sky == other.sky
    assert one.objects[0].seeing != other.objects[0].seeing


def test_altitude_and_airmass_agree_with_astropy():
    mjd = 58578.3
    ra, dec = np.array([170.0, 200.0, 230.0, 150.0]), np.array([33.0, 5.0, 60.0, -5.0])
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "warn"):
        frame = AltAz(obstime=Time(mjd, format="mjd"), location=PALOMAR)
        expected = SkyCoord(ra, dec, unit="deg").transform_to(frame).alt.deg
    # Nutation, aberration, UT1 - UTC and second-order precession are left out: below 0.02 degrees together.
    np.testing.assert_allclose(altitude(ra, dec, mjd), expected, atol=0.02)
    secant = 1 / np.sin(np.deg2rad(expected))
    np.testing.assert_allclose(airmass(ra, dec, mjd), secant, rtol=0.01)


def test_sidereal_time_agrees_with_astropy():
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "warn"):
        expected = Time(58578.3, format="mjd").sidereal_time("mean", PALOMAR.lon).to_value(u.deg)
    assert sidereal_time(58578.3) == pytest.approx(expected, abs=0.005)


def test_there_is_no_airmass_at_the_horizon():
    assert np.isnan(airmass(sidereal_time(58578.3) + 180, -33.0, 58578.3))


def test_numbers_are_those_of_the_archive():
    # ztf_20200924431759_000655_zr_c13_o: OBSMJD 59116.4317708, DBNID 1362, EXPID 136243177 in its header.
    assert night_number(59116.4317708) == 1362
    assert exposure_number(59116.4317708) == 136243177
    assert mjd_of("20200924431759") == pytest.approx(59116.4317708, abs=2 / 86400)


def an_object(**changed):
    return replace(tiny_night(n_object=1, filters=(Filter.ZR,)).objects[0], **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 2**32}, "seed"),
        ({"ccdids": (1, 17)}, "numbers from 1 to 16"),
        ({"ccdids": (2, 2)}, "different numbers"),
        ({"night": date(2019, 4, 6)}, "of the night 2019-04-06"),
        ({"objects": (an_object(dec=-80.0),)}, "above the horizon"),
        ({"objects": (an_object(), an_object())}, "one filefracday"),
        ({"biases": (BiasFrame(Exposure("20190405090000", 0, Filter.ZR, ImageType.FLAT), 58578.09),)}, "no BiasFrame"),
        (
            {"flats": (FlatFrame(Exposure("20190405091000", 0, Filter.ZR, ImageType.FLAT), 58578.09, 3, 2e4),)},
            "LED 3 is none of",
        ),
    ],
)
def test_an_impossible_plan_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(tiny_night(), **changed)


def test_a_plan_of_another_version_is_refused():
    text = tiny_night().to_json().replace(f'"version": {VERSION}', '"version": 0')
    with pytest.raises(ValueError, match="version 0"):
        NightPlan.from_json(text)


def test_an_exposure_that_was_not_planned_is_named():
    stranger = Exposure("20190405999999", 1, Filter.ZI, ImageType.OBJECT)
    with pytest.raises(ValueError, match="20190405999999"):
        tiny_night().frame(stranger)
    assert isinstance(tiny_night().frame(tiny_night().objects[2].exposure), ObjectFrame)
