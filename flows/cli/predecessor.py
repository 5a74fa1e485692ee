"""What is done before a worker starts: its pool, and an end to the runs that died with the server before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed
from prefect.workers.process import ProcessWorker

UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
REASON = "the server and worker that ran it were stopped"


def create_pool(name: str) -> None:
    """Create the work pool that deployments name; if there is one, it stays as it was set, paused or not."""
    template = ProcessWorker.get_default_base_job_template()  # the form of the settings of a run's process
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def mark_crashed(pool: str) -> list[str]:
    """Mark the runs of a work pool that nobody executes any more, and what runs within them; free their slots.

    To be called before a worker starts: whatever is under way then has nobody who does it.

    Returns
    -------
    A line each, to be shown.
    """
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
    with get_client(sync_client=True) as client:
        dead = client.read_flow_runs(
            flow_run_filter=unfinished, work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
        )
        for run in dead:
            for lost in _with_runs_within(client, run):
                _mark_tasks(client, lost)
                client.set_flow_run_state(lost.id, Crashed(message=REASON), force=True)
        freed = _free_slots(client)
    return [
        f"{run.name} was {run.state_name or run.state_type} when the server before this one stopped: marked Crashed"
        for run in dead
    ] + freed


def _with_runs_within(client: SyncPrefectClient, run: FlowRun) -> Iterator[FlowRun]:
    within = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)),
        )
    )
    for inner in within:
        yield from _with_runs_within(client, inner)
    yield run


def _mark_tasks(client: SyncPrefectClient, run: FlowRun) -> None:
    of_run = FlowRunFilter.model_validate({"id": {"any_": [run.id]}})
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNFINISHED)))
    while tasks := client.read_task_runs(flow_run_filter=of_run, task_run_filter=unfinished):
        for task in tasks:
            client.set_task_run_state(task.id, Crashed(message=REASON), force=True)


def _free_slots(client: SyncPrefectClient) -> list[str]:
    """Where a slot is still counted as taken although nothing runs: the lease was in the lost server's memory."""
    freed = []
    for deployment in client.read_deployments():
        limit = deployment.global_concurrency_limit
        if limit and limit.active_slots:
            client.update_global_concurrency_limit(str(limit.id), GlobalConcurrencyLimitUpdate(active_slots=0))
            freed.append(f"{deployment.name}: {limit.active_slots} slots were still taken, by nobody: freed")
    return freed
