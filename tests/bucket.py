"""An S3 service on the loopback, and an environment that knows no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

_KEY, _REGION = "testing", "us-east-1"


class _Handler(MotoRequestHandler):
    def log_request(self, *_: object) -> None:
        """Nothing: a line for each request takes as long as the answer."""


@dataclass
class Answer:
    """What comes instead of the service's own answer, to the next requests of a method."""

    method: str
    status: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    times: float = 1
    """How many requests; `math.inf` for all."""


class Failing:
    """A WSGI application that answers for another one as long as it has answers."""

    def __init__(self, service: Callable[..., Iterable[bytes]]) -> None:
        self._service = service
        self.answers: list[Answer] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        answer = next((one for one in self.answers if one.method == method and one.times > 0), None)
        if answer is None:
            return self._service(environ, start_response)
        answer.times -= 1
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = answer.body.encode()
        start_response(answer.status, [*{"Content-Length": str(len(body)), **answer.headers}.items()])
        return [body]


@contextmanager
def s3_service(answers: list[Answer] | None = None) -> Iterator[str]:
    """Address of moto's S3, as long as it runs: served alone, its server of all services takes four times as long.

    Parameters
    ----------
    answers
        Those given come instead of the service's own; more may be appended while it runs.
    """
    service = Failing(create_backend_app("s3"))
    service.answers = [] if answers is None else answers
    server = make_server("127.0.0.1", 0, service, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def client_of(endpoint: str) -> object:
    return boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=_KEY, aws_secret_access_key=_KEY, region_name=_REGION
    )


def know_only(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and address in the environment, and nothing of the user's own."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
