"""A busy server is asked again when it said, and not for ever."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.archive.patience import Patience, retry_after
from ztf_in2p3.errors import BadData, TransientError

NOW = datetime(2019, 4, 5, 12, tzinfo=UTC)


@given(st.integers(0, 10**6))
def test_seconds_and_a_date_mean_the_same(seconds):
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"Retry-After": str(seconds)}) == seconds
    assert retry_after({"Retry-After": date, "Date": format_datetime(NOW, usegmt=True)}) == seconds


def test_a_date_gone_by_means_at_once():
    past = format_datetime(NOW - timedelta(hours=1), usegmt=True)
    assert retry_after({"Retry-After": past, "Date": format_datetime(NOW, usegmt=True)}) == 0


@pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "²"])
def test_what_cannot_be_understood_counts_as_nothing_said(text):
    assert retry_after({"Retry-After": text, "Date": format_datetime(NOW, usegmt=True)}) is None


class Failing:
    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@given(st.integers(1, 6), st.integers(0, 8))
def test_as_many_tries_as_granted_and_a_doubling_wait_between_them(tries, failures):
    attempt, naps = Failing(*[TransientError("busy") for _ in range(failures)]), []
    patience = Patience(tries=tries, first_wait=1)
    if failures < tries:
        assert patience.keep_trying(attempt, naps.append) == "done"
    else:
        with pytest.raises(TransientError, match="busy"):
            patience.keep_trying(attempt, naps.append)
    assert attempt.calls == min(failures + 1, tries)
    assert naps == [2**k for k in range(min(failures, tries - 1))]


def test_a_server_that_asks_for_too_long_is_left_alone():
    attempt, naps = Failing(TransientError("busy", retry_after=3600)), []
    with pytest.raises(TransientError) as raised:
        Patience(longest_wait=120).keep_trying(attempt, naps.append)
    assert raised.value.retry_after == 3600
    assert attempt.calls == 1
    assert naps == []


def test_what_no_try_helps_is_not_tried_again():
    attempt = Failing(BadData("wrong"))
    with pytest.raises(BadData):
        Patience().keep_trying(attempt, [].append)
    assert attempt.calls == 1


def test_a_doubted_error_is_believed_when_every_try_ends_with_it():
    refused, naps = [BadData("refused") for _ in range(3)], []
    with pytest.raises(BadData, match="refused"):
        Patience(first_wait=1).keep_trying(Failing(*refused), naps.append, doubted=(BadData,))
    assert naps == [1, 2]
    assert Patience().keep_trying(Failing(*refused[:2]), [].append, doubted=(BadData,)) == "done"
    mixed = Failing(TransientError("busy"), *refused[:2])
    with pytest.raises(TransientError, match="refused"):
        Patience().keep_trying(mixed, [].append, doubted=(BadData,))
