"""Whatever the archive does to a download: what passes is waited for, the rest is named and set aside."""

from __future__ import annotations

import fnmatch
import logging
import math
import threading
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.download import download
from tasks.runtime.product_flow import NothingFound, TooMuchSetAside
from tests.flows.night import NIGHT, PLAN, artifacts, digests, flow_runs, opened, polling, task_runs
from ztf_in2p3.archive import AccessDenied, NotInArchive
from ztf_in2p3.errors import BadData
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import Fault, IrsaLookalike

BIAS, FLAT, SKY = ([str(frame.exposure) for frame in some] for some in (PLAN.biases, PLAN.flats, PLAN.objects))


def raw(exposure: str) -> str:
    return f"*{exposure[:14]}_*_c03_?.fits.fz"


def quadrant(exposure: str, qid: int, suffix: str) -> str:
    """``sciimg`` is where a header comes from."""
    return f"*{exposure[:14]}_*_c03_o_q{qid}_{suffix}.fits"


@pytest.fixture
def asked(survey, served):
    """Of a download of one CCD."""
    return {"archive": served.url, **survey.stars, **survey.scope, "ccds": [3]}


def of_ccd_3(found: dict[str, str]) -> dict[str, str]:
    return {address: digest for address, digest in found.items() if "/c03" in address}


BEYOND_THE_CLIENT = 4
"""Times in a row: the archive's client tries three times, so it takes the task's own retry."""

PASSING = [
    (Fault.TRUNCATED, raw(BIAS[0]), BEYOND_THE_CLIENT),
    (Fault.STALL, raw(BIAS[1]), 1),  # half a second each
    (Fault.TOO_MANY, raw(BIAS[2]), BEYOND_THE_CLIENT),
    (Fault.UNAVAILABLE, raw(BIAS[3]), BEYOND_THE_CLIENT),
    (Fault.HTML, raw(FLAT[0]), BEYOND_THE_CLIENT),
    (Fault.CORRUPT, raw(FLAT[1]), 1),  # twice the same damage would be the archive's own
    (Fault.RESET, raw(FLAT[2]), BEYOND_THE_CLIENT),
    (Fault.SHORT, quadrant(SKY[0], 1, "mskimg"), BEYOND_THE_CLIENT),
    (Fault.GATEWAY_TIMEOUT, quadrant(SKY[0], 2, "sciimg"), BEYOND_THE_CLIENT),
    (Fault.EMPTY, quadrant(SKY[1], 3, "mskimg"), BEYOND_THE_CLIENT),
    (Fault.UNAVAILABLE, "*/ibe/search/*/sci", BEYOND_THE_CLIENT),
]


def test_what_passes_is_tried_again_until_every_file_is_whole(served, asked, reduced, tmp_path):
    for fault, pattern, times in PASSING:
        served.inject(fault, pattern, times=times, retry_after="0" if fault is Fault.TOO_MANY else None)

    outcome = download(NIGHT, str(tmp_path), **asked)

    assert outcome.set_aside == ()
    struck = [one.fault for one in served.requests if one.fault]
    assert len(struck) == sum(times for _, _, times in PASSING)
    archived = (Kind.RAW, Kind.HEADER, Kind.MASK)
    assert digests(tmp_path, *archived) == of_ccd_3(digests(reduced.store, *archived))
    assert opened(tmp_path).verify() == []


LASTING = [
    (Fault.XML, raw(BIAS[0]), "Unable to process", "open the address in a browser"),
    (Fault.LOGIN_PAGE, raw(BIAS[1]), "asks for a login", "give user name and password"),
    (Fault.NOT_FOUND, raw(FLAT[0]), "its tables list it", "wait until then"),
    (Fault.TRUNCATED, raw(FLAT[1]), "broke off after", "try again"),
    (Fault.CORRUPT, raw(BIAS[2]), "the same bytes", "fetch it again"),
    (Fault.UNAVAILABLE, quadrant(SKY[1], 2, "sciimg"), "busy or down (503", "try again later"),
]


