"""Files behind a web server, read in pieces where the server hands out pieces."""

from __future__ import annotations

import functools
import io
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

import requests

from ztf_in2p3.archive.errors import AccessDenied, NotInArchive
from ztf_in2p3.archive.patience import Patience, retry_after
from ztf_in2p3.archive.web import Timeouts
from ztf_in2p3.errors import BadData, TransientError

_CHUNK = 1 << 20
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_TIMEOUTS = Timeouts()
_PATIENCE = Patience()
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


class WebStorage:
    """Files below an address.

    Parameters
    ----------
    root
        ``https://host/path``.
    patience, timeouts
        How often a request is repeated that another try may cure, and how long an answer is waited for.
    sleep
        To wait (seconds).
    proxies
        As `requests` takes them; where none are given, those of the environment.  Loopback never goes through one.
    """

    def __init__(
        self,
        root: str,
        *,
        patience: Patience = _PATIENCE,
        timeouts: Timeouts = _TIMEOUTS,
        sleep: Callable[[float], None] = time.sleep,
        proxies: dict[str, str] | None = None,
    ) -> None:
        self.root = root.rstrip("/") + "/"
        self._patience, self._timeouts, self._sleep = patience, timeouts, sleep
        self._session = requests.Session()
        self._session.trust_env = urlsplit(root).hostname not in _LOOPBACK
        self._session.auth = _no_login  # or the password of ~/.netrc would be sent
        self._session.proxies.update(proxies or {})
        self._session.headers["Accept-Encoding"] = "identity"  # or lengths and ranges would mean something else

    def address(self, path: str) -> str:
        """Address of a file on the server."""
        return f"{self.root}{path}"

    def read(self, path: str) -> bytes:
        """Content of a file; BadData where a page comes in its place."""
        content = self._again(functools.partial(self._whole, path))
        if content.lstrip()[:1] == b"<":
            raise _page(self.address(path), content)
        return content

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """A file; downloaded whole first where the server does not hand out pieces."""
        with tempfile.TemporaryFile() as whole:
            size = self._again(functools.partial(self._begin, path, whole))
            yield whole if size is None else _Pieces(functools.partial(self._piece, path), size)

    def names(self, path: str) -> list[str]:
        """Files that the page of a folder links to, if the server shows such pages; those right below it only."""
        folder = f"{path.rstrip('/')}/"
        try:
            page = self._again(functools.partial(self._whole, folder))
        except (NotInArchive, AccessDenied):
            return []
        return sorted(_links(page.decode("utf-8", "replace"), self.address(folder)))

    def _again(self, attempt: Callable[[], Any]) -> Any:
        return self._patience.keep_trying(attempt, self._sleep)

    def _whole(self, path: str) -> bytes:
        with self._answer(path) as response:
            return b"".join(self._chunks(response, self.address(path)))

    def _begin(self, path: str, whole: IO[bytes]) -> int | None:
        """Bytes of a file that comes in pieces; None if it came whole, which was then written to `whole`."""
        with self._answer(path, first=0, last=0) as response:
            total = _TOTAL.match(response.headers.get("Content-Range", ""))
            if response.status_code == 206 and total:
                return int(total[1])
            whole.seek(0)
            whole.truncate()
            for chunk in self._chunks(response, self.address(path)):
                whole.write(chunk)
        whole.seek(0)
        return None

    def _piece(self, path: str, first: int, last: int) -> bytes:
        def attempt() -> bytes:
            with self._answer(path, first=first, last=last) as response:
                piece = b"".join(self._chunks(response, self.address(path)))
            if response.status_code != 206 or len(piece) != last - first + 1:
                raise TransientError(
                    f"{self.address(path)}: {len(piece)} bytes came where {last - first + 1} from {first} on were "
                    "asked for; try again"
                )
            return piece

        return bytes(self._again(attempt))

    def _answer(self, path: str, *, first: int | None = None, last: int | None = None) -> requests.Response:
        address = self.address(path)
        ranged = {} if first is None else {"Range": f"bytes={first}-{last}"}
        try:
            response = self._session.get(
                address, stream=True, timeout=(self._timeouts.connect, self._timeouts.read), headers=ranged
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects) as error:
            raise BadData(f"{address} cannot be asked for ({error}); check the address") from error
        except requests.RequestException as error:
            raise TransientError(f"{address}: no answer ({error}); try again") from error
        if response.status_code not in (200, 206):
            with response:
                raise _refusal(response, address)
        return response

    def _chunks(self, response: requests.Response, address: str) -> Iterator[bytes]:
        announced, received = response.headers.get("Content-Length", ""), 0
        try:
            for chunk in response.iter_content(_CHUNK):
                received += len(chunk)
                yield chunk
        except OSError as error:  # of requests and of the socket
            raise TransientError(f"{address}: broke off after {received} bytes ({error}); try again") from error
        if announced.isdigit() and received != int(announced):
            raise TransientError(f"{address}: {received} bytes came, {announced} were announced; try again")


class _Pieces(io.RawIOBase):
    """A file of which only what is read is asked for."""

    def __init__(self, piece: Callable[[int, int], bytes], size: int) -> None:
        self._piece, self._size, self._at = piece, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        piece = self._piece(self._at, end - 1)
        self._at = end
        return piece

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(page: str, folder: str) -> set[str]:
    anchors = _Anchors()
    anchors.feed(page)
    targets = (urljoin(folder, target).partition("?")[0].partition("#")[0] for target in anchors.targets)
    below = (target.removeprefix(folder) for target in targets if target.startswith(folder))
    return {unquote(name) for name in below if name and "/" not in name}


def _refusal(response: requests.Response, address: str) -> BadData | TransientError:
    status = response.status_code
    if status in (404, 410):
        return NotInArchive(f"{address} is not there ({status}); check the address")
    if status in (401, 403):
        return AccessDenied(f"{address}: not allowed to read it ({status}); ask for the right to, or copy the files")
    if status in (408, 425, 429) or status >= 500:
        return TransientError(
            f"{address}: the server is busy or down ({status} {response.reason}); try again later",
            retry_after=retry_after(response.headers),
        )
    return BadData(f"{address}: unexpected answer {status} {response.reason}; check the address")


def _page(address: str, content: bytes) -> BadData:
    words = " ".join(
        re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", content.decode("utf-8", "replace"), flags=re.S | re.I).split()
    )
    return BadData(f"{address}: a page of text came in the place of the file: {words[:160]!r}; check the address")


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
