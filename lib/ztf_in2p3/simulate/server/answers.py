"""One request, and what the archive says to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from ztf_in2p3.simulate.server.faults import HTML_PAGE, LOGIN_PAGE, SIGNED_ON_PAGE, XML_PAGE, Fault, Injected
from ztf_in2p3.simulate.server.tables import Refused

if TYPE_CHECKING:
    from ztf_in2p3.simulate.server import IrsaLookalike

SEARCH = "/ibe/search/ztf/products/"
DATA = "/ibe/data/ztf/products/"
TAP = "/TAP/sync"
LOGIN = "/account/signon/login.do"
COOKIE = "JOSSO_SESSIONID"

_BLOCK = 2880
_PAUSE = 0.05
"""Seconds."""

_STATUS = {
    Fault.NOT_FOUND: 404,
    Fault.FORBIDDEN: 403,
    Fault.TOO_MANY: 429,
    Fault.UNAVAILABLE: 503,
    Fault.GATEWAY_TIMEOUT: 504,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a request."""

    body: bytes
    type: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def _page(text: str, type_: str = "text/html; charset=UTF-8", status: int = 200) -> Reply:
    return Reply(text.encode(), type_, status)


def _xml(text: str) -> Reply:
    return _page(XML_PAGE.format(text.replace("&", "&amp;").replace("<", "&lt;")), "text/xml; charset=UTF-8")


class Answers(BaseHTTPRequestHandler):
    """Made anew for each connection by the HTTP server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def archive(self) -> IrsaLookalike:
        """The look-alike archive that answers."""
        return self.server.archive  # type: ignore[attr-defined]  # our _Server's

    def log_message(self, format: str, *args: object) -> None:
        """`IrsaLookalike.requests` keeps the record; nothing is printed."""

    def do_GET(self) -> None:
        """Answer a GET request."""
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = {key.lower(): value for key, value in parse_qsl(parts.query)}
        struck = self.archive.note("GET", path, query, self._token, self.headers.get("Cookie", ""))
        if path.startswith(DATA):
            with self.archive.data_request():
                self._send(self._file(path.removeprefix(DATA)), struck)
        else:
            self._send(self._table(path, query), struck)

    def do_POST(self) -> None:
        """Answer a POST request: a login."""
        path = urlsplit(self.path).path
        form = dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))
        struck = self.archive.note("POST", path, {}, self._token, self.headers.get("Cookie", ""))
        if path != LOGIN or form.get("josso_cmd") != "login":
            return self._send(_page("<html><body>Not found</body></html>", status=404), struck)
        token = self.archive.log_in(form.get("josso_username", ""), form.get("josso_password", ""))
        cookie = {"Set-Cookie": f"{COOKIE}={token}; Path=/; HttpOnly"}
        return self._send(replace(_page(SIGNED_ON_PAGE), headers=cookie), struck)

    @property
    def _token(self) -> str | None:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        return cookie.value if cookie else None

    def _table(self, path: str, query: dict[str, str]) -> Reply:
        if self.archive.has_expired(self._token):
            return _page(LOGIN_PAGE)
        everything = self.archive.user_of(self._token) is not None
        kind = path.removeprefix(SEARCH)
        try:
            if path == TAP:
                text = self.archive.tables.tap(query.get("query", ""), everything=everything)
            elif path.startswith(SEARCH) and kind in ("raw", "sci"):
                if query.get("ct") != "csv":
                    return _xml("this look-alike knows no other table format than ct=csv")
                text = self.archive.tables.search(kind, query, everything=everything)
            else:
                return _page("<html><body>Not found</body></html>", status=404)
        except Refused as error:
            return _xml(str(error))
        return _page(text, "text/csv; charset=UTF-8")

    def _file(self, path: str) -> Reply:
        if self.archive.has_expired(self._token):
            return _page(LOGIN_PAGE)
        parts = path.split("/")
        inside = parts[0] in ("raw", "sci") and not {"", ".", ".."} & set(parts)
        file = self.archive.tree / path
        is_visible = self.archive.user_of(self._token) is not None or (
            self.archive.is_published(path) and not self.archive.is_private(path)
        )
        if not (inside and is_visible and file.is_file()):
            return _page("<html><body><h1>404 Not Found</h1></body></html>", status=404)
        changed = {"Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)}
        return Reply(file.read_bytes(), "application/fits", headers=changed)

    def _send(self, reply: Reply, struck: Injected | None) -> None:
        fault = struck.fault if struck else None
        if fault is Fault.RESET:
            self.close_connection = True
            return
        if struck:
            reply = _spoiled(reply, struck)
        half = len(reply.body) // 2
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.type)
        announced = len(reply.body) + (_BLOCK if fault is Fault.WRONG_LENGTH else 0)
        self.send_header("Content-Length", str(announced))
        for key, value in reply.headers.items():
            self.send_header(key, value)
        self.end_headers()
        if fault not in (Fault.TRUNCATED, Fault.STALL, Fault.SLOW):
            self.wfile.write(reply.body)
            self.close_connection |= fault is Fault.WRONG_LENGTH
            return
        self.wfile.write(reply.body[:half])
        self.wfile.flush()
        if fault is Fault.SLOW:
            self.archive.closing.wait(_PAUSE)
            self.wfile.write(reply.body[half:])
            return
        if fault is Fault.STALL:
            self.archive.closing.wait()
        self.close_connection = True


def _spoiled(reply: Reply, struck: Injected) -> Reply:
    """The reply after a fault that shows in its content."""
    fault = struck.fault
    if fault in _STATUS:
        headers = {"Retry-After": struck.retry_after} if struck.retry_after else {}
        return Reply(f"<html><body>{fault}</body></html>".encode(), "text/html", _STATUS[fault], headers)
    if fault is Fault.REDIRECT:
        return Reply(b"", "text/html", 302, {"Location": struck.text or "/"})
    if fault is Fault.HTML:
        return _page(HTML_PAGE if struck.text is None else struck.text)
    if fault is Fault.XML:
        return _xml("Unable to process the request" if struck.text is None else struck.text)
    if fault is Fault.LOGIN_PAGE:
        return _page(LOGIN_PAGE)
    if fault is Fault.EMPTY:
        return replace(reply, body=reply.body.splitlines(keepends=True)[0] if "csv" in reply.type else b"")
    if fault is Fault.SHORT:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if fault is Fault.CORRUPT:
        at = max(len(reply.body) - _BLOCK - 32, 0)
        return replace(reply, body=reply.body[:at] + b"\xa5" * 32 + reply.body[at + 32 :])
    return reply