def test_what_lasts_is_set_aside_by_name_and_the_rest_of_the_night_goes_on(
    served, asked, survey, reduced, tmp_path, calls
):
    for fault, pattern, *_ in LASTING:
        served.inject(fault, pattern, times=math.inf)

    outcome = download(NIGHT, str(tmp_path), **asked, max_set_aside=0.5)

    assert len(outcome.set_aside) == len(LASTING)
    for _, pattern, found, remedy in LASTING:
        (reason,) = [one.reason for one in outcome.set_aside if pattern[1:15] in one.reason and found in one.reason]
        assert remedy in reason
        assert fnmatch.filter(reason.split("; ")[0].replace(":", " ").split(), pattern)  # the file, not its exposure
    assert outcome.of(Kind.REFERENCE)

    calls.so_far()
    scope = survey.scope | {"ccds": [3]}
    calibrate(NIGHT, str(tmp_path), **scope)
    measured = catalogue(NIGHT, str(tmp_path), **scope)
    assert calls.so_far()["aperture_catalogue"] == 4 + 3  # one quadrant has no header
    assert len(measured.of(Kind.CATALOGUE)) == 2

    served.heal()
    complete = download(NIGHT, str(tmp_path), **asked)
    assert complete.set_aside == ()
    assert calls.so_far() == {"fetch over HTTP": len(LASTING)}
    calibrate(NIGHT, str(tmp_path), **scope)
    catalogue(NIGHT, str(tmp_path), **scope)
    same = (Kind.RAW, Kind.HEADER, Kind.MASK, Kind.BIAS, Kind.LED_FLAT, Kind.FLAT)
    assert digests(tmp_path, *same) == of_ccd_3(digests(reduced.store, *same))
    assert calls.so_far()["aperture_catalogue"] == 8


def test_one_file_that_never_comes_keeps_no_stars_away(served, asked, tmp_path):
    """The exposures count as failed; what came of them is in the store, and can be reduced."""
    served.inject(Fault.UNAVAILABLE, "*_q4_mskimg.fits", times=math.inf)
    outcome = download(NIGHT, str(tmp_path), **asked)
    assert [one.what for one in outcome.set_aside] == SKY
    assert outcome.of(Kind.HEADER) == []
    assert outcome.of(Kind.REFERENCE)


def test_too_much_set_aside_fails_the_flow_but_keeps_what_came(served, asked, tmp_path):
    served.inject(Fault.XML, "*mskimg.fits", times=math.inf)
    with pytest.raises(TooMuchSetAside, match=r"8 of \d+ inputs were set aside, .* 0\.2 .*mskimg.*open the address"):
        download(NIGHT, str(tmp_path), **asked)
    assert len(opened(tmp_path).list(Kind.RAW)) == 4 + 3 + 2


def test_how_the_orchestrator_shows_it(served, asked, tmp_path):
    served.inject(Fault.XML, raw(BIAS[0]), times=math.inf)
    served.inject(Fault.UNAVAILABLE, raw(BIAS[1]), times=math.inf)
    state = download(NIGHT, str(tmp_path), **asked, return_state=True)
    shown = task_runs(state, n=9)
    assert (shown[f"fetch {BIAS[0]}"], shown[f"fetch {BIAS[1]}"]) == ("Incomplete", "Failed")
    assert shown[f"fetch {BIAS[2]}"] == "Completed"


def test_who_asks_for_an_hour_is_not_asked_again_in_this_run(served, asked, tmp_path):
    served.inject(Fault.TOO_MANY, raw(BIAS[0]), times=math.inf, retry_after="3600")
    (aside,) = download(NIGHT, str(tmp_path), **asked).set_aside
    assert "429" in aside.reason
    assert sum(one.fault is not None for one in served.requests) == 1


