"""Processes that never outlive the command that started them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

STOP_SECONDS = 25.0
"""Longer than the supervisor needs for its last signal."""


class Supervised:
    """A command that is stopped, with all that it started, when this process stops it or is gone, however it ended.

    Parameters
    ----------
    output
        File for what it prints; where this process prints if None.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, output: IO[bytes] | None = None
    ) -> None:
        supervisor = [sys.executable, "-I", str(Path(__file__).with_name("supervisor.py"))]
        # The pipe's end is not inherited by any other process that this one starts: it closes when this one is gone.
        self._process = subprocess.Popen(
            [*supervisor, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=dict(environment if environment is not None else os.environ),
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops it in order
        )

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Exit code; None if it still runs after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def stop(self) -> None:
        """Politely, then not."""
        if self._process.stdin:
            self._process.stdin.close()
        if self.wait(STOP_SECONDS) is None:
            self._process.kill()
            self._process.wait()
