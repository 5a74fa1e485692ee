"""The nearest calibration is taken, if it is near enough."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.detrend.choice import nearest
from lib.errors import MissingProduct
from lib.periods import Period

nights = st.dates(min_value=date(2019, 1, 1), max_value=date(2019, 12, 31))
periods = st.tuples(nights, nights).map(lambda pair: Period(min(pair), max(pair)))
NIGHT = date(2019, 4, 5)


@given(st.lists(periods, min_size=1), nights)
def test_no_period_is_nearer_than_the_one_chosen(known, night):
    chosen = nearest(known, night, 400)
    assert chosen in known
    assert all(chosen.distance(night) <= period.distance(night) for period in known)


@given(st.integers(1, 10))
def test_of_two_equally_near_the_older_serves(days):
    before, after = (Period.of(NIGHT + sign * timedelta(days)) for sign in (-1, 1))
    assert nearest([after, before], NIGHT, 10) == before


def test_one_beyond_the_tolerance_is_refused_and_what_there_is_is_listed():
    known = [Period.parse("20190301_20190325"), Period.parse("20190420")]
    assert nearest(known, NIGHT, 11) == known[0]
    with pytest.raises(MissingProduct, match=r"20190301_20190325 \(11 days away\), 20190420_20190420 \(15 days away\)"):
        nearest(known, NIGHT, 10)


def test_none_at_all():
    with pytest.raises(MissingProduct, match="there is none at all"):
        nearest([], NIGHT, 10)
