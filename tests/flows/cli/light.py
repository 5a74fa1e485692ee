"""A flow that costs nothing, to see schedules, workers and crashes: it waits until it may go on."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import flow


@flow
def light(folder: str) -> None:
    """Leave ``began``, wait for ``go``, leave ``done``."""
    here = Path(folder)
    (here / "began").touch()
    while not (here / "go").exists():
        time.sleep(0.1)
    (here / "done").touch()
