"""A password logs in, and is seen nowhere."""

from __future__ import annotations

import logging
import math
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from urllib.parse import quote, quote_plus

import pytest

from tests.lib.archive.conftest import PASSWORD, USER
from tests.lib.archive.tiny_tree import SECRET, SKY
from ztf_in2p3.archive import AccessDenied, ArchiveFile, Credentials, Irsa, Patience, open_archive
from ztf_in2p3.archive.errors import NotInArchive
from ztf_in2p3.archive.web import Web
from ztf_in2p3.errors import PipelineError
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import Fault

NIGHT = Period.of(date(2019, 4, 5))
ME = Credentials(USER, PASSWORD)
SECRET_RAW = ArchiveFile(Kind.RAW, CcdExposure.parse(SECRET.name))
SKY_RAW = ArchiveFile(Kind.RAW, CcdExposure.parse(SKY.name))


def logins(server):
    return sum(seen.method == "POST" for seen in server.requests)


def test_a_user_sees_more_than_the_public(connect, tree, tmp_path):
    mine, publics = (set(connect(who).raws(NIGHT, ImageType.OBJECT)) for who in (ME, None))
    assert mine - publics == {SECRET_RAW.ccd}
    connect(ME).fetch(SECRET_RAW, tmp_path / "spool")
    assert (tmp_path / "spool").read_bytes() == (tree / SECRET.raw).read_bytes()


def test_public_data_need_no_login(served, connect):
    connect().raws(NIGHT, ImageType.OBJECT)
    assert logins(served) == 0


def test_one_login_serves_many_requests(served, connect, tmp_path):
    archive = connect(ME)
    archive.raws(NIGHT, ImageType.OBJECT)
    archive.fetch(SECRET_RAW, tmp_path / "spool")
    assert logins(served) == 1


@pytest.mark.parametrize("what", ["query", "file"])
def test_an_expired_session_is_renewed_once(served, connect, naps, tmp_path, what):
    archive = connect(ME)
    before = archive.raws(NIGHT, ImageType.OBJECT)
    served.expire_sessions()
    if what == "query":
        assert archive.raws(NIGHT, ImageType.OBJECT) == before
    else:
        archive.fetch(SECRET_RAW, tmp_path / "spool")
    assert logins(served) == 2
    assert naps == []


def test_what_is_asked_for_while_another_thread_logs_in_is_not_taken_for_missing(
    served, connect, tree, tmp_path, monkeypatch
):
    archive = connect(ME)
    archive.raws(NIGHT, ImageType.OBJECT)
    without_cookies, denied = threading.Event(), threading.Event()
    send, ask = Web._send, Web._ask

    def hesitate(self, method, url, **what):
        if method == "POST":
            without_cookies.set()
            assert denied.wait(20)
        return send(self, method, url, **what)

    def notice(self, *what):
        try:
            return ask(self, *what)
        except NotInArchive:
            denied.set()
            raise

    monkeypatch.setattr(Web, "_send", hesitate)
    monkeypatch.setattr(Web, "_ask", notice)
    served.inject(Fault.LOGIN_PAGE, f"*{SKY.parts[0]}*")
    with ThreadPoolExecutor(1) as other:
        expired = other.submit(archive.fetch, SKY_RAW, tmp_path / "sky")
        assert without_cookies.wait(20)
        archive.fetch(SECRET_RAW, tmp_path / "secret")
        expired.result()
    assert denied.is_set()
    assert (tmp_path / "secret").read_bytes() == (tree / SECRET.raw).read_bytes()


def test_a_login_page_that_never_goes_away_is_an_error(served, connect, tmp_path):
    served.inject(Fault.LOGIN_PAGE, "*/ibe/*", times=math.inf)
    with pytest.raises(AccessDenied, match=r"has just\s+logged in"):
        connect(ME).fetch(SECRET_RAW, tmp_path / "spool")
    assert logins(served) == 1  # another one would bring the same page


