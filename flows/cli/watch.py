"""A command whose server is lost ends: nothing that it does could be shown any more."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flows.cli.health import listens_here, problem_at

LOOK_SECONDS = 3.0
LOST_SECONDS = 30.0
"""Seconds without an answer.  A busy server may be silent for some seconds."""
BUSY_SECONDS = 300.0
"""The same where the server of this machine, whose cores may all be at work for us, still takes connections."""
LOST = "the server was lost: {problem}; what was made is in the store, the same command goes on from there"


@contextmanager
def ending_without(api: str, name: str) -> Iterator[None]:
    """While within, this process ends with code 1 and one line if the server does not answer any more."""
    over = threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not over.wait(LOOK_SECONDS):
            problem = problem_at(api)
            if problem is None:
                last = time.monotonic()
            elif time.monotonic() - last > (BUSY_SECONDS if listens_here(api) else LOST_SECONDS):
                sys.stderr.write(f"ztf {name} failed: {LOST.format(problem=problem)}\n")
                sys.stderr.flush()
                os._exit(1)  # its threads wait for answers that never come; its workers end with it

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
