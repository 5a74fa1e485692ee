"""A period can be written down and read back, and knows how far a night is."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.periods import Period

nights = st.dates(min_value=date(2017, 11, 1), max_value=date(2100, 1, 1))  # ZTF's first light
periods = st.tuples(nights, nights).map(lambda pair: Period(min(pair), max(pair)))


@given(periods)
def test_a_period_survives_its_own_name(period):
    assert Period.parse(str(period)) == period


@given(periods, nights)
def test_a_night_is_at_no_distance_from_the_periods_that_hold_it_and_only_from_those(period, night):
    assert (period.distance(night) == 0) == (night in period)


@given(periods, nights)
def test_the_distance_is_to_the_nearest_end(period, night):
    if night not in period:
        assert period.distance(night) == min(abs((night - end).days) for end in (period.first, period.last))


def test_a_period_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="before it starts"):
        Period(date(2019, 4, 2), date(2019, 4, 1))


def test_a_typing_error_is_explained():
    with pytest.raises(ValueError, match="expected YYYYMMDD_YYYYMMDD"):
        Period.parse("20190431")
