"""A Prefect server on loopback, for a command that was given none.

Prefect would start an ephemeral one by itself, which records no task run; this one shows
everything, for as long as the command runs.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.cli.health import is_healthy, problem_at
from flows.cli.processes import Supervised
from flows.cli.record import served_api
from ztf_in2p3.errors import PipelineError

SERVED_PORT = 4200
"""Port of `serve`, unless it is told another."""

START_SECONDS = 900.0
"""Longest start: on an idle machine it needs ten; on one with ten times more to do than it can, many minutes."""

QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""No telemetry."""

SERVER_SETTINGS = {
    # By default 30 task runs a second are recorded; with these more than 130.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    # In memory, as by default, a server that ends takes along what would free the slots that its runs hold.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


class ServerFailed(PipelineError):
    """No server to report to."""


class WrongServer(PipelineError):
    """The server that the operator named is not there."""


@contextmanager
def server() -> Iterator[str]:
    """Address of the API: that of ``PREFECT_API_URL``, else of the user's own `serve`, else of one started now.

    Raises
    ------
    WrongServer
        Nobody answers where ``PREFECT_API_URL`` says, or no Prefect.
    ServerFailed
        The one that was started ended, or does not answer; the last lines of its log are in the message.
    """
    os.environ.update(QUIET)
    if url := os.environ.get("PREFECT_API_URL"):
        if problem := problem_at(url):
            raise WrongServer(f"PREFECT_API_URL: {problem}; start that server, correct the address, or unset it")
        yield url
    elif api := served_api(home_folder()):
        if not wait_until_healthy(api):
            raise ServerFailed(f"serve runs here, but its server does not answer at {api}; stop it, or wait for it")
        with named_to_children(api):
            yield api
    else:
        with started(home_folder(), free_port()) as (api, _):
            yield api


@contextmanager
def started(home: Path, port: int, host: str = "127.0.0.1") -> Iterator[tuple[str, Supervised]]:
    """A server of our own, and the address of its API.  It ends with this process, however that ends.

    Parameters
    ----------
    home
        Folder of its database and log.
    host
        Address on which it listens.

    Raises
    ------
    ServerFailed
        Its port is taken, it ended, or it does not answer; the last lines of its log are in the message.
    """
    os.environ.update(QUIET)
    if is_taken(port):
        raise ServerFailed(
            f"port {port} is taken, perhaps by another server of Prefect; stop that, or take another port"
        )
    address = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://{address}:{port}/api"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)
    log = home / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    pages = f"http://{socket.getfqdn() if address != host else host}:{port}/api"
    with log.open("wb") as output:
        running = Supervised(command, os.environ | SERVER_SETTINGS | {"PREFECT_SERVER_UI_API_URL": pages}, output)
    try:
        if not wait_until_healthy(url, running):
            ended = f"did not answer in {START_SECONDS:.0f} s" if running.code is None else f"ended with {running.code}"
            raise ServerFailed(f"the Prefect server for {url} {ended}; its log, {log}, says at the end:\n{tail(log)}")
        with named_to_children(url):
            yield url, running
    finally:
        running.stop()


@contextmanager
def named_to_children(api: str) -> Iterator[None]:
    """Processes started within report to that server."""
    os.environ["PREFECT_API_URL"] = api
    try:
        yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)


@contextmanager
def talking_to(api: str) -> Iterator[None]:
    """Have this process's flows report to a server, even if Prefect read its settings before there was one."""
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}):
        try:
            yield
        finally:
            APILogHandler().flush()  # before the server is gone


def home_folder(given: Path | None = None) -> Path:
    """Address of the database: as given, else ``PREFECT_HOME``, else Prefect's own default."""
    return Path(given or os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser().absolute()


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether something listens at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_healthy(url: str, running: Supervised | None = None) -> bool:
    """False if it did not come to answer, or ended."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (running is None or running.code is None):
        if is_healthy(url):
            return True
        time.sleep(0.1)
    return False


def tail(log: Path) -> str:
    """End of a log file."""
    return log.read_text(errors="replace")[-2000:]
