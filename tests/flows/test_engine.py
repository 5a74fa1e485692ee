"""What is computed where, and what is tried again."""

from __future__ import annotations

import threading

import pytest
from distributed import LocalCluster

from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import PARSER_RACE, collect, launch, product_task
from tasks.runtime.product_flow import THREADS, product_flow

AT_ONCE = 2 * THREADS
meeting = threading.Barrier(AT_ONCE)


@product_task
def meet(target: str) -> Outcome:
    """Ends when so many are under way at the same time."""
    meeting.wait(timeout=30)
    return Outcome()


@product_flow("meetings")
def meetings(store: str = "store", *, workers: int | None = None, max_set_aside: float = 0.2) -> Outcome:
    """Of the workers of a cluster."""
    return collect([launch(meet, f"guest {k}") for k in range(AT_ONCE)])


stumbled: list[str] = []


@product_task
def stumble(target: str) -> Outcome:
    """As threads that write FITS files do, rarely, under a Python before 3.11.8."""
    if target not in stumbled:
        stumbled.append(target)
        raise SystemError(f"{target} (before=102, after=37)")
    return Outcome()


@product_flow("stumbles")
def stumbles(message: str, store: str = "store", *, workers: int | None = 0, max_set_aside: float = 0.2) -> Outcome:
    """Once.

    Parameters
    ----------
    message
        Of the error.
    """
    return collect([launch(stumble, message)])


def test_what_python_confuses_is_done_again_and_other_system_errors_are_not():
    assert stumbles(PARSER_RACE).set_aside == ()
    with pytest.raises(SystemError, match="bad argument"):
        stumbles("bad argument to internal function")


def test_more_tasks_are_under_way_than_this_machine_would_have(monkeypatch):
    how = {"n_workers": 1, "processes": False, "threads_per_worker": AT_ONCE, "dashboard_address": None}
    with LocalCluster(**how) as cluster:
        monkeypatch.setenv("ZTF_CLUSTER", cluster.scheduler_address)
        assert meetings().set_aside == ()
    assert not meeting.broken
