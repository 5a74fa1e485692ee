"""Columns of the measurements that a fit did not need, row beside row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ztf_in2p3.fit.model import Model, Partition
from ztf_in2p3.fit.sources import Columns, Source


def beside(model: Model, source: Source, names: list[str]) -> Iterator[tuple[Partition, Columns]]:
    """Partitions with further columns of the same rows; a part of the source of which nothing served has none."""
    batches = source.stars(["star_id", *names])
    for part in model.parts:
        columns, rows = next(batches)
        origin = part.origin_of(np.arange(len(part.y)))
        where = rows if isinstance(rows, np.ndarray) else np.arange(rows.start, rows.stop)
        while not np.isin(origin[0], where):
            columns, rows = next(batches)
            where = rows if isinstance(rows, np.ndarray) else np.arange(rows.start, rows.stop)
        order = np.argsort(where, kind="stable")
        at = order[np.searchsorted(where, origin, sorter=order)]
        yield part, {name: array[at] for name, array in columns.items()}
