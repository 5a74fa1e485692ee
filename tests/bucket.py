"""An S3 service on the loopback, and an environment that knows no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

_KEY, _REGION = "testing", "us-east-1"


class _Handler(MotoRequestHandler):
    def log_request(self, *_: object) -> None:
        """Nothing: a line for each request takes as long as the answer."""


@contextmanager
def s3_service() -> Iterator[str]:
    """Address of moto's S3, as long as it runs: served alone, its server of all services takes four times as long."""
    server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True, request_handler=_Handler)
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
