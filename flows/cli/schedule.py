"""Whether the server plans the runs that the schedules ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException

GRACE_SECONDS = 150.0
"""The scheduler looks once a minute."""
LOOK_SECONDS = 10.0


class Schedules:
    """What there is to say about the deployments that have a schedule, as it changes.

    Parameters
    ----------
    log
        Of the server: its scheduler writes there, and nowhere else, why it fails.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._looked = 0.0
        self._planned: dict[str, float] = {}
        self._said: dict[str, bool] = {}

    def news(self) -> Iterator[str]:
        """Lines to be shown; nothing if all is as it was."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            with get_client(sync_client=True) as client:
                yield from self._changes(client)
        except (httpx.HTTPError, PrefectException) as error:  # a busy server; whether it lives, others look
            yield f"the schedules could not be looked at: {error}"

    def _changes(self, client: SyncPrefectClient) -> Iterator[str]:
        now = time.monotonic()
        for deployment in client.read_deployments():
            if deployment.paused or not any(schedule.active for schedule in deployment.schedules):
                continue
            name = deployment.name if deployment.name != "ztf" else client.read_flow(deployment.flow_id).name
            starts = _planned_starts(client, str(deployment.id))
            first_look = self._planned.setdefault(name, now)
            if starts:
                self._planned[name] = now
                if self._said.get(name) is not True:
                    self._said[name] = True
                    yield f"the next run of {name} is planned for {min(starts):%Y-%m-%d %H:%M} UTC"
            elif now - first_look > GRACE_SECONDS and self._said.get(name) is not False:
                self._said[name] = False
                yield self._alarm(name)

    def _alarm(self, name: str) -> str:
        text = (
            f"the scheduler FAILS: {name} has a schedule, but no run has been planned for {GRACE_SECONDS:.0f} s; "
            f"{self._log} says: {last_error(self._log)}"
        )
        create_markdown_artifact(f"# Schedule\n\n{text}", key="schedule-fails", description=text[:200])
        return text


def _planned_starts(client: SyncPrefectClient, deployment_id: str) -> list:
    waiting = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING]))
    )
    of_deployment = DeploymentFilter.model_validate({"id": {"any_": [deployment_id]}})
    runs = client.read_flow_runs(flow_run_filter=waiting, deployment_filter=of_deployment)
    return [run.expected_start_time for run in runs if run.auto_scheduled and run.expected_start_time]


def last_error(log: Path) -> str:
    """The last line of a log that speaks of an error."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if "error" in line.lower()), "nothing about errors")
