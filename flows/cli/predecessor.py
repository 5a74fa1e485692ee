"""What is done before a worker starts: its pool, and an end to the runs that died with the server before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentTaskRunId,
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
from prefect.states import Cancelled, Crashed, Scheduled, State
from prefect.workers.process import ProcessWorker

UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
FINISHED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
REASON = "the server and worker that ran it were stopped"


def create_pool(name: str) -> None:
    """Create the work pool that deployments name; if there is one, it stays as it was set, paused or not."""
    template = ProcessWorker.get_default_base_job_template()  # the form of the settings of a run's process
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def end_orphans(pool: str) -> list[str]:
    """End the runs of a work pool that nobody executes any more, and all that ran within them; free their slots.

    To be called before a worker starts: whatever is under way then has nobody who does it.  A run that was under way
    has crashed, a run that was to be cancelled is cancelled, and a run that had not begun is planned again, for the
    time at which it was due.  A worker that ended a little before its server may have reported the run itself, but
    neither the flows nor the tasks within it.

    Returns
    -------
    A line each, to be shown.
    """
    with get_client(sync_client=True) as client:
        dead = client.read_flow_runs(
            flow_run_filter=_flow_runs(UNFINISHED),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
        # The runs within first: a page that shows an end for a run shows no work of it under way.
        for inner in _within(client, pool):
            client.set_flow_run_state(inner.id, Crashed(message=REASON), force=True)
        lines = []
        for run in dead:
            state, line = _end_of(run)
            client.set_flow_run_state(run.id, state, force=True)
            lines.append(f"{run.name} was {run.state_name} when the server before this one stopped: {line}")
        _end_tasks(client)
        return lines + _free_slots(client)


def _end_of(run: FlowRun) -> tuple[State, str]:
    """State for a run that nobody executes, and what is said of it."""
    match run.state_type:
        case StateType.PENDING:
            return Scheduled(scheduled_time=run.expected_start_time), "it had not begun, and runs now"
        case StateType.CANCELLING:
            return Cancelled(message=REASON), "marked Cancelled"
        case _:
            return Crashed(message=REASON), "marked Crashed"


def _flow_runs(types: Sequence[StateType], **more: Any) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))), **more)


def _within(client: SyncPrefectClient, pool: str) -> list[FlowRun]:
    """Unfinished flow runs that a run of the pool called, however deep; the deepest first."""
    within = client.read_flow_runs(
        flow_run_filter=_flow_runs(UNFINISHED, parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=False))
    )
    lines_of_descent = [(run, list(_callers(client, run))) for run in within]
    of_pool = [(run, callers) for run, callers in lines_of_descent if callers[-1].work_pool_name == pool]
    return [run for run, callers in sorted(of_pool, key=lambda entry: -len(entry[1]))]


def _callers(client: SyncPrefectClient, run: FlowRun) -> Iterator[FlowRun]:
    """The run, the flow run that called it, and so on to the top: the run that a worker or a person started."""
    yield run
    while run.parent_task_run_id:
        caller = client.read_task_run(run.parent_task_run_id).flow_run_id
        if caller is None:
            return
        yield (run := client.read_flow_run(caller))


def _end_tasks(client: SyncPrefectClient) -> None:
    """Mark what still seems to run, or to wait for another try, in flow runs that have ended."""
    types = [*UNFINISHED, StateType.SCHEDULED]
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=types)))
    while tasks := client.read_task_runs(flow_run_filter=_flow_runs(FINISHED), task_run_filter=unfinished):
        for task in tasks:
            client.set_task_run_state(task.id, Crashed(message=REASON), force=True)


def _free_slots(client: SyncPrefectClient) -> list[str]:
    """Run whose slot is still counted as taken although nothing runs: the lease was in the lost server's memory."""
    freed = []
    for deployment in client.read_deployments():
        limit = deployment.global_concurrency_limit
        if limit and limit.active_slots:
            client.update_global_concurrency_limit(str(limit.id), GlobalConcurrencyLimitUpdate(active_slots=0))
            freed.append(f"{deployment.name}: {limit.active_slots} slots were still taken, by nobody: freed")
    return freed
