"""Partitions on the workers of a Dask cluster: each keeps its files' stars, and only parameters travel.

A pass sends the parameters to every worker, which sums over its own partitions and sends a vector of the same
length back.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ztf_in2p3.errors import TransientError
from ztf_in2p3.fit.model import Model, Partition, Parts
from ztf_in2p3.fit.results import Intake
from ztf_in2p3.fit.sources import ParquetSource, Source
from ztf_in2p3.fit.table import Build, Reading, read_partitions, require, require_some

if TYPE_CHECKING:
    from distributed import Actor, ActorFuture, Client, Future

T = TypeVar("T")

LOOK_AGAIN = 10.0
"""Seconds between looks whether a worker is still there while its answer is awaited."""

LOST = ("Worker holding Actor was lost", "Unable to contact Actor's worker")
"""How Dask says it, as a RuntimeError and as an OSError."""


class Holder:
    """What a worker keeps: an actor, because its partitions change.

    Parameters
    ----------
    scratch
        Folder of the worker's own machine for what does not fit in its memory; None: all does.
    """

    def __init__(self, source: ParquetSource, reading: Reading, scratch: Path | None) -> None:
        folder = None if scratch is None else scratch / f"rows_from_{source.first_row}"
        self._parts, self._intake = read_partitions(source, reading, folder)

    def intake(self) -> Intake:
        """Counts of the rows that were read, and of those left out."""
        return self._intake

    def size(self) -> tuple[int, int]:
        """Measurements and stars."""
        return self._parts.n_row, self._parts.n_star

    def visit(self, visit: Callable[..., T], *args: Any) -> T | list[Any]:
        """Result of a pass over the partitions of this worker."""
        result = visit(self._parts, *args)
        return list(result) if isinstance(result, Iterator) else result


class DistributedParts:
    """The partitions of all holders, as those of one place; to look at, not to change."""

    def __init__(self, holders: list[Actor]) -> None:
        self.holders = holders
        self.n_row, self.n_star = (sum(counts) for counts in zip(*_ask(holders, "size"), strict=True))

    def __iter__(self) -> Iterator[Partition]:
        for holder in self.holders:
            (parts,) = _ask([holder], "visit", _copies)
            yield from parts

    def keep(self, number: int, part: Partition, names: Sequence[str]) -> None:
        """Never called: partitions on workers are changed there."""
        raise TypeError("partitions on workers are changed there: give what changes them to `Model.each`")


class DistributedModel(Model):
    """A model whose partitions are where the workers are."""

    def __init__(self, reading: Reading, holders: list[Actor]) -> None:
        super().__init__(reading.families, DistributedParts(holders))
        self._holders = holders

    def each(self, visit: Callable[..., T], *args: Any) -> Iterator[T]:
        """Results of a pass over the partitions, worker by worker."""
        yield from _ask(self._holders, "visit", visit, *args)


def distributed(client: Client, scratch: Path | None = None) -> Build:
    """Have Parquet files read and kept, for `fit_starflat` and `fit_ubercal`, by the workers of a cluster.

    Parameters
    ----------
    scratch
        As for `Holder`; on each worker.

    Raises
    ------
    TransientError
        By the fit: a worker that kept measurements is gone, or the scheduler, or there is no worker.
    """
    return functools.partial(_build, client, scratch)


def _build(client: Client, scratch: Path | None, source: Source, reading: Reading) -> tuple[Model, Intake]:
    if not isinstance(source, ParquetSource):
        raise TypeError(f"workers read Parquet files (ParquetSource), not a {type(source).__name__}")
    require(source, reading.columns)
    source.require_disjoint()  # a worker sees only its own files
    holders = _settle(client, source, reading, scratch)
    intakes = list(_ask(holders, "intake"))
    intake = Intake(
        sum(part.rows for part in intakes),
        sum(part.used for part in intakes),
        dict(sum((Counter(part.dropped) for part in intakes), Counter[str]())),
        sum(part.repeated for part in intakes),
    )
    require_some(intake)
    return DistributedModel(reading, holders), intake


def _settle(client: Client, source: ParquetSource, reading: Reading, scratch: Path | None) -> list[Actor]:
    """Have each worker read its share of the files."""

    def workers() -> list[str]:
        return sorted(client.scheduler_info(n_workers=-1).get("workers", {}))  # a client that is closed knows none

    def present(worker: str) -> bool:
        return worker in workers()

    with _losses_told():
        names = workers()
        if not names:
            raise TransientError(f"{client} has no workers to keep the measurements: start some")
        futures = {
            worker: client.submit(Holder, part, reading, scratch, workers=[worker], actor=True, pure=False)
            for worker, part in zip(names, shares(source, len(names)), strict=False)
        }
        # A share waits for its worker, even for one that will never come back.
        return [_answer(future, functools.partial(present, worker)) for worker, future in futures.items()]


def _ask(holders: list[Actor], method: str, *args: Any) -> Iterator[Any]:
    """Answers of all, which work at the same time."""
    with _losses_told():
        futures = [getattr(holder, method)(*args) for holder in holders]
    for holder, future in zip(holders, futures, strict=True):
        with _losses_told():
            answer = _answer(future, functools.partial(getattr, holder, method))  # of one that is lost, this raises
        yield answer


def _answer(future: Future[Any] | ActorFuture[Any], still_there: Callable[[], Any]) -> Any:
    """Result, unless who works on it is found gone: Dask lets some of those wait for ever."""
    while True:
        try:
            return future.result(timeout=LOOK_AGAIN)
        except TimeoutError:
            if future.done():  # just now, or the work itself says so
                return future.result()
            if not still_there():
                raise RuntimeError(LOST[0]) from None


@contextmanager
def _losses_told() -> Iterator[None]:
    from distributed import KilledWorker
    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    try:
        yield
    except (CancelledError, ClosedClientError, CommClosedError, KilledWorker) as error:
        lost: Exception = error
    except (OSError, RuntimeError) as error:
        if not str(error).startswith(LOST):
            raise
        lost = error
    else:
        return
    raise TransientError(f"the cluster lost a part of the measurements, another try reads them anew: {lost}") from lost


def shares(source: ParquetSource, n: int) -> list[ParquetSource]:
    """Sources, at most n, of consecutive files, of about as many rows each."""
    begin = np.concatenate([[0], np.cumsum(source.n_row_of)])
    middle = (begin[:-1] + begin[1:]) / 2
    share = np.minimum((middle * n / max(source.n_row, 1)).astype(int), n - 1)
    return [
        ParquetSource(
            [source.paths[k] for k in np.flatnonzero(share == number)],
            rows=source.rows,
            first_row=source.first_row + int(begin[np.flatnonzero(share == number)[0]]),
        )
        for number in np.unique(share)
    ]


def _copies(parts: Parts) -> Iterator[Partition]:
    yield from parts
