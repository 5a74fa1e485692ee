"""What an S3 service can answer instead of an object: each is one line that names the object and what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.bucket import know_only
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.store.backends import s3

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>words of the service</Message></Error>'
HTML = "<html><head><title>down</title></head><body><p>We are down for maintenance.<br></p></body></html>"
QUICK = {"read_timeout": 2, "retries": {"total_max_attempts": 1}}

ASK = {
    "list": lambda files: files.list("bias"),
    "folders": lambda files: files.folders("bias"),
    "read": lambda files: files.read("bias/manifest.json"),
}


class Service:
    """Answers every request alike."""

    def __init__(self, status: int, body: str, headers: dict[str, str]) -> None:
        class Answer(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = answer

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def answering(monkeypatch) -> Iterator:
    services = []

    def files(status: int, body: str, **headers: str) -> s3.S3Files:
        services.append(Service(status, body, headers))
        know_only(services[-1].address, monkeypatch)
        monkeypatch.setattr(s3.s3fs.S3FileSystem, "retries", 1)
        return s3.S3Files("a-bucket", "store", QUICK)

    yield files
    for service in services:
        service.close()


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (500, "Unheard")])
def test_a_service_that_fails_may_answer_later(answering, ask, status, code):
    with pytest.raises(TransientError, match=r"s3://a-bucket/store/bias.*busy or failed"):
        ASK[ask](answering(status, ERROR.format(code)))


@pytest.mark.parametrize("ask", ["list", "folders"])
def test_a_page_of_html_is_not_taken_for_a_listing(answering, ask):
    with pytest.raises(TransientError, match="s3://a-bucket/store/bias: ") as raised:
        ASK[ask](answering(200, HTML))
    assert "maintenance" not in str(raised.value)


@pytest.mark.parametrize("ask", ASK)
def test_a_bucket_that_does_not_exist_is_named(answering, ask):
    with pytest.raises(BadData, match="there is no bucket a-bucket; create it") as raised:
        ASK[ask](answering(404, ERROR.format("NoSuchBucket")))
    assert "\n" not in str(raised.value)


def test_an_object_that_does_not_match_its_checksum_may_come_whole_later(answering):
    files = answering(200, "content", **{"x-amz-checksum-crc32": "AAAAAA=="})
    with pytest.raises(TransientError, match=r"s3://a-bucket/store/bias/manifest\.json: came damaged"):
        files.read("bias/manifest.json")


def test_a_request_that_the_service_refuses_is_told_in_one_line(answering):
    with pytest.raises(BadData, match="refused") as raised:
        answering(400, ERROR.format("InvalidRequest")).list("bias")
    assert "\n" not in str(raised.value)


def test_a_profile_that_does_not_exist_is_named(answering, monkeypatch):
    files = answering(200, "")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BadData, match=r"s3://a-bucket/store/x: .*\(nobody\) could not be found; correct ~/\.aws"):
        files.read("x")
