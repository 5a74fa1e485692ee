"""How far a flow has come: a bar in a terminal, a progress artifact in the orchestrator."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tasks.runtime.policies import Launched

PAUSE_SECONDS = 2.0
"""Pause between updates of the artifact: each is a request to the server."""
LINE_SECONDS = 30.0
"""Pause between lines of the log, for those who see no bar."""


class Arrivals:
    """Counts files and bytes as they arrive, from any thread."""

    def __init__(self, what: str, n_files: int, bar: Progress) -> None:
        self._lock = threading.Lock()
        self._n_files, self._n, self._bytes = n_files, 0, 0
        self._bar, self._row = bar, bar.add_task(what, total=n_files, size="")
        created: Any = create_progress_artifact(0.0, key=f"{what}-progress", description=f"{n_files} files")
        self._artifact: UUID = created
        self._what, self._began = what, time.monotonic()
        self._shown = self._logged = self._began

    def came(self, n_byte: int) -> None:
        """Count bytes of a file; negative for what has to come again."""
        with self._lock:
            self._bytes += n_byte
            self._draw()

    def file_done(self) -> None:
        """One more file is in the store, downloaded now or before."""
        with self._lock:
            self._n += 1
            self._tell()

    def line(self, seconds: float) -> str:
        """How far it has come after some seconds, and how long the others will take at this pace."""
        left = f", about {seconds * (self._n_files - self._n) / self._n:.0f} s left" if self._n else ""
        size = f", {self._bytes / 1e6:.0f} MB" if self._bytes else ""
        return f"{self._what}: {self._n} of {self._n_files} in {seconds:.0f} s{size}{left}"

    def reached(self, n_files: int) -> None:
        """Count files that are there, in all."""
        with self._lock:
            self._n = n_files
            self._tell()

    def _tell(self) -> None:
        self._draw()
        if time.monotonic() - self._shown > PAUSE_SECONDS:
            self.show()
        if time.monotonic() - self._logged > LINE_SECONDS:
            self._logged = time.monotonic()
            get_run_logger().info("%s", self.line(self._logged - self._began))

    def _draw(self) -> None:
        self._bar.update(self._row, completed=self._n, size=f"{self._bytes / 1e6:.0f} MB" if self._bytes else "")

    def show(self) -> None:
        """Update the progress artifact."""
        self._shown = time.monotonic()
        update_progress_artifact(self._artifact, 100.0 * self._n / max(self._n_files, 1))


@contextmanager
def arrivals(what: str, n_files: int) -> Iterator[Arrivals]:
    """Counter of arriving files, shown while the context lasts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[size]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), disable=not sys.stderr.isatty()) as bar:
        counted = Arrivals(what, n_files, bar)
        yield counted
        counted.show()


def shown(what: str, under_way: Sequence[Launched]) -> Sequence[Launched]:
    """Tasks, once all have come to their end."""
    with arrivals(what, len(under_way)) as arrived:
        for task_run in under_way:
            task_run.future.wait()
            arrived.file_done()
    return under_way
