"""Light curves in the forms of other programs: the same numbers come back, with names, units and zero points."""

import io

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import Table
from astropy.timeseries import TimeSeries

from ztf_in2p3.light_curves.formats import formed
from ztf_in2p3.tables import CURVE_POINTS, LIGHT_CURVE

ABOUT = {"name": "SN 2018x", "ra": 10.5, "dec": -3.25}


@pytest.fixture
def transient():
    """Four exposures of a transient, the last without a flux."""
    n = 4
    return pd.DataFrame(
        {
            "exposure": [f"e{k}" for k in range(n)],
            "band": ["zg"] * n,
            "mjd": 58600 + np.arange(n, dtype=float),
            "mjd_mid": [58600.0001, np.nan, 58602.0001, 58603.0001],
            "flux": [10.0, 20.0, -1.0, np.nan],
            "flux_e": [1.0, 2.0, 1.5, np.nan],
            "zero_point": np.full(n, 25.0),
            "covariance": [np.arange(3.0)] * n,
        }
    )


@pytest.fixture
def star():
    return pd.DataFrame(
        {
            "mjd": [58600.0, 58601.0],
            "mag": [16.0, 17.5],
            "mag_e": [0.01, 0.02],
            "flags": [0, 4],
            "band": ["ztfg", "ztfr"],
        }
    )


def test_sncosmo_gets_its_columns_and_its_band(transient):
    table = formed(transient, "sncosmo", LIGHT_CURVE, ABOUT)
    assert table.colnames == ["time", "band", "flux", "fluxerr", "zp", "zpsys"]
    assert list(table["band"]) == ["ztfg"] * 3
    assert list(table["zpsys"]) == ["ab"] * 3
    np.testing.assert_array_equal(table["time"], [58600.0001, 58601.0, 58602.0001])
    np.testing.assert_array_equal(table["flux"], [10.0, 20.0, -1.0])


def test_magnitudes_of_a_star_become_fluxes(star):
    table = formed(star, "sncosmo", CURVE_POINTS, ABOUT)
    np.testing.assert_allclose(table["zp"] - 2.5 * np.log10(table["flux"]), star["mag"], atol=1e-12)
    up, down = (-2.5 * np.log10(table["flux"] + sign * table["fluxerr"]) for sign in (1, -1))
    np.testing.assert_allclose((down - up) / 2, star["mag_e"], rtol=1e-3)  # to the second order of the error
    assert list(table["band"]) == ["ztfg", "ztfr"]


def test_snana_reads_the_same_magnitudes(transient):
    lines = formed(transient, "snana", LIGHT_CURVE, ABOUT).splitlines()
    header = dict(line.split(": ", 1) for line in lines if not line.startswith(("OBS", "END")))
    names = header["VARLIST"].split()
    rows = [dict(zip(names, line.split()[1:], strict=True)) for line in lines if line.startswith("OBS:")]
    assert (header["SNID"], header["NOBS"], header["FILTERS"]) == ("SN 2018x", "3", "g")
    assert (float(header["RA"].split()[0]), float(header["DEC"].split()[0])) == (10.5, -3.25)
    mag = 27.5 - 2.5 * np.log10([float(row["FLUXCAL"]) for row in rows[:2]])
    np.testing.assert_allclose(mag, 25 - 2.5 * np.log10([10.0, 20.0]), atol=1e-5)  # six digits are written
    assert lines[-1] == "END:"


def test_ecsv_has_units_and_meanings(transient):
    table = Table.read(formed(transient, "ecsv", LIGHT_CURVE, ABOUT).splitlines(), format="ascii.ecsv")
    assert table["mjd"].unit == units.d
    assert "modified Julian date" in table["mjd"].description
    assert table.meta["name"] == "SN 2018x"
    np.testing.assert_array_equal(np.ma.filled(table["flux"], np.nan), transient["flux"])


def test_a_time_series_has_times_and_units(star):
    series = formed(star, "astropy", CURVE_POINTS, ABOUT)
    assert isinstance(series, TimeSeries)
    np.testing.assert_array_equal(series.time.mjd, star["mjd"])
    assert series.time.scale == "utc"
    assert series["mag"].unit == units.mag
    assert list(series["band"]) == ["ztfg", "ztfr"]


def test_csv_comes_back(star):
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(formed(star, "csv", CURVE_POINTS, ABOUT))), star)


def test_a_mistaken_form_is_named(star):
    with pytest.raises(ValueError, match=r"'votable': expected one of pandas, astropy"):
        formed(star, "votable", CURVE_POINTS, ABOUT)
