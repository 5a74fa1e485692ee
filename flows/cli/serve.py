"""What an operator's machine runs: server, work pool, worker and deployments, until interrupted."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.cli.interrupt import Stopped
from flows.cli.processes import Supervised
from flows.cli.record import serving
from flows.cli.server import SERVED_PORT, home_folder, started, talking_to
from ztf_in2p3.errors import PipelineError

POOL = "ztf"
LOOK_SECONDS = 1.0


class ServeFailed(PipelineError):
    """Something that must run all the time has ended."""


def serve(*, home: Path | None = None, host: str = "127.0.0.1", port: int = SERVED_PORT) -> None:
    """Run Prefect's server, a worker and all deployments, until interrupted.

    Runs that a server before this one left unfinished are marked as crashed, or run now if they had not begun; their
    places in the queue are free.

    Parameters
    ----------
    home
        Folder of the server's database; PREFECT_HOME, else ~/.prefect, if not given.  One serve for each.
    host
        Address on which the server listens.  Whoever reaches it can run programs as you.
    port
        Of the server.
    """
    folder = home_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_loopback(host):
        sys.stderr.write(
            f"serve: {host} is open to other machines: whoever reaches it can run programs as you, unless "
            "PREFECT_SERVER_API_AUTH_STRING=user:password (and PREFECT_API_AUTH_STRING for the clients) is set\n"
        )
    os.environ.pop("PREFECT_API_URL", None)  # of another server
    with (
        serving(folder, f"http://127.0.0.1:{port}/api"),
        started(folder, port, host) as (api, running),
        talking_to(api),
    ):
        from flows.cli.predecessor import create_pool, end_orphans
        from flows.cli.schedule import Schedules
        from tasks.runtime.settings import deployments_file

        create_pool(POOL)
        for line in end_orphans(POOL):
            sys.stderr.write(f"serve: {line}\n")
        listed = deployments_file()
        sys.stderr.write(f"serve: deployments of {listed}; their runs work in {Path.cwd()}\n")
        prefect("deploy", "--all", "--no-prompt", "--prefect-file", str(listed))
        with _worker() as worker, _stopped_quietly():
            sys.stderr.write(f"\nPrefect is at {api.removesuffix('/api')}; stop with Ctrl-C.\n")
            schedules = Schedules(folder / "server.log")
            while running.code is None and worker.wait(LOOK_SECONDS) is None:
                for line in schedules.news():
                    sys.stderr.write(f"serve: {line}\n")
            who, code = ("server", running.code) if running.code is not None else ("worker", worker.code)
            raise ServeFailed(f"the {who} ended with code {code}; see above, and {folder / 'server.log'}")


@contextmanager
def _stopped_quietly() -> Iterator[None]:
    """A signal is how it is meant to end."""
    try:
        yield
    except Stopped as stopped:
        stopped.last_resort.cancel()  # worker and server have their time to end


@contextmanager
def _worker() -> Iterator[Supervised]:
    worker = Supervised([sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"])
    try:
        yield worker
    finally:
        sys.stderr.write("stopping\n")
        worker.stop()


def prefect(*arguments: str) -> None:
    """Run a command of Prefect's, which prints what it does."""
    running = Supervised([sys.executable, "-m", "prefect", *arguments])
    try:
        while (code := running.wait(LOOK_SECONDS)) is None:
            pass
    finally:
        running.stop()
    if code:
        raise ServeFailed(f"`prefect {' '.join(arguments)}` ended with code {code}; see above")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
