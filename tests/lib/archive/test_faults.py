"""Each failure of a web archive is told apart, leaves nothing half-written, and names its remedy."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.lib.archive.tiny_tree import EMBARGOED, LOST, SKY
from ztf_in2p3.archive import AccessDenied, ArchiveFile, Irsa, NotInArchive, NotYetPublic, Patience, Timeouts
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import Fault, IrsaLookalike

NIGHT = Period.of(date(2019, 4, 5))
RAW = ArchiveFile(Kind.RAW, CcdExposure.parse(SKY.name))
SCIENCE = ArchiveFile(Kind.SCIENCE, CcdExposure.parse(SKY.name), 1)
MASK = ArchiveFile(Kind.MASK, CcdExposure.parse(SKY.name), 1)
HEADER = ArchiveFile(Kind.HEADER, CcdExposure.parse(SKY.name), 1)

PASSING = {
    Fault.HTML: "maintenance",
    Fault.EMPTY: "starts with b''",
    Fault.TOO_MANY: "429",
    Fault.UNAVAILABLE: "503",
    Fault.GATEWAY_TIMEOUT: "504",
    Fault.TRUNCATED: r"broke off after \d+ of \d+ bytes",
    Fault.SHORT: "announce|within its header",
    Fault.RESET: "no answer",
    Fault.STALL: r"broke off after \d+ of \d+ bytes",
    Fault.CORRUPT: "DATASUM|decoded",
    Fault.WRONG_LENGTH: r"broke off after \d+ of \d+ bytes",
}
FINAL = {
    Fault.XML: (BadData, "Unable to process"),
    Fault.LOGIN_PAGE: (AccessDenied, "login"),
    Fault.FORBIDDEN: (AccessDenied, "403"),
    Fault.NOT_FOUND: (NotInArchive, "404"),
}


def test_every_fault_is_covered():
    assert set(PASSING) | set(FINAL) | {Fault.REDIRECT, Fault.SLOW} == set(Fault)  # which are no failures


CASES = [(file, fault) for file in (RAW, SCIENCE, MASK, HEADER) for fault in PASSING if fault is not Fault.CORRUPT]
HALF = (Fault.TRUNCATED, Fault.SHORT, Fault.STALL, Fault.WRONG_LENGTH)
"""Half of a file still holds its whole header."""


@pytest.mark.parametrize(
    ("file", "fault"),
    [case for case in CASES if not (case[0] is HEADER and case[1] in HALF)],
    ids=lambda value: value.kind.value if isinstance(value, ArchiveFile) else value,
)
def test_a_passing_failure_is_transient_and_leaves_nothing(served, connect, tmp_path, file, fault):
    served.inject(fault, "*/ibe/data/*", times=math.inf)
    told: list[int] = []

    with pytest.raises(TransientError, match=PASSING[fault]) as raised:
        connect(patience=Patience(tries=2, first_wait=0)).fetch(file, tmp_path / "spool", told.append)

    assert SKY.name in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    assert sum(told) == 0
    assert len(served.requests) == 2


@pytest.mark.parametrize("fault", PASSING)
def test_after_a_passing_failure_the_file_arrives_whole(served, connect, tree, tmp_path, naps, fault):
    served.inject(fault, "*/ibe/data/*")
    told: list[int] = []
    connect().fetch(RAW, tmp_path / "spool", told.append)
    assert (tmp_path / "spool").read_bytes() == (tree / SKY.raw).read_bytes()
    assert naps == [1]
    assert sum(told) == (tree / SKY.raw).stat().st_size
    assert list(tmp_path.iterdir()) == [tmp_path / "spool"]


@pytest.mark.parametrize("fault", FINAL)
@pytest.mark.parametrize("file", [RAW, HEADER], ids=lambda file: file.kind.value)
def test_a_failure_that_no_try_helps_says_what_to_do(served, connect, tmp_path, naps, fault, file):
    error, words = FINAL[fault]
    served.inject(fault, "*/ibe/data/*", times=math.inf)
    with pytest.raises(error, match=words) as raised:
        connect().fetch(file, tmp_path / "spool")
    assert SKY.name in str(raised.value)
    assert naps == [1]  # once more, should it have been a slip
    assert sum(request.fault is not None for request in served.requests) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", FINAL)
@pytest.mark.parametrize("times", [1, 2])
def test_a_refusal_of_a_listed_file_is_not_believed_at_once(served, connect, tree, tmp_path, fault, times):
    served.inject(fault, "*/ibe/data/*", times=times)
    connect().fetch(RAW, tmp_path / "spool")
    assert (tmp_path / "spool").read_bytes() == (tree / SKY.raw).read_bytes()


def test_a_refusal_beside_other_failures_may_pass(served, connect, tmp_path):
    for fault in (Fault.NOT_FOUND, Fault.UNAVAILABLE, Fault.FORBIDDEN):
        served.inject(fault, "*/ibe/data/*")
    with pytest.raises(TransientError, match="try again later"):
        connect().fetch(RAW, tmp_path / "spool")
    connect().fetch(RAW, tmp_path / "spool")


def test_a_slow_answer_is_waited_for(served, connect, tree, naps, tmp_path):
    served.inject(Fault.SLOW, "*/ibe/*", times=math.inf)
    archive = connect()
    assert RAW.ccd in archive.raws(NIGHT, ImageType.OBJECT)
    archive.fetch(RAW, tmp_path / "spool")
    assert (tmp_path / "spool").read_bytes() == (tree / SKY.raw).read_bytes()
    assert naps == []


def test_the_same_damage_twice_is_the_archives_own(served, connect, tmp_path):
    served.inject(Fault.CORRUPT, "*/ibe/data/*", times=math.inf)
    with pytest.raises(BadData, match="the same bytes"):
        connect().fetch(RAW, tmp_path / "spool")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_survives_a_failure(served, connect, tmp_path):
    spool = tmp_path / "spool"
    spool.write_text("earlier")
    served.inject(Fault.TRUNCATED, times=math.inf)
    with pytest.raises(TransientError):
        connect(patience=Patience(tries=1)).fetch(RAW, spool)
    assert spool.read_text() == "earlier"


# Not SHORT: a table cut at the end of a line, under a length that matches, is a shorter table.
@pytest.mark.parametrize("fault", [f for f in PASSING if f not in (Fault.CORRUPT, Fault.EMPTY, Fault.SHORT)])
def test_a_query_is_asked_again_after_a_passing_failure(served, connect, naps, fault):
    expected = connect().raws(NIGHT, ImageType.OBJECT)
    served.inject(fault, "*/ibe/search/*")
    assert connect().raws(NIGHT, ImageType.OBJECT) == expected
    assert naps == [1]


@pytest.mark.parametrize("fault", FINAL)
def test_a_query_that_cannot_be_answered_says_so(served, connect, naps, fault):
    error, words = FINAL[fault]
    served.inject(fault, "*/ibe/search/*", times=math.inf)
    with pytest.raises(error, match=words):
        connect().raws(NIGHT, ImageType.OBJECT)
    assert naps == [1, 2]
    served.heal()
    served.inject(fault, "*/ibe/search/*", times=2)
    assert RAW.ccd in connect().raws(NIGHT, ImageType.OBJECT)


def test_an_empty_table_is_an_empty_list(served, connect, naps):
    served.inject(Fault.EMPTY, "*/ibe/search/*")
    assert connect().raws(NIGHT, ImageType.OBJECT) == []
    assert naps == []


# --- not yet public


def test_a_file_not_yet_public_says_from_when(tree, tmp_path, naps):
    file = ArchiveFile(Kind.SCIENCE, CcdExposure.parse(EMBARGOED.name), 1)
    with IrsaLookalike(tree, today=date(2019, 7, 1)) as server:
        archive = Irsa(server.url, sleep=naps.append)
        assert (file.ccd, 1) in archive.sciences(NIGHT)
        with pytest.raises(NotYetPublic, match="public from 2030-01-02"):
            archive.fetch(file, tmp_path / "spool")
    assert naps == []
    assert list(tmp_path.iterdir()) == []


def test_a_listed_file_without_a_date_is_not_public_either(connect, tmp_path):
    with pytest.raises(NotYetPublic, match="do not say when"):
        connect().fetch(ArchiveFile(Kind.RAW, CcdExposure.parse(LOST.name)), tmp_path / "spool")


def test_an_unlisted_file_is_just_not_there(connect, tmp_path):
    nobody = CcdExposure.parse("ztf_20190405888888_000655_zr_c03_o")
    with pytest.raises(NotInArchive, match="nor do its tables list it") as raised:
        connect().fetch(ArchiveFile(Kind.RAW, nobody), tmp_path / "spool")
    assert not isinstance(raised.value, NotYetPublic)


# --- politeness


def test_retry_after_in_seconds_is_honoured(served, connect, naps, tmp_path):
    served.inject(Fault.TOO_MANY, "*/ibe/data/*", retry_after="17")
    connect().fetch(RAW, tmp_path / "spool")
    assert naps == [17]


def test_retry_after_as_a_date_is_honoured(served, connect, naps, tmp_path):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    served.inject(Fault.UNAVAILABLE, "*/ibe/data/*", retry_after=until)
    connect().fetch(RAW, tmp_path / "spool")
    (nap,) = naps
    assert 30 < nap <= 60  # dates hold whole seconds, and the machine may be slow


def test_a_long_retry_after_is_left_to_whoever_asked(served, connect, naps, tmp_path):
    served.inject(Fault.TOO_MANY, "*/ibe/data/*", retry_after="3600")
    with pytest.raises(TransientError) as raised:
        connect().fetch(RAW, tmp_path / "spool")
    assert raised.value.retry_after == 3600
    assert naps == []


def test_a_trickle_does_not_last_for_ever(connect, tmp_path):
    hours = iter(range(0, 36_000_000, 3600))
    archive = connect(clock=lambda: next(hours), timeouts=Timeouts(whole=1800), patience=Patience(tries=1))
    with pytest.raises(TransientError, match="in 1800 s"):
        archive.fetch(RAW, tmp_path / "spool")
    assert list(tmp_path.iterdir()) == []


def test_no_more_requests_at_a_time_than_agreed(served, connect, tmp_path):
    archive = connect(concurrency=3, timeouts=Timeouts(connect=5, read=20))
    served.hold()
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(archive.fetch, RAW, tmp_path / str(i)) for i in range(10)]
        deadline = time.monotonic() + 10
        while served.under_way < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # would let an eleventh of the threads, or all, slip through
        assert served.under_way == 3
        served.release()
        for one in waiting:
            one.result()
    assert served.busiest == 3
    assert len(list(tmp_path.iterdir())) == 10


def test_a_retry_waits_in_its_own_slot(served, connect, tmp_path):
    """A server that asks for a pause gets none of the requests that queue behind."""
    under_way_during_nap, napping = [], threading.Event()

    def nap(seconds: float) -> None:
        napping.set()
        time.sleep(0.1)
        under_way_during_nap.append(served.under_way)

    archive = connect(concurrency=1, sleep=nap)
    served.inject(Fault.UNAVAILABLE, "*/ibe/data/*")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(archive.fetch, RAW, tmp_path / "a")
        napping.wait(10)
        second = pool.submit(archive.fetch, RAW, tmp_path / "b")
        first.result()
        second.result()
    assert under_way_during_nap == [0]
