"""Work done by processes comes home, errors and all, and survives the death of a process."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from tasks.runtime.engine import compute, running
from ztf_in2p3.errors import BadData, TransientError


def where() -> int:
    return os.getpid()


def refuse() -> None:
    raise BadData("no")


def busy(seconds: float) -> None:
    raise TransientError("busy", retry_after=seconds)


def blas_threads() -> dict[str, int]:
    """Threads of each library for linear algebra, scipy's loaded as late as by the first function that needs it."""
    from scipy.linalg import cho_factor

    cho_factor(np.eye(2))
    return {library["filepath"]: library["num_threads"] for library in threadpoolctl.threadpool_info()}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: Path) -> int:
    """The first worker that does this dies.  (Beside the tests of the cluster, new workers would import them all.)"""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_without_workers_the_work_is_done_here():
    assert compute(where) == os.getpid()


def test_with_workers_it_is_done_elsewhere_and_its_errors_come_home():
    with running(1):
        there = compute(where)
        assert there != os.getpid()
        with pytest.raises(BadData, match="no"):
            compute(refuse)
        with pytest.raises(TransientError) as caught:
            compute(busy, 17.0)
        assert caught.value.retry_after == 17.0
        with running(2):  # the engine that runs is used
            assert compute(where) == there
    assert compute(where) == os.getpid()


def test_a_killed_worker_is_a_passing_fault_and_the_next_try_succeeds():
    with running(1):
        with pytest.raises(TransientError, match="worker process died"):
            compute(die)
        assert compute(where) != os.getpid()


def test_a_worker_computes_with_one_thread_whenever_its_libraries_are_loaded():
    with running(1):
        threads = compute(blas_threads)
    assert len([name for name in threads if "openblas" in name]) > 1  # numpy's and scipy's own
    assert set(threads.values()) == {1}
