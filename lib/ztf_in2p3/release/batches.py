"""The steps of a release in the order in which they are run, each a flow over one month, or over all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.release.definition import Release
from ztf_in2p3.release.listing import months_of
from ztf_in2p3.release.plan import TO_MAKE, nights_of


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of one flow."""

    flow: str
    period: Period
    products: int
    """How many products of the plan it is to make."""


_MONTHLY = (("calibrate", (Kind.BIAS, Kind.FLAT)), ("catalogue", (Kind.CATALOGUE,)))
_WHOLE = (("stars", Kind.STAR_INDEX), ("ubercal", Kind.ZERO_POINTS))


def batches(release: Release, plan: pa.Table) -> list[Batch]:
    """What is left to run: masters of all months, then catalogues month by month, then what is made of all of them.

    All masters come first, since an exposure may take those of the month after its own.  A fit follows whenever
    catalogues do, for its tables have them as inputs.
    """
    monthly = list(_monthly(release, plan))
    are_new = any(batch.flow == "catalogue" for batch in monthly)
    whole = [
        Batch(flow, release.nights, n or len(release.filters))
        for flow, kind in _WHOLE
        if (n := _count(plan, kind)) or are_new
    ]
    return [*monthly, *whole]


def _monthly(release: Release, plan: pa.Table) -> Iterator[Batch]:
    for flow, kinds in _MONTHLY:
        for month in months_of(release.nights):
            n = sum(_count(plan, kind, int(month)) for kind in kinds)
            if n:
                yield Batch(flow, nights_of(month, release.nights), n)


def _count(plan: pa.Table, kind: Kind, month: int = 0) -> int:
    """Products of a kind and month that are to be made."""
    chosen = pc.and_(pc.equal(plan["month"], month), pc.equal(plan["kind"].cast(pa.string()), str(kind)))
    states = plan["state"].filter(chosen).cast(pa.string())
    return int(pc.sum(pc.equal(states, TO_MAKE)).as_py() or 0)
