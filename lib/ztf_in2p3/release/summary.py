"""A plan in numbers: products by kind and state, and what is left to do in CPU hours and bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ztf_in2p3 import recipes
from ztf_in2p3.products import Kind
from ztf_in2p3.release.definition import Release
from ztf_in2p3.release.plan import IMPOSSIBLE, PRESENT, STATES, TO_MAKE
from ztf_in2p3.store import Store

_SHOWN = 6
"""Reasons that are listed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Mean of what products of a kind took."""

    products: int
    """How many were looked at."""
    cpu_s: float
    size: float
    """Bytes."""


def costs_in(store: Store, release: Release) -> dict[Kind, Cost]:
    """What products of the release's kinds cost in a store, by its own recipes or else by the first that are there.

    Means over the products of the first night, or of the periods that begin with it.  The cost of a flat holds that of
    its flats by single LEDs.
    """
    flat = release.catalogue.quadrant.focal_plane.flat
    recipe_of = {
        Kind.BIAS: flat.led.bias,
        Kind.LED_FLAT: flat.led,
        Kind.FLAT: flat,
        Kind.CATALOGUE: release.catalogue,
        Kind.STAR_INDEX: release.stars,
        Kind.ZERO_POINTS: release.ubercal,
    }
    costs: dict[Kind, Cost] = {}
    for kind, recipe in recipe_of.items():
        wanted = recipes.digest(recipe)
        for digest in sorted(store.files.folders(kind), key=lambda name: name != wanted):
            nights = store.files.folders(f"{kind}/{digest}")
            listed = store.files.list(f"{kind}/{digest}", nights[0][:8]) if nights else {}
            manifests = store.noted(listed).values()
            if manifests:
                cpu_s, size = ([getattr(manifest, name) for manifest in manifests] for name in ("cpu_s", "size"))
                costs[kind] = Cost(len(cpu_s), float(np.mean(cpu_s)), float(np.mean(size)))
                break
    of_led = costs.pop(Kind.LED_FLAT, None)
    if of_led is not None and Kind.FLAT in costs:
        own, n = costs[Kind.FLAT], of_led.products / costs[Kind.FLAT].products
        costs[Kind.FLAT] = Cost(own.products, own.cpu_s + n * of_led.cpu_s, own.size + n * of_led.size)
    return costs


def counted(plan: pa.Table, by: str = "kind") -> list[dict[str, Any]]:
    """Numbers of products by kind, or by month and kind, and by state."""
    keys = ["kind"] if by == "kind" else [by, "kind"]
    groups = plan.select([*keys, "state"]).group_by([*keys, "state"]).aggregate([([], "count_all")]).to_pylist()
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for group in groups:
        part = tuple(group[key] for key in keys)
        row = rows.setdefault(part, dict(zip(keys, part, strict=True)) | dict.fromkeys(STATES, 0))
        row[group["state"]] = group["count_all"]
    order = [str(kind) for kind in Kind]
    return sorted(rows.values(), key=lambda row: (*(row[key] for key in keys[:-1]), order.index(row["kind"])))


def priced(rows: list[dict[str, Any]], costs: Mapping[Kind, Cost]) -> Iterator[dict[str, Any]]:
    """Rows with the CPU hours and GB of what is to make; ``unknown`` where the store has no such product yet."""
    for row in rows:
        cost = costs.get(Kind(row["kind"]))
        hours = f"{row[TO_MAKE] * cost.cpu_s / 3600:.3g}" if cost else "unknown" if row[TO_MAKE] else "0"
        gigabytes = f"{row[TO_MAKE] * cost.size / 1e9:.3g}" if cost else "unknown" if row[TO_MAKE] else "0"
        yield row | {"CPU h": hours, "GB": gigabytes}


def reasons(plan: pa.Table) -> list[str]:
    """Why products cannot be made, each reason with its number and first month, the most frequent first."""
    lost = plan.filter(pa.compute.equal(plan["state"].cast(pa.string()), IMPOSSIBLE))
    groups = lost.select(["kind", "reason", "month"]).group_by(["kind", "reason"])
    rows = groups.aggregate([([], "count_all"), ("month", "min"), ("month", "max")]).to_pylist()
    rows.sort(key=lambda row: -row["count_all"])
    lines = [
        f"{row['count_all']} {row['kind']}: {row['reason']} ({row['month_min']} to {row['month_max']})"
        for row in rows[:_SHOWN]
    ]
    return lines + ([f"... and {len(rows) - _SHOWN} other reasons"] if len(rows) > _SHOWN else [])


def share_present(plan: pa.Table) -> float:
    """Share of the products that can be had which are there; 1 if there is none."""
    n = {row["values"]: row["counts"] for row in plan["state"].cast(pa.string()).value_counts().to_pylist()}
    possible = n.get(PRESENT, 0) + n.get(TO_MAKE, 0)
    return n.get(PRESENT, 0) / possible if possible else 1.0
