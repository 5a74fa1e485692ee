"""A Prefect server on loopback, for a command that was given none.

Prefect would start an ephemeral one by itself, which records no task run; this one shows
everything, for as long as the command runs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ztf_in2p3.errors import PipelineError

START_SECONDS = 120.0

SERVED_PORT = 4200
"""Of `make serve`."""

QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""No telemetry."""

RECORDER = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
}
"""By default 30 task runs a second are recorded; with these more than 130."""


class ServerFailed(PipelineError):
    """No server to report to."""


@contextmanager
def server(home: Path | None = None, port: int | None = None) -> Iterator[str]:
    """Address of the API: that of ``PREFECT_API_URL``, else of `make serve` if it runs here, else of one started now.

    Parameters
    ----------
    home
        Where the server keeps its database; if None ``PREFECT_HOME``, else Prefect's own default.
    port
        Of a server that is started whatever else runs; None: where there is room.

    Raises
    ------
    ServerFailed
        Its port is taken, it ended, or it does not answer; the last lines of its log are in the message.
    """
    os.environ.update(QUIET)
    if os.environ.get("PREFECT_API_URL"):
        yield os.environ["PREFECT_API_URL"]
        return
    if port is None and is_healthy(f"http://127.0.0.1:{SERVED_PORT}/api"):
        yield f"http://127.0.0.1:{SERVED_PORT}/api"
        return
    if port is not None and is_taken(port):
        raise ServerFailed(
            f"port {port} is taken, perhaps by another server of Prefect; stop that, or take another port"
        )
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/api"
    home = Path(home or os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)
    log = home / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | RECORDER | {"PREFECT_SERVER_UI_API_URL": url}
    with log.open("wb") as output:
        running = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until_healthy(url, running, log)
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        stop(running)


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until_healthy(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        if is_healthy(url):
            return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    ended = f"did not answer in {START_SECONDS:.0f} s" if running.poll() is None else f"ended with {running.poll()}"
    raise ServerFailed(f"the Prefect server for {url} {ended}; its log, {log}, says at the end:\n{tail}")


def stop(running: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: politely, then not."""
    for sign, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(running.pid, sign)
            running.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
