"""Processes that compute beside a program, whatever program it is."""

from __future__ import annotations

import multiprocessing.context
import sys
import threading
import types

_ONE_AT_A_TIME = threading.Lock()


class _Process(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        """Start without what the child would run of the program: see `spawning`."""
        with _ONE_AT_A_TIME:
            program = sys.modules["__main__"]
            sys.modules["__main__"] = types.ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = program


class _Context(multiprocessing.context.SpawnContext):
    Process = _Process


def spawning() -> multiprocessing.context.SpawnContext:
    """Context of processes that are spawned, never forked, and do not run the calling script again.

    Python lets a spawned process import the program that started it: a plain script without
    ``if __name__ == "__main__"`` would begin anew in each.  Ours are told what to compute by the names of modules, and
    need nothing of the program.
    """
    return _Context()
