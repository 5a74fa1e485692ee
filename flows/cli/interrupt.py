"""Signals that end a command: an orderly end, soon, in one line."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "its terminal is gone"}
UNWIND_SECONDS = 10.0
"""Time for telling the server; then the process just ends.  Products are whole or absent, so nothing is lost."""


class Stopped(BaseException):
    """A signal asked this process to end.  No `Exception`: nothing that goes on after errors may go on after it."""

    def __init__(self, name: str, sign: int) -> None:
        super().__init__(SIGNALS[signal.Signals(sign)])
        self.code = 128 + sign
        """Exit code, as shells have it."""
        self.last_resort = threading.Timer(UNWIND_SECONDS, _leave, (name, self))
        """Ends this process if unwinding takes too long."""
        self.last_resort.daemon = True


@contextmanager
def stopping(name: str) -> Iterator[None]:
    """Context in which the signals raise `Stopped` in the main thread; what is logged after it is not shown."""

    def stop(sign: int, frame: object) -> None:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        logging.disable(logging.CRITICAL)
        stopped = Stopped(name, sign)
        stopped.last_resort.start()
        raise stopped

    # Python's tracker of semaphores cleans up after a process that just ends, and would say so after the last line.
    quiet = os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning"
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, quiet))
    before = {sign: signal.signal(sign, stop) for sign in SIGNALS}
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is stop:
            for sign, handler in before.items():
                signal.signal(sign, handler)


def line(name: str, stopped: Stopped) -> str:
    """Last line of a command that was stopped."""
    return f"ztf {name}: {stopped}; what was made is kept, the same command goes on from there\n"


def _leave(name: str, stopped: Stopped) -> None:
    sys.stderr.write(line(name, stopped))
    sys.stderr.flush()
    os._exit(stopped.code)
