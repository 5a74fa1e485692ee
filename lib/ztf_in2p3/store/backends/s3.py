"""Objects in an S3 bucket.

Endpoint, region and credentials come from where botocore looks for them (its own
configuration files and variables); none is ever written down here.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import s3fs
from aiobotocore.session import AioSession
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from ztf_in2p3.errors import BadData, NotAllowed, TransientError
from ztf_in2p3.store.backends import Stat

CLIENT: Mapping[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}
"""Seconds, and tries below those that s3fs makes itself."""

_PASSING = {errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT}
_PRECONDITION_FAILED = 412
_DIGEST = "sha256"
"""Name of the metadata that tells our object from one that another writer put in its place."""


_HTML, _LONGEST_TAG = (b"<!doctype html", b"<html"), 64
"""How a page begins, and bytes that are enough to see it."""
_PAGE = ".html"
"""End of the names of products that are pages."""


@dataclass
class S3Files:
    """Objects below a prefix of a bucket."""

    bucket: str
    prefix: str
    client: Mapping[str, Any] = field(default_factory=lambda: CLIENT)
    """Options of botocore's client configuration."""
    _connected: s3fs.S3FileSystem | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connected": None}  # a connection belongs to its process

    @property
    def _s3(self) -> s3fs.S3FileSystem:
        if self._connected is None:
            session = AioSession()
            session.register_component("data_loader", _models())
            self._connected = s3fs.S3FileSystem(
                session=session, config_kwargs=dict(self.client), use_listings_cache=False, skip_instance_cache=True
            )
        return self._connected

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}".strip("/")

    def _name(self, path: str) -> str:
        return f"{self.bucket}/{self._key(path)}"

    def uri(self, path: str) -> str:
        """Address of an object."""
        return f"s3://{self._name(path)}"

    def absence(self) -> str:
        """Why the bucket cannot be used; empty if it can."""
        with self._told(""):
            try:
                self._s3.call_s3("head_bucket", Bucket=self.bucket)
            except FileNotFoundError:
                return f"there is no bucket {self.bucket}"
        return ""

    def obstacle(self) -> str:
        """Why the bucket cannot be used, for writing does not create one; empty if it can."""
        return self.absence()  # a bucket is made by whoever pays for it, never by writing to it

    def stat(self, path: str) -> Stat | None:
        """Size and stamp of an object; None if there is none."""
        head = self._head(path)
        return None if head is None else Stat(head["ContentLength"], head["ETag"].strip('"'))

    def _head(self, path: str) -> Mapping[str, Any] | None:
        with self._told(path):
            try:
                return self._s3.call_s3("head_object", Bucket=self.bucket, Key=self._key(path))
            except FileNotFoundError:
                return None

    def read(self, path: str) -> bytes | None:
        """Content of an object; None if there is none."""
        with self._told(path):
            try:
                content = self._s3.cat_file(self._name(path), max_concurrency=1)  # or it asks for the size first
            except FileNotFoundError as error:
                if _lacks_bucket(error):
                    raise
                return None
        self._require_object(path, content)
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write an object."""
        with self._told(path):
            self._s3.pipe_file(self._name(path), content)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object unless it is there; whether it was written."""
        with self._told(path):
            try:
                self._s3.call_s3("put_object", Bucket=self.bucket, Key=self._key(path), Body=content, IfNoneMatch="*")
            except OSError as error:
                if _status_and_code(error)[0] == _PRECONDITION_FAILED:
                    return False
                raise
        return True

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder for files that are being made, removed at the end."""
        with tempfile.TemporaryDirectory(prefix="ztf_in2p3_") as folder:
            yield Path(folder)

    def publish(self, file: Path, path: str, sha256: str) -> Stat:
        """Upload a finished file; its size and stamp."""
        with self._told(path):
            self._s3.put_file(str(file), self._name(path), Metadata={_DIGEST: sha256})
        head = self._head(path)
        size = file.stat().st_size
        if head is None or head["ContentLength"] != size or head.get("Metadata", {}).get(_DIGEST) != sha256:
            return Stat(size, "")  # another writer was here since: nothing is known of what is there now
        return Stat(size, head["ETag"].strip('"'))

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """An object as a local file, removed at the end."""
        with self.staging() as folder:
            file = folder / path.rsplit("/", 1)[-1]
            with self._told(path):
                self._s3.get_file(self._name(path), str(file))
            with file.open("rb") as stream:
                self._require_object(path, stream.read(_LONGEST_TAG))
            yield file

    def list(self, folder: str, prefix: str = "") -> Mapping[str, Stat]:
        """Size and stamp of all objects below a folder whose paths begin with the prefix."""
        root = f"{self.bucket}/{self.prefix}".strip("/") + "/"
        with self._told(folder):
            # Asked for what is below an empty folder, it would look in two more ways whether the folder is a file.
            objects = self._s3.find(self.bucket, prefix=f"{self._key(folder)}/{prefix}".lstrip("/"), detail=True)
        return {
            name.removeprefix(root): Stat(entry["size"], entry["ETag"].strip('"'))
            for name, entry in objects.items()
            if entry["type"] == "file"
        }

    def folders(self, folder: str) -> Sequence[str]:
        """Names of the folders in a folder, sorted."""
        with self._told(folder):
            try:
                entries = self._s3.ls(self._name(folder), detail=True, refresh=True)
            except FileNotFoundError as error:
                if _lacks_bucket(error):
                    raise
                return ()
        return sorted(entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")

    def remove(self, path: str) -> None:
        """Remove an object, if it is there."""
        with self._told(path):
            self._s3.rm_file(self._name(path))

    def _require_object(self, path: str, content: bytes) -> None:
        """Refuse a page in the place of an object: a proxy, or a server that is down, sends it with status 200."""
        if not path.endswith(_PAGE) and content[:_LONGEST_TAG].lstrip().lower().startswith(_HTML):
            raise self._not_of_s3(path)

    def _not_of_s3(self, path: str) -> TransientError:
        return TransientError(
            f"{self.uri(path)}: the answer is not S3's, perhaps a page of a proxy or of a server that is down; try "
            "again, and check AWS_ENDPOINT_URL"
        )

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Sort the many errors of the layers below by what to do about them."""
        try:
            yield
        except NoCredentialsError as error:
            raise NotAllowed(
                f"{self.uri(path)}: no credentials found; put a profile in ~/.aws or set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY"
            ) from error
        except PermissionError as error:
            raise NotAllowed(f"{self.uri(path)}: access denied ({error}); check the credentials") from error
        except (HTTPClientError, NoConnection, aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise TransientError(f"{self.uri(path)}: no answer ({error})") from error
        except (FlexibleChecksumError, IncompleteReadError) as error:
            raise TransientError(f"{self.uri(path)}: came damaged or not whole ({error}); try again") from error
        except ResponseParserError as error:  # whose message quotes the whole page
            raise self._not_of_s3(path) from error
        except BotoCoreError as error:
            raise BadData(f"{self.uri(path)}: {error}; correct ~/.aws/config or the AWS_ variables") from error
        except (OSError, ClientError) as error:
            raise self._of_the_service(path, error) from error

    def _of_the_service(self, path: str, error: OSError | ClientError) -> Exception:
        """The error of our own that an error message of the service stands for; its own where that is understood."""
        status, _ = _status_and_code(error)
        if _lacks_bucket(error):
            return BadData(f"{self.uri(path)}: there is no bucket {self.bucket}; create it, or correct the name")
        if getattr(error, "errno", None) in _PASSING or status == 429 or status >= 500:
            return TransientError(f"{self.uri(path)}: the server is busy or failed ({error})")
        if isinstance(error, FileNotFoundError) or not (status or isinstance(error, ClientError)):
            return error
        return BadData(f"{self.uri(path)}: refused ({error}); check bucket, region and AWS_ENDPOINT_URL")


@cache
def _models() -> Any:
    """What botocore knows of its services, read once a process: 0.2 s, which each store opened would cost again."""
    return AioSession().get_component("data_loader")


def _lacks_bucket(error: Exception) -> bool:
    """Whether not only an object but the whole bucket is missing."""
    return _status_and_code(error)[1] == "NoSuchBucket"


def _status_and_code(error: Exception) -> tuple[int, str]:
    """HTTP status and S3 code behind an error, translated by s3fs or not; 0 and empty if unknown."""
    cause = error if isinstance(error, ClientError) else error.__cause__
    if not isinstance(cause, ClientError):
        return 0, ""
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return int(status), str(cause.response.get("Error", {}).get("Code", ""))
