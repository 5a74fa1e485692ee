"""Place where the work of a task runs: in the task's own thread, in worker processes, on the workers of a cluster.

A Prefect task in a thread costs 9 ms, one in a process of Prefect's own runner 185 ms.  So
tasks are threads, which hand what costs CPU seconds to others and wait.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import threadpoolctl
from astropy.io.fits.verify import VerifyWarning

from ztf_in2p3.errors import Mistyped, TransientError
from ztf_in2p3.spawned import spawning


class Engine(Protocol):
    """A place where functions are computed."""

    @property
    def scheduler(self) -> str | None:
        """Address of that of a cluster."""

    @property
    def warning(self) -> str | None:
        """What the operator should know about it."""

    peak_bytes: int
    """Largest memory of any worker so far."""

    def call(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Result of the function at ``module:name``."""

    def close(self) -> None:
        """End the workers, or let them go."""


class Workers:
    """A pool of processes that survives the death of one of them."""

    scheduler = warning = None

    def __init__(self, count: int) -> None:
        self._count = count
        self.peak_bytes = 0
        self._lock = threading.Lock()
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, never forked: file systems and threads of the parent do not survive a fork.
        return ProcessPoolExecutor(self._count, mp_context=spawning(), initializer=_begin_worker)

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
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


_engine: ContextVar[Engine | None] = ContextVar("engine", default=None)


@contextmanager
def running(count: int, cluster: str | None = None) -> Iterator[Engine | None]:
    """Have tasks computed by that many processes (0: in their own threads).  An engine already running is used.

    Parameters
    ----------
    cluster
        Address of a Dask scheduler: its workers compute, however many, unless `count` is 0.

    Raises
    ------
    ValueError
        There is no such cluster.
    """
    ignore_long_comments()
    if count == 0 or _engine.get() is not None:
        yield _engine.get()
        return
    engine: Engine = _on_cluster(cluster) if cluster else Workers(count)
    token = _engine.set(engine)
    try:
        yield engine
    finally:
        _engine.reset(token)
        engine.close()


def _on_cluster(address: str) -> Engine:
    try:
        from tasks.runtime.cluster import Cluster  # an extra of the installation
    except ImportError as error:
        raise Mistyped(f"a cluster, {address}, needs the extra `dask` of this package: {error}") from error
    return Cluster(address)


def scheduler() -> str | None:
    """Address of the running engine's Dask scheduler, if it is a cluster."""
    engine = _engine.get()
    return engine.scheduler if engine else None


def compute(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a task's function wherever the running engine computes."""
    engine = _engine.get()
    if engine is None:
        return function(*args, **kwargs)
    return engine.call(f"{function.__module__}:{function.__qualname__}", args, kwargs)


def call_by_path(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, int]:
    """Call what a task was decorated from (its name in the module is the task's); result and peak memory, bytes."""
    module, _, name = path.partition(":")
    function = getattr(importlib.import_module(module), name)
    result = getattr(function, "computes", function)(*args, **kwargs)
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def ignore_long_comments() -> None:
    """Astropy warns at each card whose comment it has to cut, thousands of times a night; nothing is lost but words."""
    warnings.filterwarnings("ignore", message="Card is too long", category=VerifyWarning)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal: the flow's process says what ends
    ignore_long_comments()
    use_one_thread()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def use_one_thread() -> None:
    """Compute with one thread in this process: the parallelism is over products.

    Libraries that are loaded later read it from the environment; scipy has another BLAS than numpy, which is loaded
    with its first function, and whose threads wait for each other busily where the cores are taken.
    """
    for library in ("OPENBLAS", "OMP", "MKL", "BLIS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    threadpoolctl.threadpool_limits(1)


def _die_with_parent() -> None:
    """A flow that is killed must not leave workers behind, writing products nobody asked for any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
