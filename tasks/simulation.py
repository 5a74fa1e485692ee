"""A simulated survey on disk."""

from __future__ import annotations

from pathlib import Path

from prefect.logging import get_run_logger

from lib.camera import ZTF
from lib.simulate.exposures import NightPlan, real_size_night, tiny_night
from lib.simulate.survey import simulate_night
from tasks.policies import query_task
from tasks.settings import cores

REAL_SIZE_CCD = 6
"""The CCD that the demonstration simulates at real size."""


def night_of(camera: str) -> NightPlan:
    """Plan of the demonstration: all CCDs of the tiny camera, or one of ZTF's."""
    return real_size_night(REAL_SIZE_CCD) if camera == ZTF.name else tiny_night(n_bias=6, n_flat=3)


@query_task
def simulate(plan: NightPlan, folder: str, workers: int | None) -> None:
    """Write what is missing of a night's files."""
    count = cores() if workers is None else max(workers, 1)
    written = simulate_night(plan, Path(folder), workers=count)
    get_run_logger().info("%d CCD exposures, %d files written to %s", len(plan.ccd_exposures), written, folder)
