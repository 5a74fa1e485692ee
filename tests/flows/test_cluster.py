"""A cluster gets as much to do at once as it has workers for."""

from __future__ import annotations

import threading

from distributed import LocalCluster

from flows.policies import THREADS, product_flow
from tasks.outcome import Outcome
from tasks.policies import collect, launch, product_task

AT_ONCE = 2 * THREADS
meeting = threading.Barrier(AT_ONCE)


@product_task
def meet(target: str) -> Outcome:
    """Ends when so many are under way at the same time."""
    meeting.wait(timeout=30)
    return Outcome()


@product_flow("meetings")
def meetings(store: str = "", *, workers: int | None = None, max_set_aside: float = 0.2) -> Outcome:
    """Of the workers of a cluster."""
    return collect([launch(meet, f"guest {k}") for k in range(AT_ONCE)])


def test_more_tasks_are_under_way_than_this_machine_would_have(monkeypatch):
    how = {"n_workers": 1, "processes": False, "threads_per_worker": AT_ONCE, "dashboard_address": None}
    with LocalCluster(**how) as cluster:
        monkeypatch.setenv("ZTF_CLUSTER", cluster.scheduler_address)
        assert meetings().set_aside == ()
    assert not meeting.broken
