"""A web archive over a simulated tree: IRSA's queries, addresses and login, and its failures on demand.

    with IrsaLookalike(tree) as irsa:
        archive = open_archive(irsa.url)            # and everything works as against the real one
        irsa.inject(Fault.TRUNCATED, "*sciimg.fits", times=2)

It answers on the loopback interface only.  What it says is written from IRSA's documentation
("ZTF API Queries") and from what users of the real archive report; it shares no code with the
client, so that a misunderstanding of one shows against the other.

The tree holds ``raw/`` and ``sci/`` in the archive's layout, and ``meta/raw.csv`` and
``meta/sci.csv`` with the archive's columns.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Self

from ztf_in2p3.simulate.server.answers import Answers
from ztf_in2p3.simulate.server.faults import Fault, Injected, Weather
from ztf_in2p3.simulate.server.quirks import USUAL, Quirk, Quirks
from ztf_in2p3.simulate.server.tables import ArchiveTables

__all__ = ["Fault", "Injected", "IrsaLookalike", "Quirk", "Quirks", "Seen", "Weather"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    user: str | None
    """Whose session it belongs to."""
    fault: Fault | None
    cookie: str = ""
    """Header of that name, as it came."""


class IrsaLookalike:
    """Serves a tree as IRSA would; a context manager.

    Parameters
    ----------
    tree
        The simulated survey.
    faults
        To start with; more by `inject`.
    private
        Patterns of the files (paths below the tree) that only users see: to all others their
        rows do not exist and their files are not found.
    users
        Passwords by user name.  A wrong password is answered like a right one, by a session
        that sees no more than the public: so it is with the real archive.
    today
        Files whose `ipac_pub_date` lies later are listed, and not found unless a user asks.
        None: everything is public by now.
    quirks
        Oddities of the tables, which the real archive's have too.  None: none.
    weather
        Faults that strike a random share of the requests for tables and files.  None: fair weather.
    """

    def __init__(
        self,
        tree: Path,
        *,
        faults: Collection[Injected] = (),
        private: Collection[str] = (),
        users: Mapping[str, str] | None = None,
        today: date | None = None,
        quirks: Quirks | None = USUAL,
        weather: Weather | None = None,
    ) -> None:
        self.tree = tree.resolve()
        self.private = tuple(private)
        self.users = dict(users or {})
        self.today = today
        self.requests: list[Seen] = []
        """All requests so far, in the order of arrival."""
        self.busiest = 0
        """Largest number of data requests that were under way at a time."""
        self.under_way = 0
        """Data requests being answered now."""
        self.tables = ArchiveTables(self.tree / "meta", self.is_private, quirks)
        self.closing = threading.Event()
        self._faults = list(faults)
        self._weather = weather
        self._asked: Counter[str] = Counter()
        self._sessions: dict[str, str | None] = {}
        self._expired: set[str] = set()
        self._lock = threading.Lock()
        self._open_gate = threading.Event()
        self._open_gate.set()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._open_gate.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self.tables.close()

    @property
    def url(self) -> str:
        """Base address, which stands for ``https://irsa.ipac.caltech.edu``."""
        if self._server is None:
            raise RuntimeError("not serving yet: use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def inject(
        self,
        fault: Fault,
        pattern: str = "*",
        *,
        times: float = 1,
        retry_after: str | None = None,
        text: str | None = None,
    ) -> None:
        """Let the next requests whose path matches fail; faults for one path wait for each other."""
        with self._lock:
            self._faults.append(Injected(fault, pattern, times, retry_after, text))

    def heal(self) -> None:
        """No more faults, and fair weather."""
        with self._lock:
            self._faults.clear()
            self._weather = None

    def expire_sessions(self) -> None:
        """Every session so far ends: the next request in one gets the login page."""
        with self._lock:
            self._expired |= set(self._sessions)
            self._sessions.clear()

    def hold(self) -> None:
        """Keep data requests waiting, until `release`."""
        self._open_gate.clear()

    def release(self) -> None:
        """Let requests that were held back go on."""
        self._open_gate.set()

    # --- for the answers

    def log_in(self, user: str, password: str) -> str:
        """A new session's token: the user's, or an anonymous one."""
        known = user in self.users and secrets.compare_digest(self.users[user].encode(), password.encode())
        token = secrets.token_hex(16)
        with self._lock:
            self._sessions[token] = user if known else None
        return token

    def user_of(self, token: str | None) -> str | None:
        """User whose session a token opens; None if it opens none."""
        return self._sessions.get(token or "")

    def has_expired(self, token: str | None) -> bool:
        """Whether a token's session has ended."""
        return token in self._expired

    def note(self, method: str, path: str, query: Mapping[str, str], token: str | None, cookie: str) -> Injected | None:
        """Write a request down; the fault that befalls it."""
        with self._lock:
            struck = next(
                (injected for injected in self._faults if injected.times > 0 and fnmatchcase(path, injected.pattern)),
                None,
            )
            if struck:
                struck.times -= 1
            elif self._weather and method == "GET":
                address = f"{path}?{sorted(query.items())}"
                self._asked[address] += 1
                fault = self._weather.fault(address, self._asked[address])
                struck = Injected(fault) if fault else None
            self.requests.append(
                Seen(method, path, query, self.user_of(token), struck.fault if struck else None, cookie)
            )
            return struck

    def is_private(self, path: str) -> bool:
        """Whether a file needs a login."""
        return any(fnmatchcase(path, pattern) for pattern in self.private)

    def is_published(self, path: str) -> bool:
        """Whether a file is public today."""
        return self.today is None or (self.tables.public_from(path) or date.min) <= self.today

    @contextmanager
    def data_request(self) -> Iterator[None]:
        """Counts those under way, and keeps them waiting while the gate is closed."""
        with self._lock:
            self.under_way += 1
            self.busiest = max(self.busiest, self.under_way)
        try:
            self._open_gate.wait()
            yield
        finally:
            with self._lock:
                self.under_way -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, archive: IrsaLookalike) -> None:
        self.archive = archive
        super().__init__(("127.0.0.1", 0), Answers)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early (it may want the header only) is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
