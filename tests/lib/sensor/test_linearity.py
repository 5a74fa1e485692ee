"""The linearity table knows every channel and night, and its correction is the inverse of the response."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.detrend.raw_files import bent
from ztf_in2p3.errors import BadData
from ztf_in2p3.sensor.linearity import LINEAR, Linearity, linearity_of

rcids = st.integers(0, 63)
nights = st.dates(min_value=date(2017, 11, 1), max_value=date(2040, 1, 1))  # ZTF's first light


@given(rcids, nights, st.floats(0, 58_000))
def test_the_correction_undoes_the_response(rcid, night, true):
    response = linearity_of(rcid, night)
    recorded = np.array([bent(true, response)])
    np.testing.assert_allclose(response.linearise(recorded), true, rtol=1e-9, atol=1e-9)
    # In single precision to a few units of its last digit.
    np.testing.assert_allclose(response.linearise(recorded.astype(np.float32)), true, rtol=1e-6, atol=1e-6)


@given(rcids, nights)
def test_the_response_is_monotone_up_to_saturation(rcid, night):
    assert np.all(np.diff(linearity_of(rcid, night).linearise(np.linspace(0, 58_600, 500))) > 0)


def test_the_coefficients_are_those_published():
    # First and last rows of ztfimg's table.
    assert linearity_of(0, date(2018, 1, 1)) == Linearity(-1.09e-11, 6.64e-7)
    assert linearity_of(63, date(2024, 1, 1)) == Linearity(-8.80e-12, 2.54e-7)


@given(rcids, st.sampled_from([date(2019, 10, 23), date(2020, 4, 28)]))
def test_an_epoch_begins_with_its_first_night(rcid, first):
    assert linearity_of(rcid, first) == linearity_of(rcid, first + timedelta(days=1))
    assert linearity_of(rcid, first) != linearity_of(rcid, first - timedelta(days=1))


@pytest.mark.parametrize(("rcid", "night"), [(64, date(2020, 1, 1)), (0, date(2016, 12, 31))])
def test_what_the_table_does_not_hold_is_named(rcid, night):
    with pytest.raises(BadData, match=f"channel {rcid} on {night}"):
        linearity_of(rcid, night)


def test_a_linear_chain_changes_nothing():
    pixels = np.array([0.0, 1.5, -3.0, np.nan], np.float32)
    np.testing.assert_array_equal(LINEAR.linearise(pixels), pixels)