@pytest.mark.parametrize(
    ("fault", "error", "remedy"),
    [
        (Fault.LOGIN_PAGE, AccessDenied, "give user name and password"),
        (Fault.XML, BadData, "open the address in a browser"),
    ],
)
def test_a_question_that_cannot_be_answered_fails_the_flow_and_says_why(served, asked, tmp_path, fault, error, remedy):
    served.inject(fault, "*/ibe/search/*", times=math.inf)
    with pytest.raises(error, match=remedy):
        download(NIGHT, str(tmp_path), **asked)


def test_an_archive_that_has_nothing_of_two_weeks_is_no_closed_telescope(served, asked, tmp_path):
    served.inject(Fault.EMPTY, "*/ibe/search/*", times=math.inf)
    with pytest.raises(
        NothingFound, match=f"nothing for {NIGHT}, ccds 3, filters zr, camera tiny in .*frames were looked for"
    ):
        download(NIGHT, str(tmp_path), **asked)
    assert digests(tmp_path) == {}


USER, PASSWORD = "astronomer@example.org", "s&cret/pass wörd%41"


def test_an_account_sees_more_survives_its_sessions_end_and_keeps_its_password(survey, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    with IrsaLookalike(survey.tree, quirks=None, private=["*_c03_*"], users={USER: PASSWORD}) as served:
        asked = {"archive": served.url, **survey.stars, **survey.scope, "ccds": [3]}
        with pytest.raises(NothingFound, match=served.url):
            download(NIGHT, str(tmp_path / "nobody's"), **asked)

        monkeypatch.setenv("IRSA_USER", USER)
        monkeypatch.setenv("IRSA_PASSWORD", PASSWORD)
        served.inject(Fault.LOGIN_PAGE, raw(BIAS[0]))  # the session has expired
        served.inject(Fault.XML, raw(BIAS[1]), times=math.inf, text=f"no such user {USER} {PASSWORD}")
        state = download(NIGHT, str(tmp_path / "store"), **asked, return_state=True)
        outcome = state.result()

    assert sum(one.method == "POST" for one in served.requests) >= 2
    assert len(outcome.of(Kind.RAW)) == 4 + 3 + 2 - 1
    assert len(outcome.set_aside) == 1
    task_runs(state, n=9)  # waits for the orchestrator to have written them down
    shown = str([one.model_dump() for one in artifacts(state).values()])
    with get_client(sync_client=True) as client:
        ran = flow_runs(client, state)
        runs = str([client.read_task_runs(flow_run_filter=ran), client.read_flow_runs(flow_run_filter=ran)])
    for text in (caplog.text, repr(outcome), shown, runs):
        assert BIAS[1][:14] in text  # it would show it
        assert PASSWORD not in text
    for file in (tmp_path / "store").rglob("*"):
        assert file.is_dir() or PASSWORD.encode() not in file.read_bytes()


def test_a_wrong_folder_is_named(survey, tmp_path):
    asked = {**survey.stars, **survey.scope}
    with pytest.raises(NotInArchive, match=r"nowhere is no directory; expected one that holds raw/YYYY"):
        download(NIGHT, str(tmp_path), archive=str(tmp_path / "nowhere"), **asked)
    with pytest.raises(ValueError, match="no archive at 'ftp://x'"):
        download(NIGHT, str(tmp_path), archive="ftp://x", **asked)


def test_the_archive_gets_no_more_requests_at_a_time_than_agreed(served, asked, tmp_path: Path):
    """Eight tasks at a time want a file each."""
    served.hold()

    def let_go() -> None:
        for _ in polling(20):
            if served.under_way >= 4:
                break
        time.sleep(0.2)  # would let a fifth come
        served.release()

    threading.Thread(target=let_go, daemon=True).start()
    assert download(NIGHT, str(tmp_path), **asked).set_aside == ()
    assert served.busiest == 4
