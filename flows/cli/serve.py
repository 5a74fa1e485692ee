"""Server, work pool, worker and deployments on loopback, until interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from flows.cli.server import SERVED_PORT, server, stop

POOL = "ztf"


def serve(*, home: Path | None = None, port: int = SERVED_PORT) -> None:
    """Run Prefect's server, a worker and all deployments, until interrupted.

    The pages, the schedules, and a worker for them: what an operator's machine runs.

    Parameters
    ----------
    home
        Where the server keeps its database; Prefect's own default if None.
    port
        Of the server, on loopback.
    """
    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore the first
        signal.signal(sign, _interrupted)
    with server(home, port) as api:
        prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        prefect("deploy", "--all", "--no-prompt")
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"],
            start_new_session=True,
        )
        sys.stderr.write(f"\nPrefect is at {api.removesuffix('/api')}; stop with Ctrl-C.\n")
        try:
            worker.wait()
        except KeyboardInterrupt:
            sys.stderr.write("stopping\n")
        finally:
            stop(worker)


def prefect(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "prefect", *arguments], check=True, stdin=subprocess.DEVNULL)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
