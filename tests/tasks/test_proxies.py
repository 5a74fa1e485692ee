"""Nothing on this machine is reached through the operator's proxy, by whatever client."""

from __future__ import annotations

import os

import pytest
import requests

from flows.cli.health import spare_loopback_the_proxy
from ztf_in2p3.simulate.server import IrsaLookalike

PROXY = "http://127.0.0.1:9"  # nobody answers there


@pytest.fixture(autouse=True)
def behind_a_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, PROXY)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "archive.example,.lab.example")


def test_clients_that_read_the_environment_ask_this_machine_directly(tmp_path):
    (tmp_path / "raw").mkdir()
    with IrsaLookalike(tmp_path) as served:
        with pytest.raises(requests.exceptions.ProxyError):
            requests.get(served.url, timeout=10)
        spare_loopback_the_proxy()
        assert requests.get(served.url, timeout=10).status_code
    assert os.environ["no_proxy"] == "archive.example,.lab.example,127.0.0.1,localhost,::1"


def test_an_operator_who_wants_no_proxy_at_all_has_none(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    spare_loopback_the_proxy()
    assert os.environ["no_proxy"] == "*"
