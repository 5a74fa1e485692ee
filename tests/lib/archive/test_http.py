"""Which way requests take: after redirects without our cookies, and never through a proxy to this machine."""

from __future__ import annotations

import importlib.util

import pytest

from tests.lib.archive.conftest import PASSWORD, USER
from tests.lib.archive.tiny_tree import SKY
from ztf_in2p3.archive import ArchiveFile, Credentials, Irsa
from ztf_in2p3.archive.http import HttpClient, is_loopback
from ztf_in2p3.errors import BadData, MissingExtra
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import Fault, IrsaLookalike

RAW = ArchiveFile(Kind.RAW, CcdExposure.parse(SKY.name))
PATH = f"/ibe/data/ztf/products/{RAW.path}"
PROXY = "http://proxy.example.org:3128"


def test_a_redirect_to_another_host_is_followed_without_our_cookies(served, connect, tree, tmp_path):
    with IrsaLookalike(tree) as mirror:
        served.inject(Fault.REDIRECT, f"*{RAW.path}", text=mirror.url + PATH)
        connect(Credentials(USER, PASSWORD)).fetch(RAW, tmp_path / "spool")
        assert (tmp_path / "spool").read_bytes() == (tree / SKY.raw).read_bytes()
        assert [request.cookie for request in mirror.requests] == [""]
    assert served.requests[-1].cookie != ""


def test_a_redirect_to_the_same_host_keeps_our_cookies(served, connect, tmp_path):
    served.inject(Fault.REDIRECT, f"*{RAW.path}", text=PATH)
    connect(Credentials(USER, PASSWORD)).fetch(RAW, tmp_path / "spool")
    assert served.requests[-1].cookie == served.requests[-2].cookie != ""


def test_what_another_host_says_is_not_quoted(served, connect, tree, tmp_path):
    with IrsaLookalike(tree) as mirror:
        served.inject(Fault.REDIRECT, f"*{RAW.path}", times=3, text=mirror.url + PATH)
        mirror.inject(Fault.HTML, times=3, text="<html>inner secrets of a host behind the wall</html>")
        with pytest.raises(BadData, match=r"redirected to 127\.0\.0\.1") as raised:
            connect().fetch(RAW, tmp_path / "spool")
    assert "secrets" not in str(raised.value)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_what_is_no_web_address_is_refused(served, connect, tmp_path, target):
    served.inject(Fault.REDIRECT, f"*{RAW.path}", text=target)
    with pytest.raises(BadData, match="no encrypted web address"):
        connect().fetch(RAW, tmp_path / "spool")


def test_redirects_in_a_circle_end(served, connect, tmp_path):
    served.inject(Fault.REDIRECT, f"*{RAW.path}", text=PATH, times=100)
    with pytest.raises(BadData, match="more than 5 redirects"):
        connect().fetch(RAW, tmp_path / "spool")


def route(host: str, exceptions: str = "") -> dict[str, str]:
    client = HttpClient("https://host", connections=1, proxies={"http": PROXY, "https": PROXY, "no": exceptions})
    return client._route(f"https://{host}/path")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "[::1]"])
def test_this_machine_is_never_reached_through_a_proxy(host):
    assert route(host) == {}
    assert is_loopback(host.strip("[]"))


@pytest.mark.parametrize(
    ("exceptions", "direct"),
    [("archive.example.org", True), (".example.org", True), ("example.org", True), ("*", True),
     ("x, example.org", True), ("example.org:443", True), ("ample.org", False), ("other.org", False), ("", False)],
)  # fmt: skip
def test_hosts_of_no_proxy_are_reached_without(exceptions, direct):
    assert (route("archive.example.org", exceptions) == {}) == direct


def test_a_network_of_no_proxy_is_reached_without():
    assert route("10.1.2.3", "10.0.0.0/8") == {}
    assert route("11.1.2.3", "10.0.0.0/8") != {}


def test_with_a_proxy_set_a_local_archive_still_answers(served, tree, tmp_path):
    archive = Irsa(served.url, proxies={"http": "http://127.0.0.1:9"})  # where nobody listens
    archive.fetch(RAW, tmp_path / "spool")
    assert (tmp_path / "spool").read_bytes() == (tree / SKY.raw).read_bytes()


def test_a_proxy_that_speaks_socks_is_one_clear_line_without_its_package():
    assert importlib.util.find_spec("socks") is None  # with it the proxy would be used
    archive = Irsa("http://archive.example", proxies={"all": "socks5h://127.0.0.1:9"})
    with pytest.raises(MissingExtra, match=r"speaks SOCKS.*pip install PySocks.*no_proxy") as raised:
        archive.raws(Period.parse("20190405"), ImageType.OBJECT)
    assert "\n" not in str(raised.value)


def test_certificates_that_are_not_there_are_said():
    with pytest.raises(ValueError, match="REQUESTS_CA_BUNDLE"):
        Irsa("https://example.org", ca_bundle="/nowhere/ca.pem")
