"""The list of a period's calibrations: what there is, how good it is, of what it was made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Self

import pyarrow as pa

from ztf_in2p3.detrend.verdicts import GOOD
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Built, part_of, period_of
from ztf_in2p3.store.manifest import Manifest
from ztf_in2p3.tables import CALIBRATIONS, schema_of


@dataclass(frozen=True, slots=True)
class Entry:
    """One calibration; the fields are the columns of `ztf_in2p3.tables.CALIBRATIONS`."""

    kind: str
    part: str
    ccd: int | None
    filter: str | None
    recipe: str
    first: date
    last: date
    quality: str
    reason: str
    compared: str
    moved: float | None
    n_frames: int | None
    inputs: tuple[str, ...]
    sha256: str
    file: str
    address: str

    @classmethod
    def of(cls, manifest: Manifest, verdict: Built | None) -> Self:
        """Entry from what is noted about the product, and about the verdict on it."""
        ref, about = manifest.ref, manifest.about
        words = part_of(ref).split("/")
        ccds = [int(word[1:]) for word in words if word[0] == "c" and word[1:].isdigit()]
        filters = [word for word in words if word in [str(filter) for filter in Filter]]
        judgement: dict[str, Any] = {} if verdict is None else dict(verdict.about)
        period = period_of(ref)
        return cls(
            str(ref.kind),
            part_of(ref),
            ccds[0] if ccds else None,
            filters[0] if filters else None,
            ref.recipe,
            period.first,
            period.last,
            judgement.get("quality", GOOD),
            judgement.get("reason", ""),
            judgement.get("before", ""),
            judgement.get("moved"),
            about.get("n_frames"),  # type: ignore[arg-type]
            tuple(product.sha256 for product in manifest.inputs),
            manifest.sha256,
            ref.file_name,
            ref.address,
        )


def calibrations(entries: Iterable[Entry]) -> pa.Table:
    """Table of the entries, `ztf_in2p3.tables.CALIBRATIONS`, in order of kind, part and time."""
    ordered = sorted(entries, key=lambda entry: (entry.kind, entry.part, entry.first, entry.last, entry.recipe))
    rows = [asdict(entry) | {"inputs": list(entry.inputs)} for entry in ordered]
    return pa.Table.from_pylist(rows, schema=schema_of(CALIBRATIONS))
