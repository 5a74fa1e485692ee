"""Partitions on the workers of a Dask cluster: each keeps its files' stars, and only parameters travel.

A pass sends the parameters to every worker, which sums over its own partitions and sends a vector of the same
length back.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lib.fit.model import Model, Partition, Parts
from lib.fit.results import Intake
from lib.fit.sources import ParquetSource, Source
from lib.fit.table import Build, Reading, read_partitions, require, require_some

if TYPE_CHECKING:
    from distributed import Actor, Client

T = TypeVar("T")


class Holder:
    """What a worker keeps: an actor, because its partitions change.

    Parameters
    ----------
    scratch
        Folder of the worker's own machine for what does not fit in its memory; None: all does.
    """

    def __init__(self, source: ParquetSource, reading: Reading, scratch: Path | None) -> None:
        spool = None if scratch is None else scratch / f"rows_from_{source.first_row}"
        self._parts, self._intake = read_partitions(source, reading, spool)

    def intake(self) -> Intake:
        return self._intake

    def size(self) -> tuple[int, int]:
        """Measurements and stars."""
        return self._parts.n_row, self._parts.n_star

    def visit(self, visit: Callable[..., T], *args: Any) -> T | list[Any]:
        found = visit(self._parts, *args)
        return list(found) if isinstance(found, Iterator) else found


class Scattered:
    """The partitions of all holders, as those of one place; to look at, not to change."""

    def __init__(self, holders: list[Actor]) -> None:
        self.holders = holders
        sizes = [future.result() for future in [holder.size() for holder in holders]]
        self.n_row, self.n_star = (sum(each) for each in zip(*sizes, strict=True))

    def __iter__(self) -> Iterator[Partition]:
        for holder in self.holders:
            yield from holder.visit(_copies).result()

    def keep(self, number: int, part: Partition) -> None:
        raise TypeError("partitions on workers are changed there: give what changes them to `Model.each`")


class DistributedModel(Model):
    """A model whose partitions are where the workers are."""

    def __init__(self, reading: Reading, holders: list[Actor]) -> None:
        super().__init__(reading.families, Scattered(holders))
        self._holders = holders

    def each(self, visit: Callable[..., T], *args: Any) -> Iterator[T]:
        for future in [holder.visit(visit, *args) for holder in self._holders]:  # all at once
            yield future.result()


def distributed(client: Client, scratch: Path | None = None) -> Build:
    """For `fit_starflat` and `fit_ubercal`: have Parquet files read and kept by the workers of a cluster.

    Parameters
    ----------
    scratch
        As for `Holder`; on each worker.
    """
    return functools.partial(_build, client, scratch)


def _build(client: Client, scratch: Path | None, source: Source, reading: Reading) -> tuple[Model, Intake]:
    if not isinstance(source, ParquetSource):
        raise TypeError(f"workers read Parquet files (ParquetSource), not a {type(source).__name__}")
    require(source, reading.columns)
    source.require_disjoint()  # a worker sees only its own files
    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
    parts = shares(source, len(workers))
    futures: list[Any] = [
        client.submit(Holder, part, reading, scratch, workers=[worker], actor=True, pure=False)
        for part, worker in zip(parts, workers, strict=False)
    ]
    holders: list[Actor] = [future.result() for future in futures]
    intakes = [future.result() for future in [holder.intake() for holder in holders]]
    intake = Intake(
        sum(one.rows for one in intakes), sum(one.used for one in intakes),
        dict(sum((Counter(one.dropped) for one in intakes), Counter[str]())), sum(one.repeated for one in intakes),
    )  # fmt: skip
    require_some(intake)
    return DistributedModel(reading, holders), intake


def shares(source: ParquetSource, n: int) -> list[ParquetSource]:
    """At most n sources of consecutive files, of about as many rows each."""
    begin = np.concatenate([[0], np.cumsum(source.n_row_of)])
    middle = (begin[:-1] + begin[1:]) / 2
    share = np.minimum((middle * n / max(source.n_row, 1)).astype(int), n - 1)
    return [
        ParquetSource(
            [source.paths[k] for k in np.flatnonzero(share == one)], rows=source.rows,
            first_row=source.first_row + int(begin[np.flatnonzero(share == one)[0]]),
        )
        for one in np.unique(share)
    ]  # fmt: skip


def _copies(parts: Parts) -> Iterator[Partition]:
    yield from parts
