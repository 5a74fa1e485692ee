"""Asking a web archive, and understanding its answers.

IRSA answers many mishaps with status 200 and a page of text, so the first bytes decide: a page
is never data.  What was seen is listed in each branch of `_understand`.
"""

from __future__ import annotations

import codecs
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests

from ztf_in2p3.archive.credentials import Credentials
from ztf_in2p3.archive.errors import AccessDenied, LoginRefused, NotInArchive, PageInstead
from ztf_in2p3.archive.http import HttpClient, failures_explained, is_loopback
from ztf_in2p3.archive.pages import is_login_page, is_soon_over, words_of
from ztf_in2p3.archive.patience import moment, retry_after
from ztf_in2p3.errors import BadData, TransientError

LOGIN_PATH = "account/signon/login.do"
CHUNK = 1 << 16
"""Bytes read at a time, where all of them are wanted."""

LONGEST_PAGE = 1 << 18
"""Bytes of an unexpected page that are looked at."""

FRESH_SECONDS = 60.0
"""Age of a session that cannot have ended yet."""

QUOTED = 160
"""Characters of an unexpected page that are shown."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 10.0
    read: float = 60.0
    """Longest silence in the middle of an answer."""
    whole: float = 1800.0
    """Longest answer: 45 MB at 25 kB/s.  A trickle that never falls silent ends here."""


class _LoginWanted(Exception):
    """The archive wants a (new) login before it answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Body of a successful answer, not yet read."""

    length: int | None
    """Bytes announced."""
    date: str
    """When the file was last changed, in the server's words; empty if it does not say."""
    chunks: Iterator[bytes]
    """TransientError while iterating, if the connection breaks or the body ends early."""


