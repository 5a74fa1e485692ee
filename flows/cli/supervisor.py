"""Runs a command that ends with whoever started it, however that one ends.

``python supervisor.py COMMAND...`` with a pipe as standard input: the other end is held by the
process that wants the command to run, and by nobody else.  When that process is gone (SIGKILL
included, where no handler runs) the pipe closes, and the command is stopped with everything that
it started.  A pipe works wherever processes do; ``PR_SET_PDEATHSIG`` is only known on Linux and
does not reach the children of children.

Standard library only, nothing of this package: it costs 20 ms and 10 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

POLITENESS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 2.0))
"""Signals, and the seconds that a command has to end after each."""
SUBREAPER = 36
"""``PR_SET_CHILD_SUBREAPER`` of Linux's ``prctl``: orphans become our children, so that they are found."""


def main(command: list[str]) -> int:
    """Exit code of the command; 128 + its signal where a signal ended it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)  # only the pipe says when to stop
    threading.Thread(target=_stop_with_parent, args=(running,), daemon=True).start()
    code = running.wait()
    end(descendants(os.getpid()))
    return code if code >= 0 else 128 - code


def _stop_with_parent(running: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1):
        pass
    for sign, patience in POLITENESS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, sign)
        if _ended(running, patience):
            return


def _ended(running: subprocess.Popen[bytes], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while running.returncode is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return running.returncode is not None


def end(processes: set[int]) -> None:
    """End what a command left behind; what is gone already does not matter."""
    for pid in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def descendants(ancestor: int) -> set[int]:
    """Process ids of the children of a process, of their children, and so on."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    offspring, generation = set[int](), [ancestor]
    while generation := [child for pid in generation for child in children.get(pid, ()) if child not in offspring]:
        offspring.update(generation)
    return offspring


def _parents() -> list[tuple[int, int]]:
    """Process id, and that of its parent, of every process of the machine."""
    numbers = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended
            after_name = status.read_text(errors="replace").rpartition(")")[2].split()
            numbers.append((int(status.parent.name), int(after_name[1])))
    if not numbers:  # no Linux
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        numbers = [(int(pid), int(parent)) for pid, parent in map(str.split, listed.splitlines())]
    return numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
