"""What a server that died left behind has an end after the next one has started, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.states import (
    AwaitingRetry,
    Cancelling,
    Completed,
    Crashed,
    Pending,
    Running,
    Scheduled,
)

from flows.cli.predecessor import create_pool, end_orphans

DUE = datetime(2019, 4, 5, 16, tzinfo=UTC)


@flow(name="pool's")
def of_pool() -> None:
    """A flow that is never run: its runs are written into the server's database."""


@task
def work() -> None:
    """A task that is never run either."""


class Database:
    """Runs of a real server, in states as a worker leaves them."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self.client, self.pool = client, f"pool-{uuid4().hex[:8]}"
        create_pool(self.pool)
        self.flow_id = client.create_flow(of_pool)
        self.deployment = client.create_deployment(
            self.flow_id, name=self.pool, work_pool_name=self.pool, concurrency_limit=1,
        )  # fmt: skip

    def run(self, *states: State, due: datetime = DUE) -> UUID:
        """A run that a worker of the pool got, in one state after the other."""
        first = Scheduled(scheduled_time=due)
        run = self.client.create_flow_run_from_deployment(self.deployment, state=first, name=uuid4().hex[:8])
        for state in states:
            self.client.set_flow_run_state(run.id, state, force=True)
        return run.id

    def task(self, run: UUID, state: State) -> UUID:
        return self.client.create_task_run(work, run, dynamic_key=uuid4().hex, state=state).id

    def called(self, caller: UUID, state: State) -> UUID:
        """A flow run within another one, in the placeholder that its caller has of it."""
        placeholder = self.task(caller, Running())
        return self.client.create_flow_run(of_pool, parent_task_run_id=placeholder, state=state).id

    def state(self, run: UUID) -> State:
        return self.client.read_flow_run(run).state

    def task_state(self, run: UUID) -> State:
        return self.client.read_task_run(run).state


@pytest.fixture
def database(orchestrator: None) -> Iterator[Database]:
    with get_client(sync_client=True) as client:
        yield Database(client)


def test_each_run_has_the_end_that_belongs_to_it_and_one_line(database):
    running = database.run(Pending(), Running())
    submitted = database.run(Pending(), Pending(name="Submitting"))
    stopped = database.run(Pending(), Running(), Cancelling())
    untouched = {
        database.run(): "Scheduled",
        database.run(Scheduled(name="AwaitingConcurrencySlot", scheduled_time=DUE)): "AwaitingConcurrencySlot",
        database.run(Pending(), Running(), Completed()): "Completed",
    }

    lines = end_orphans(database.pool)

    names = {key: database.client.read_flow_run(run).name for key, run in {
        "running": running, "submitted": submitted, "stopped": stopped}.items()}  # fmt: skip
    before = "when the server before this one stopped"
    assert sorted(lines) == sorted([
        f"{names['running']} was Running {before}: marked Crashed",
        f"{names['submitted']} was Submitting {before}: it had not begun, and runs now",
        f"{names['stopped']} was Cancelling {before}: marked Cancelled",
    ])  # fmt: skip
    assert database.state(running).name == "Crashed"
    assert database.state(stopped).name == "Cancelled"
    # The night that a run reduces is that for which it was planned.
    again = database.client.read_flow_run(submitted)
    assert (again.state.name, again.next_scheduled_start_time) == ("Scheduled", DUE)
    assert {run: database.state(run).name for run in untouched} == untouched
    assert end_orphans(database.pool) == []  # once each


def test_what_ran_within_a_run_ends_with_it_even_if_the_worker_reported_the_run_itself(database):
    reported = database.run(Pending(), Running(), Crashed(message="Flow run process exited with status code -15"))
    caller = database.run(Pending(), Running())
    inner = [database.called(run, Running()) for run in (reported, caller)]
    innermost = database.called(inner[0], Pending())
    tasks = [database.task(inner[0], Running()), database.task(innermost, Pending()),
             database.task(caller, AwaitingRetry(scheduled_time=DUE + timedelta(days=9000)))]  # fmt: skip
    done = database.task(caller, Completed())

    lines = end_orphans(database.pool)

    assert len(lines) == 1
    assert {database.state(run).name for run in [caller, *inner, innermost]} == {"Crashed"}
    assert database.state(reported).message == "Flow run process exited with status code -15"
    assert {database.task_state(run).name for run in tasks} == {"Crashed"}
    assert database.task_state(done).name == "Completed"


def test_a_run_of_a_person_or_of_another_pool_goes_on(database):
    other = Database(database.client)
    foreign, hand_run = other.run(Pending(), Running()), database.client.create_flow_run(of_pool, state=Running()).id
    inner = database.called(hand_run, Running())
    tasks = [database.task(run, Running()) for run in (foreign, hand_run, inner)]

    assert end_orphans(database.pool) == []

    assert {database.state(run).name for run in (foreign, hand_run, inner)} == {"Running"}
    assert {database.task_state(run).name for run in tasks} == {"Running"}
