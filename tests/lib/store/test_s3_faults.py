"""What befalls a store on a real S3 service (moto's): retried, or said in one line that names the object."""

from __future__ import annotations

import math
import time

import pytest

from tests.bucket import Answer, client_of, know_only, s3_service
from tests.lib.store.contract import built, content_of
from tests.lib.store.places import PROVENANCE, Bucket, Maker, bias
from ztf_in2p3.errors import BadData, NotAllowed, PipelineError, TransientError
from ztf_in2p3.store import open_store
from ztf_in2p3.store.backends import s3

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>words of the service</Message></Error>'
HTML = "<!DOCTYPE html><html><body><p>We are down for maintenance.<br></p></body></html>"
SECONDS = 30
"""For any answer, on a machine that has ten times more to do than it can: nothing hangs."""

OBJECT = "bias/manifest.json"
ASK = {
    "read": lambda files, file: files.read(OBJECT),
    "stat": lambda files, file: files.stat(OBJECT),
    "list": lambda files, file: files.list("bias"),
    "folders": lambda files, file: files.folders("bias"),
}
WRITE = {
    "write": lambda files, file: files.write(OBJECT, b"{}"),
    "create": lambda files, file: files.create(OBJECT, b"{}"),
    "publish": lambda files, file: files.publish(file, OBJECT, "0" * 64),
}


@pytest.fixture(scope="module")
def service():
    """Address, and the answers that come instead of the service's own."""
    answers: list[Answer] = []
    with s3_service(answers) as address:
        client_of(address).create_bucket(Bucket="bucket")
        yield address, answers


@pytest.fixture
def answers(service, monkeypatch):
    address, answers = service
    know_only(address, monkeypatch)
    monkeypatch.setattr(s3.s3fs.S3FileSystem, "retries", 2)
    began = time.monotonic()
    yield answers
    answers.clear()
    assert time.monotonic() - began < SECONDS


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content of a product")
    return path


def said(error: type[PipelineError], ask, files: s3.S3Files, file) -> str:
    with pytest.raises(error) as raised:
        ask(files, file)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"s3://{files.bucket}/store/bias")
    return message


@pytest.mark.parametrize("ask", ["read", "list", "folders", *WRITE])
def test_a_bucket_that_does_not_exist_is_named(answers, file, ask):
    assert "there is no bucket nowhere; create it" in said(
        BadData, (ASK | WRITE)[ask], s3.S3Files("nowhere", "store"), file
    )


@pytest.mark.parametrize("ask", ["read", "write", "publish"])
def test_a_profile_that_does_not_exist_is_named(answers, file, ask, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "(nobody)" in said(BadData, (ASK | WRITE)[ask], s3.S3Files("bucket", "store"), file)


@pytest.mark.parametrize("ask", ["list", "write", "create"])
def test_missing_credentials_are_named(answers, file, ask, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials found" in said(NotAllowed, (ASK | WRITE)[ask], s3.S3Files("bucket", "store"), file)


@pytest.mark.parametrize(("ask", "method"), [("list", "GET"), ("folders", "GET"), ("read", "GET"), ("write", "PUT")])
def test_who_may_not_is_told_so(answers, file, ask, method):
    answers.append(Answer(method, "403 Forbidden", ERROR.format("AccessDenied"), times=math.inf))
    assert "access denied" in said(NotAllowed, (ASK | WRITE)[ask], s3.S3Files("bucket", "store"), file)


@pytest.mark.parametrize(
    ("ask", "method"), [("list", "GET"), ("folders", "GET"), ("read", "GET"), *((w, "PUT") for w in WRITE)]
)
def test_a_service_that_fails_once_is_asked_again_and_one_that_goes_on_is_named(answers, file, ask, method):
    files = s3.S3Files("bucket", "store")
    failure = Answer(method, "500 Internal Server Error", ERROR.format("InternalError"))
    answers.append(failure)
    (ASK | WRITE)[ask](files, file)
    assert failure.times == 0
    failure.times = math.inf
    assert "busy or failed" in said(TransientError, (ASK | WRITE)[ask], files, file)
    answers.clear()
    files.remove(OBJECT)


@pytest.mark.parametrize("ask", ["list", "folders", "read"])
def test_a_page_of_html_is_not_taken_for_an_answer_of_s3(answers, file, ask):
    answers.append(Answer("GET", "200 OK", HTML, {"Content-Type": "text/html"}, times=math.inf))
    message = said(TransientError, ASK[ask], s3.S3Files("bucket", "store"), file)
    assert "not S3's" in message or ask != "read"  # a listing is read as XML, which it is not
    assert "maintenance" not in message


def test_a_product_of_which_a_page_came_instead_is_still_there(answers):
    """It is not what its manifest says, and yet was not damaged."""
    store = open_store("s3://bucket/a/store", PROVENANCE)
    made = built(store, maker=Maker())
    answers.append(Answer("GET", "200 OK", HTML, times=math.inf))
    with pytest.raises(TransientError, match=f"s3://bucket/a/store/{made.ref.path}: the answer is not S3's"):
        content_of(store, made)
    answers.clear()
    assert store.find(bias()) == made
    assert content_of(store, made) == Maker().content


def test_an_object_that_does_not_match_its_checksum_is_fetched_again(answers, service):
    Bucket(client_of(service[0]), "bucket").write(OBJECT, b"{}")
    files = s3.S3Files("bucket", "a/store")
    answers.append(Answer("GET", "200 OK", "{]", {"x-amz-checksum-crc32": "AAAAAA=="}, times=math.inf))
    with pytest.raises(TransientError, match=f"s3://bucket/a/store/{OBJECT}: came damaged"):
        files.read(OBJECT)
    answers.clear()
    assert files.read(OBJECT) == b"{}"