class Web:
    """Session with one web archive; may be shared by threads."""

    def __init__(
        self,
        base: str,
        credentials: Credentials | None,
        timeouts: Timeouts,
        clock: Callable[[], float],
        *,
        connections: int = 4,
        proxies: Mapping[str, str] | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        parts = urlsplit(base)
        if parts.username or parts.password:
            raise ValueError("an archive's address must not hold a user name or password: pass them as credentials")
        if credentials and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError(f"{base}: credentials would travel in clear text; use https://")
        self.base = base.rstrip("/") + "/"
        self._credentials = credentials
        self._timeouts = timeouts
        self._clock = clock
        self._http = HttpClient(self.base, connections=connections, proxies=proxies, ca_bundle=ca_bundle)
        self._logging_in = threading.Lock()
        self._logins = 0
        self._logged_in_at = 0.0
        self._answered = 0
        """The latest login in whose session an answer came: a fresh one that did not serve is not mended by another."""
        self.now: datetime | None = None
        """The archive's clock at its last answer; None if it does not say."""

    @contextmanager
    def get(self, path: str, params: Mapping[str, str] | None = None, *, chunk: int = CHUNK) -> Iterator[Answer]:
        """Ask once (and once more after a new login, where the archive wants one).

        Parameters
        ----------
        path, params
            Below the base address; what follows the question mark.
        chunk
            Bytes read at a time; nothing beyond those asked for needs to have come.

        Raises
        ------
        NotInArchive
            404.
        AccessDenied
            401, 403, or a login page although we are freshly logged in.
        TransientError
            429 and 5xx (with `retry_after`), broken connections, silence, a page that speaks of
            maintenance or the like.
        PageInstead
            Any other page in the place of data.
        """
        self.log_in()
        n_login = self._logins
        try:
            response, answer = self._ask(path, params, chunk)
        except NotInArchive:
            if not self._logged_in_since(n_login):
                raise
            response, answer = self._ask(path, params, chunk)
        except _LoginWanted:
            if not self._credentials:
                raise AccessDenied(
                    f"{self.base}{path}: the archive asks for a login; give user name and password of an IRSA account"
                ) from None
            response, answer = self._ask_again(path, params, chunk, n_login)
        self._answered = self._logins
        with response:
            yield answer

    def _ask_again(
        self, path: str, params: Mapping[str, str] | None, chunk: int, n_login: int
    ) -> tuple[requests.Response, Answer]:
        """Ask in a new session, where that of the login number `n_login` has ended: it served, or is an old one."""
        old = self._clock() - self._logged_in_at > FRESH_SECONDS
        if old or self._answered >= n_login or self._logged_in_since(n_login):
            self._log_in(n_login)
            with suppress(_LoginWanted):
                return self._ask(path, params, chunk)
        user = self._credentials.user if self._credentials else ""
        raise AccessDenied(
            f"{self.base}{path}: the archive asks for a login although user {user} has just logged in; check the "
            "password and whether the account may see these data"
        )

    def log_in(self) -> None:
        """Open a session with the credentials, if there are any and none was opened yet."""
        if self._credentials and not self._logins:
            self._log_in(0)

    def _ask(self, path: str, params: Mapping[str, str] | None, size: int) -> tuple[requests.Response, Answer]:
        began = self._clock()
        name = f"{self.base}{path}"
        response = self._send("GET", name, params=params)
        self.now = moment(response.headers.get("Date", ""))
        foreign = self._http.is_foreign(response.url)
        if foreign:
            name = f"{name} (redirected to {urlsplit(response.url).hostname})"
        try:
            chunks = self._chunks(response, name, began, size)
            self._understand_status(response, name, foreign=foreign)
            first = next(chunks, b"")
            if first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
                if foreign:  # whose words they are nobody knows, so they are not shown
                    raise PageInstead(
                        f"{name}: a page of text came in the place of data; open the address in a browser"
                    )
                self._understand_page(first, chunks, name)
        except BaseException:
            response.close()
            raise
        return response, Answer(_length(response), response.headers.get("Last-Modified", ""), _chain(first, chunks))

    def _send(self, method: str, url: str, **what: Any) -> requests.Response:
        with failures_explained(url, self._clean):
            return self._http.request(method, url, (self._timeouts.connect, self._timeouts.read), **what)

    def _chunks(self, response: requests.Response, name: str, began: float, size: int) -> Iterator[bytes]:
        expected, received = _length(response), 0
        try:
            for chunk in response.iter_content(size):
                received += len(chunk)
                if self._clock() - began > self._timeouts.whole:
                    raise TransientError(
                        f"{name}: only {received} bytes in {self._timeouts.whole:g} s; try again later"
                    )
                yield chunk
        except OSError as error:  # of requests and of the socket
            raise TransientError(
                f"{name}: broke off after {received} of {expected or 'an unknown number of'} bytes "
                f"({self._clean(str(error))}); try again"
            ) from None
        if expected is not None and received != expected:
            raise TransientError(f"{name}: {received} bytes came, but {expected} were announced; try again")

    def _understand_status(self, response: requests.Response, name: str, *, foreign: bool) -> None:
        status = response.status_code
        if status == 404:
            raise NotInArchive(f"{name}: the archive has no such file (404)")
        if status in (401, 403):
            if foreign:
                raise AccessDenied(f"{name}: access denied there ({status}); our session is the archive's own only")
            if self._credentials:
                raise _LoginWanted
            raise AccessDenied(f"{name}: access denied ({status}); give user name and password of an IRSA account")
        if status in (408, 425, 429) or status >= 500:
            raise TransientError(
                f"{name}: the server is busy or down ({status} {response.reason}); try again later",
                retry_after=retry_after(response.headers),
            )
        if status != 200:
            raise BadData(f"{name}: unexpected answer {status} {response.reason}; has the archive's address changed?")

    def _understand_page(self, first: bytes, chunks: Iterator[bytes], name: str) -> NoReturn:
        """HTML or XML with status 200: a login page, a passing trouble, or an error message."""
        page = first
        for chunk in chunks:
            page += chunk
            if len(page) > LONGEST_PAGE:
                break
        if is_login_page(page):
            raise _LoginWanted
        words = self._clean(words_of(page))
        message = f"{name}: a page of text came in the place of data: {words[:QUOTED]!r}"
        if is_soon_over(words):
            raise TransientError(f"{message}; try again later")
        raise PageInstead(f"{message}; open the address in a browser to see what the archive objects to")

    def _logged_in_since(self, n_login: int) -> bool:
        """Whether another thread has, or is just about to: without its cookies what is private does not exist."""
        with self._logging_in:
            return self._logins != n_login

    def _log_in(self, n_login: int) -> None:
        """Get new cookies, unless another thread has done so since we last `seen` the count of logins."""
        who = self._credentials
        if who is None:
            raise ValueError("no credentials to log in with")
        with self._logging_in:
            if self._logins != n_login:
                return
            self._http.cookies.clear()
            url = urljoin(self.base, LOGIN_PATH)
            form = {"josso_cmd": "login", "josso_username": who.user, "josso_password": who.password}
            response = self._send("POST", url, data=form, allow_redirects=False)
            for _ in range(5):  # followed by hand, so that the form is sent nowhere else
                target = response.headers.get("Location") if response.is_redirect else None
                if not target or self._http.is_foreign(urljoin(url, target)):
                    break
                response.close()
                url = urljoin(url, target)
                response = self._send("GET", url, allow_redirects=False)
            with response:
                self._understand_login(response, url, who)
            self._logins += 1
            self._logged_in_at = self._clock()

    def _understand_login(self, response: requests.Response, url: str, who: Credentials) -> None:
        """A session is open if cookies came with the page.  A wrong password need not show here."""
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise TransientError(
                f"{url}: logging in failed ({response.status_code} {response.reason}); try again later",
                retry_after=retry_after(response.headers),
            )
        if response.status_code >= 400:
            raise LoginRefused(
                f"{url}: the login of user {who.user} was refused ({response.status_code}); check name and password"
            )
        if not self._http.cookies:
            words = self._clean(words_of(b"".join(self._chunks(response, url, self._clock(), CHUNK))))
            message = f"{url}: no session was opened for user {who.user}: {words[:QUOTED]!r}"
            if is_soon_over(words):
                raise TransientError(f"{message}; try again later")
            raise LoginRefused(f"{message}; check user name and password")

    def _clean(self, text: str) -> str:
        return self._credentials.blank(text) if self._credentials else text


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _chain(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks
