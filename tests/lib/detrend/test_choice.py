"""The nearest good calibration is taken, if it is near enough."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.detrend.choice import Candidate, choose
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.periods import Period

nights = st.dates(min_value=date(2019, 1, 1), max_value=date(2019, 12, 31))
periods = st.tuples(nights, nights).map(lambda pair: Period(min(pair), max(pair)))
qualities = st.sampled_from(["good", "suspect", "rejected"])
candidates = st.lists(st.builds(Candidate, periods, qualities), unique_by=lambda one: one.period)
NIGHT = date(2019, 4, 5)


def known(*periods: str, quality: str = "good") -> list[Candidate]:
    return [Candidate(Period.parse(period), quality, "" if quality == "good" else "it rained") for period in periods]


@given(candidates, nights, st.integers(0, 60), st.sampled_from(["nearest", "older"]), st.booleans())
def test_what_is_chosen_keeps_the_rule_and_nothing_better_was_there(there, night, tolerance, rule, suspects):
    allowed = [
        one
        for one in there
        if one.period.distance(night) <= tolerance and (rule == "nearest" or one.period.first <= night)
    ]
    good = [one for one in allowed if one.quality == "good"]
    serving = good or [one for one in allowed if suspects and one.quality == "suspect"]
    if not serving:
        with pytest.raises(MissingProduct):
            choose(there, night, tolerance_days=tolerance, rule=rule, suspects=suspects)
        return
    chosen = choose(there, night, tolerance_days=tolerance, rule=rule, suspects=suspects)
    assert chosen in serving
    assert all(chosen.period.distance(night) <= one.period.distance(night) for one in serving)


@given(st.integers(1, 10))
def test_of_two_equally_near_the_older_serves(days):
    before, after = (Period.of(NIGHT + sign * timedelta(days)) for sign in (-1, 1))
    assert choose([Candidate(after), Candidate(before)], NIGHT, tolerance_days=10).period == before


def test_one_beyond_the_tolerance_is_refused_and_what_there_is_is_listed():
    there = known("20190301_20190325", "20190420")
    assert choose(there, NIGHT, tolerance_days=11) == there[0]
    with pytest.raises(MissingProduct, match=r"20190301_20190325 \(11 days away\), 20190420_20190420 \(15 days away\)"):
        choose(there, NIGHT, tolerance_days=10)


def test_a_suspect_one_that_is_not_taken_is_told_with_its_reason():
    there = known("20190404", quality="suspect")
    with pytest.raises(MissingProduct, match=r"no good calibration.*1 days away, suspect: it rained.*verdicts\.toml"):
        choose(there, NIGHT, tolerance_days=10)
    assert choose(there, NIGHT, tolerance_days=10, suspects=True) == there[0]


def test_none_at_all():
    with pytest.raises(MissingProduct, match="there is none at all"):
        choose([], NIGHT, tolerance_days=10)


def test_another_rule_is_a_mistake():
    with pytest.raises(ValueError, match="'latest'; known: nearest, older"):
        choose(known("20190404"), NIGHT, tolerance_days=10, rule="latest")


def test_of_those_that_contain_the_night_the_shortest_serves():
    there = known("20190101_20191231", "20190401_20190430", "20190301_20190531")
    assert choose(there, NIGHT, tolerance_days=0) == there[1]
