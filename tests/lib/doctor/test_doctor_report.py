"""A report tells what was found, and nothing that is nobody's business; one broken check leaves the others running."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.doctor import Check, Examination, Finding, Status, differs, ok
from ztf_in2p3.doctor.report import Redaction, as_json, table_lines
from ztf_in2p3.errors import BadData

REDACTION = Redaction(("s&cret word", "AbCdEf123"), ("astro", "m.user"), ("/pbs/home/m/m.user",))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("POST failed for s&cret word", "s&cret"),
        ("/pbs/home/m/m.user/ztf/store is full", "m.user"),
        ("/home/someone/store", "someone"),
        ("/Users/someone/store", "someone"),
        ("https://me:pass@host/path", "pass"),
        ("https://bucket.s3.amazonaws.com/k?X-Amz-Signature=abcdef&X-Amz-Credential=AKIA", "abcdef"),
        ("user astro was refused", "astro"),
        ("Authorization failed, token=eyJhbGciOiJIUzI1NiJ9", "eyJ"),
        ("key AKIAIOSFODNN7EXAMPLE is not known", "AKIAIOSFODNN7EXAMPLE"),
        ("password: hunter2!", "hunter2"),
        ("the login of user someone@example.org was refused", "someone@example.org"),
    ],
)
def test_what_must_not_leave_the_house_is_blanked_out(text, hidden):
    assert hidden not in REDACTION(text)


@pytest.mark.parametrize(
    "text",
    [
        "ztf_20190405250000_000601_zr_c03_o.fits.fz, 0.3 MB",
        "https://irsa.ipac.caltech.edu/ibe/data/ztf/products/raw/2019/0405",
        "s3://bucket/prefix: access denied",
        "q1 -0.02, q2 -0.02 mag from it; astronomy",
    ],
)
def test_what_we_need_to_know_stays(text):
    assert REDACTION(text) == text


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_no_text_around_a_password_brings_it_out(around):
    assert "s&cret word" not in REDACTION(f"{around}s&cret word{around}")


def test_a_report_is_json_and_is_redacted_throughout():
    exam = Examination()
    exam.run("store", "write", lambda: differs("/home/me/store is full", "room", "ask m.user"))
    text = json.dumps(as_json(exam, {"asked": {"store": "/home/me/store"}}, REDACTION))
    assert "/home" not in text
    assert "m.user" not in text
    assert json.loads(text)["findings"][0]["status"] == "DIFFERS"
    assert json.loads(text)["counts"]["DIFFERS"] == 1


def refuse(subject: object):
    raise BadData("HDU 3 cannot be decoded")


def stumble(subject: object):
    raise IndexError("list index out of range")


def test_a_check_that_breaks_is_a_failure_and_the_others_go_on():
    checks = (
        Check("first", lambda subject: ok("fine")),
        Check("second", refuse, (), "pixels", "fetch it again"),
        Check("third", stumble),
        Check("fourth", lambda subject: ok("fine"), ("first",)),
        Check("fifth", lambda subject: ok("fine"), ("second",)),
        Check("sixth", lambda subject: ok("fine"), ("fifth",)),
    )
    exam = Examination()
    exam.run_all("frame", checks, None)
    assert [str(line.status) for line in exam.findings] == ["OK", "FAIL", "FAIL", "OK", "SKIPPED", "SKIPPED"]
    assert exam.findings[1].found == "HDU 3 cannot be decoded"
    assert exam.findings[1].remedy == "fetch it again"
    assert exam.findings[4].found == "needs second (which is FAIL)"
    assert not exam.all_ok


@given(
    st.sampled_from(list(Status)),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=300),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=300),
)
def test_no_line_of_the_table_is_longer_than_a_hundred_columns(status, found, expected):
    lines = table_lines(Finding("group", "check", status, found, expected, "do this " * 40))
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(str(status))


def test_what_differs_is_shown_with_found_expected_and_what_to_do():
    lines = table_lines(Finding("flat frame", "lamp", Status.DIFFERS, "LED 3", "ILUM_LED one of 7, 8", "say which"))
    assert "LED 3" in lines[0]
    assert "ILUM_LED one of 7, 8" in lines[0]
    assert lines[-1].strip() == "-> say which"
