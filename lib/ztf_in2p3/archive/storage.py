"""Files of a catalogue in a folder, a bucket or behind a web server, read in pieces.

All three tell apart what is not there (`NotInArchive`), what may not be read (`AccessDenied`) and what may
answer later (`TransientError`).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp
import botocore.session
import s3fs
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from ztf_in2p3.archive.errors import AccessDenied, NotInArchive
from ztf_in2p3.archive.web_storage import WebStorage
from ztf_in2p3.errors import BadData, TransientError

T = TypeVar("T")

_PASSING = {408, 425, 429}
"""Answers below 500 that another try may better."""


class Storage(Protocol):
    """A tree of files."""

    def address(self, path: str) -> str:
        """Full name of a file or folder, for messages."""
        ...

    def read(self, path: str) -> bytes:
        """Content of a small file."""
        ...

    def open(self, path: str) -> AbstractContextManager[Any]:
        """A file to be read at any place of it."""
        ...

    def names(self, path: str) -> list[str]:
        """Files below a folder, relative to it, sorted; none where there is no such folder."""
        ...


def storage_at(location: str, **options: Any) -> Storage:
    """The tree of files at a folder, an ``s3://bucket/prefix`` or an ``http(s)://`` address.

    Parameters
    ----------
    options
        S3: those of s3fs (``endpoint_url``, ``key``, ``anon``, ...).  Web: those of `WebStorage`.  A folder takes none.

    Raises
    ------
    ValueError
        The location is of none of these forms.
    """
    parts = urlsplit(location)
    if location.startswith("s3://") and parts.netloc:
        return S3Storage(location.removeprefix("s3://").rstrip("/"), options)
    if location.startswith(("http://", "https://")) and parts.hostname:
        return WebStorage(location, **options)
    if location.startswith("file:///"):
        return FolderStorage(Path(unquote(parts.path)))
    if not location.strip() or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", location):
        raise ValueError(
            f"no catalogue can be at {location!r}: expected a folder, s3://bucket/prefix, https://host/path or file:///path"
        )
    return FolderStorage(Path(location).expanduser())


@dataclass(frozen=True)
class FolderStorage:
    """Files below a folder."""

    root: Path

    def address(self, path: str) -> str:
        """Path of a file, for messages."""
        return str(self.root / path)

    def read(self, path: str) -> bytes:
        """Content of a file."""
        with self.open(path) as stream:
            return bytes(stream.read())

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """A file as a stream that can be read in pieces."""
        with _sorted_errors(self.address(path)), (self.root / path).open("rb") as stream:
            yield stream

    def names(self, path: str) -> list[str]:
        """Paths of all files below a folder, from that folder on, sorted; none if there is no such folder."""
        folder = self.root / path
        paths: list[str] = []

        def refuse(error: OSError) -> None:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise error

        with _sorted_errors(self.address(path)):
            for parent, _, files in os.walk(folder, onerror=refuse):
                paths += [(Path(parent) / name).relative_to(folder).as_posix() for name in files]
        return sorted(paths)


@dataclass
class S3Storage:
    """Objects below ``bucket/prefix``: with the credentials that botocore finds, else as anybody may read them."""

    root: str
    options: dict[str, Any]
    _connected: s3fs.S3FileSystem | None = field(default=None, init=False, repr=False)

    def address(self, path: str) -> str:
        """Address of an object, for messages."""
        return f"s3://{self._name(path)}"

    def read(self, path: str) -> bytes:
        """Content of an object."""
        return self._ask(path, lambda s3: bytes(s3.cat_file(self._name(path))))

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """An object as a stream that can be read in pieces."""
        # Without read-ahead: a partition has 150 columns, of which nine are read.
        stream = self._ask(path, lambda s3: s3.open(self._name(path), "rb", cache_type="none"))
        with _sorted_errors(self.address(path)), stream:
            yield stream

    def names(self, path: str) -> list[str]:
        """Paths of all objects below a folder, from that folder on, sorted; none if there is no such folder."""
        folder = f"{self._name(path)}/"
        try:
            keys = self._ask(path, lambda s3: s3.find(folder))
        except NotInArchive:
            return []
        return sorted(name.removeprefix(folder) for name in keys)

    def _name(self, path: str) -> str:
        return f"{self.root}/{path}".rstrip("/")

    def _ask(self, path: str, question: Callable[[s3fs.S3FileSystem], T]) -> T:
        if self._connected is None:
            self._connected = self._connect({})
        with _sorted_errors(self.address(path)):
            try:
                return question(self._connected)
            except PermissionError:
                if self._connected.anon or {"anon", "key"} & set(self.options):
                    raise
                # Keys of another service (a site's own) are refused where nobody needs any.
                anybody = self._connect({"anon": True})
                answer = question(anybody)
                self._connected = anybody
                return answer

    def _connect(self, more: dict[str, Any]) -> s3fs.S3FileSystem:
        known = {"anon", "key"} & set(self.options)
        options = {"anon": not known and not _has_credentials(), **self.options, **more}
        session = AioSession()
        session.register_component("data_loader", _models())
        return s3fs.S3FileSystem(session=session, use_listings_cache=False, skip_instance_cache=True, **options)


@cache
def _models() -> Any:
    """What botocore knows of its services, read once a process: each catalogue opened would cost it again."""
    return AioSession().get_component("data_loader")


@cache
def _has_credentials() -> bool:
    return botocore.session.Session().get_credentials() is not None


@contextmanager
def _sorted_errors(address: str) -> Iterator[None]:
    """Sort the many errors of the layers below by what to do about them."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if "bucket" in str(error):
            raise NotInArchive(
                f"{address}: there is no such bucket at the S3 service that is asked; check the name, and where "
                "AWS_ENDPOINT_URL names another service give the address as https://BUCKET.s3.amazonaws.com/..."
            ) from error
        raise NotInArchive(f"{address} is not there; check the address") from error
    except (PermissionError, NoCredentialsError) as error:
        raise AccessDenied(
            f"{address}: not allowed to read it ({error}); give the storage's credentials, or the right to read"
        ) from error
    except (BotoCoreError, aiohttp.ClientError) as error:
        raise TransientError(f"{address}: the storage did not answer ({error}); try again") from error
    except OSError as error:
        status = _status(error)
        if (400 <= status < 500 and status not in _PASSING) or error.errno == errno.ENAMETOOLONG:
            raise BadData(f"{address}: the storage refuses to read it ({error}); check the address") from error
        raise TransientError(f"{address}: the storage did not answer ({error}); try again") from error


def _status(error: OSError) -> int:
    """HTTP status behind an error that s3fs translated; 0 if unknown."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return 0
    return int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
