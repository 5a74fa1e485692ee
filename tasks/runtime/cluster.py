"""The workers of a Dask cluster as the engine that computes; they see the same store."""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent.futures import CancelledError
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError

from tasks.runtime.engine import call_by_path, ignore_long_comments, use_one_thread
from ztf_in2p3.errors import Mistyped, TransientError

LOOK_AGAIN = 5.0
"""Seconds between looks whether the scheduler is still there while work is awaited."""


def exposure(address: str) -> str | None:
    """Warning about a scheduler that strangers may reach; None if nothing is wrong with its address.

    Whoever reaches a Dask scheduler without TLS runs programs as the one who started it.  An address of this
    machine or of a private network (RFC 1918, link-local, IPv6 unique local) is taken to be behind a fence.
    """
    parts = urlsplit(address)
    if parts.scheme == "tls" or not parts.hostname:
        return None
    try:
        hosts = {entry[4][0] for entry in socket.getaddrinfo(parts.hostname, None)}
    except OSError:
        return None  # that nobody answers, others say
    public = sorted(host for host in hosts if ipaddress.ip_address(str(host).partition("%")[0]).is_global)
    if not public:
        return None
    return (
        f"the Dask scheduler {address} has a public address ({', '.join(map(str, public))}) and no TLS: whoever "
        "reaches it can run programs as you; start it with --interface of the private network, or with TLS (README)"
    )


class Cluster:
    """Looks like `tasks.runtime.engine.Workers`.

    Parameters
    ----------
    address
        Address of the scheduler.  Workers may come and go: what one of them had under way, another does again.

    Raises
    ------
    ValueError
        Nobody answers there.
    """

    def __init__(self, address: str) -> None:
        self.scheduler, self.warning, self.peak_bytes = address, exposure(address), 0
        self._lock = threading.Lock()
        try:
            self._client = Client(address, set_as_default=False)
        except (OSError, ValueError) as error:
            raise Mistyped(f"no Dask scheduler answers at {address}: {error}") from error
        self._client.register_plugin(_OneThread())

    def call(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Result of the function at ``module:name``, computed by a worker.

        Raises
        ------
        TransientError
            Every worker that tried it died, or the scheduler did.
        """
        self._require_scheduler(path)
        try:
            future = self._client.submit(call_by_path, path, args, kwargs, pure=False)
            while not _ended(future):
                self._require_scheduler(path)
            result, peak = future.result()
        except (KilledWorker, CancelledError, CommClosedError, ClosedClientError) as error:
            raise TransientError(f"the cluster lost {path}: {error}") from error
        with self._lock:
            self.peak_bytes = max(self.peak_bytes, peak)
        return result

    def _require_scheduler(self, path: str) -> None:
        # A client that found its scheduler no more closes, but takes work until it has: nobody will ever do that.
        if self._client.status in ("closing", "closed"):
            raise TransientError(f"the scheduler at {self.scheduler} is gone: {path} has nobody to do it")

    def close(self) -> None:
        """Let the workers go."""
        self._client.close()


def _ended(future: Future) -> bool:
    try:
        future.exception(timeout=LOOK_AGAIN)
    except TimeoutError:
        return False
    return True


class _OneThread(WorkerPlugin):
    """The parallelism is over products."""

    name = "one-thread"

    def setup(self, worker: Worker) -> None:
        ignore_long_comments()
        use_one_thread()
