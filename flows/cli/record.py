"""The record that `serve` keeps in ``PREFECT_HOME`` while it runs: whose server answers, and where.

Whoever answers on a port of this machine may be anybody.  A server is the user's own if the
record of the same ``PREFECT_HOME`` belongs to the user and is locked: the system drops the lock
when the process that holds it ends, however it ended, and nobody else can take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ztf_in2p3.errors import PipelineError

NAME = "ztf-serve.json"


class AlreadyServed(PipelineError):
    """Another `serve` works with the same database."""


@contextmanager
def serving(home: Path, api: str) -> Iterator[None]:
    """Hold the record.

    Raises
    ------
    AlreadyServed
        Another process holds it: two schedulers and two workers on one database do everything twice.
    """
    path = home / NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(descriptor):
            raise AlreadyServed(
                f"serve already runs {_whose(path)}with the database in {home}; stop it, or give --home another folder"
            )
        text = json.dumps({"api": api, "pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        yield
    finally:
        os.close(descriptor)  # drops the lock; the file stays, so that all processes lock the same one


def served_api(home: Path) -> str | None:
    """Address of the API of the user's own `serve` of that folder, on this machine; None if there is none."""
    path = home / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.getuid() or not _is_locked(descriptor):
            return None
        record = _read(path)
    finally:
        os.close(descriptor)
    return record.get("api") if record.get("host") == socket.gethostname() else None


def _lock(descriptor: int) -> bool:
    for _ in range(10):  # a command that looks at the record holds it for an instant
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _whose(path: Path) -> str:
    record = _read(path)
    return f"(process {record['pid']} on {record['host']}, {record['api']}) " if record else ""


def _read(path: Path) -> dict:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and {"api", "pid", "host"} <= set(record) else {}
