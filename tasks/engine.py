"""Where the work of a task runs: in the task's own thread, or in worker processes.

A Prefect task in a thread costs 9 ms, one in a process of Prefect's own runner 185 ms.  So
tasks are threads, which hand what costs CPU seconds to a pool of processes and wait.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import threadpoolctl

from lib.errors import TransientError


class Workers:
    """A pool of processes that survives the death of one of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.peak_bytes = 0
        """Of memory, the largest of any worker so far."""
        self._lock = threading.Lock()
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, never forked: file systems and threads of the parent do not survive a fork.
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, mp_context=spawn, initializer=_begin_worker)

    def call(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Result of the function at ``module:name``, computed in a worker.

        Raises
        ------
        TransientError
            If a worker was killed: the pool is a new one, and another try may succeed.
        """
        pool = self._pool
        try:
            result, peak = pool.submit(call_by_path, path, args, kwargs).result()
        except BrokenProcessPool as error:
            with self._lock:
                if self._pool is pool:
                    self._pool = self._start()
            raise TransientError(f"a worker process died while {path} ran; a new one was started") from error
        self.peak_bytes = max(self.peak_bytes, peak)
        return result

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


_workers: ContextVar[Workers | None] = ContextVar("workers", default=None)


@contextmanager
def running(count: int) -> Iterator[Workers | None]:
    """Have tasks computed by that many processes (0: in their own threads).  An engine already running is used."""
    if count == 0 or _workers.get() is not None:
        yield _workers.get()
        return
    workers = Workers(count)
    token = _workers.set(workers)
    try:
        yield workers
    finally:
        _workers.reset(token)
        workers.close()


def compute(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a task's function wherever the running engine computes."""
    workers = _workers.get()
    if workers is None:
        return function(*args, **kwargs)
    return workers.call(f"{function.__module__}:{function.__qualname__}", args, kwargs)


def call_by_path(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, int]:
    """Call what a task was decorated from (its name in the module is the task's); result and peak memory, bytes."""
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    result = getattr(found, "computes", found)(*args, **kwargs)
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def _begin_worker() -> None:
    threadpoolctl.threadpool_limits(1)  # the parallelism is over products
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A flow that is killed must not leave workers behind, writing products nobody asked for any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