def test_a_page_that_wants_a_login_for_one_file_costs_one_login(served, connect, tmp_path):
    archive = connect(ME)
    archive.raws(NIGHT, ImageType.OBJECT)
    served.inject(Fault.LOGIN_PAGE, f"*{SECRET.parts[0]}*", times=math.inf)
    with pytest.raises(AccessDenied, match=r"has just\s+logged in"):
        archive.fetch(SECRET_RAW, tmp_path / "spool")
    assert logins(served) == 2  # the first session may have ended; that the second one did at once is not believed
    archive.fetch(SKY_RAW, tmp_path / "spool")
    assert logins(served) == 2


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.TOO_MANY, Fault.RESET, Fault.HTML])
def test_a_login_that_fails_in_passing_is_tried_again(served, connect, naps, fault):
    served.inject(fault, "/account/*")
    assert SECRET_RAW.ccd in connect(ME).raws(NIGHT, ImageType.OBJECT)
    assert naps == [1]


@pytest.mark.parametrize(("fault", "words"), [(Fault.FORBIDDEN, "refused"), (Fault.XML, "no session.*Unable to")])
def test_a_refused_login_is_no_passing_trouble(served, connect, naps, fault, words):
    served.inject(fault, "/account/*")
    with pytest.raises(AccessDenied, match=words):
        connect(ME).raws(NIGHT, ImageType.OBJECT)
    assert naps == []


def test_an_empty_answer_to_a_user_warns_of_a_wrong_password(connect, caplog):
    empty = Period.of(date(2019, 5, 1))
    assert connect().raws(empty, ImageType.OBJECT) == []
    assert caplog.text == ""
    assert connect(Credentials(USER, "wrong")).raws(empty, ImageType.OBJECT) == []
    assert "wrong password looks the same" in caplog.text
    assert USER in caplog.text


@pytest.mark.parametrize("fault", Fault)
def test_the_password_is_nowhere_to_be_read(served, connect, caplog, capsys, tmp_path, fault):
    """In a page that quotes it, an exception with its traceback, a log at its most talkative, a URL, a name."""
    caplog.set_level(logging.DEBUG)
    # The server may be so unwise as to quote the form it was sent.
    served.inject(fault, times=5, text=f"<html>busy with {PASSWORD} and {quote_plus(PASSWORD)}</html>")
    archive = connect(ME, patience=Patience(tries=1))
    told = [repr(ME), str(ME), repr(archive), f"{archive.__dict__}"]
    for attempt in (
        lambda: archive.raws(NIGHT, ImageType.OBJECT),
        lambda: archive.fetch(SKY_RAW, tmp_path / "spool"),
    ):
        try:
            told.append(repr(attempt()))
        except PipelineError as error:
            told += ["".join(traceback.format_exception(error)), repr(error.args)]
    told += [caplog.text, *capsys.readouterr(), *(f"{seen.path} {seen.query}" for seen in served.requests)]
    said = "\n".join(told)
    assert "busy" in said or fault not in (Fault.HTML, Fault.XML)
    for secret in {PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), quote_plus(PASSWORD)}:
        assert secret not in said


def test_credentials_travel_to_another_process_unseen():
    assert pickle.loads(pickle.dumps(ME)) == ME
    assert USER in repr(ME)


def test_no_password_in_an_address_nor_in_clear_text():
    with pytest.raises(ValueError, match="pass them as credentials") as raised:
        open_archive("https://me:hunter2@example.org")
    assert "hunter2" not in str(raised.value)
    with pytest.raises(ValueError, match="clear text"):
        Irsa("http://example.org", ME)


# --- netrc


def test_a_netrc_file_knows_one_user_for_each_host(tmp_path):
    path = tmp_path / "netrc"
    path.write_text("machine a.org login me password one\nmachine b.org login you password two\n")
    assert Credentials.from_netrc(path, "b.org") == Credentials("you", "two")


@pytest.mark.parametrize("text", ["machine other.org login me password one", "default login me password one"])
def test_a_netrc_file_of_other_machines_has_no_user_for_this_one(tmp_path, text):
    path = tmp_path / "netrc"
    path.write_text(text)
    assert Credentials.from_netrc(path, "a.org") is None


@pytest.mark.parametrize(
    "text",
    [
        "machine a.org password hunter2",
        "machine a.org login me password hunter2 hunter2",
        "hunter2",
    ],
)
def test_a_netrc_file_without_a_usable_entry_says_what_is_expected(tmp_path, text):
    path = tmp_path / "netrc"
    path.write_text(text)
    with pytest.raises(AccessDenied, match=r"machine a\.org login NAME") as raised:
        Credentials.from_netrc(path, "a.org")
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_a_missing_netrc_file_is_named(tmp_path):
    with pytest.raises(AccessDenied, match="No such file"):
        Credentials.from_netrc(tmp_path / "netrc", "a.org")
