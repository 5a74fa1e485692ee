"""A table of star measurements turned into the star-sorted partitions of a model."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.chunk_store import ChunkStore
from ztf_in2p3.fit.model import Family, Floats, InMemory, Model, Partition, Parts, index_type, offsets_of
from ztf_in2p3.fit.results import Intake
from ztf_in2p3.fit.sources import Columns, Rows, Source
from ztf_in2p3.fit.stars import HELD_OUT
from ztf_in2p3.fit.terms import Term

Valid = Callable[[Columns], Mapping[str, NDArray[np.bool_]]]
"""Function from columns to a mask of good rows for each reason that makes one bad."""

BASIC = ("star_id", "exposure", "rcid", "mag", "mag_e")
"""Columns that every model needs."""

PIXELS = ("x", "y")
"""Columns that are read where the source has them, and needed by the terms that say so."""

CANONICAL = ("mag_e", "mag", "y", "x", "rcid", "exposure", "star_id")
"""Order of a star's rows, last key first: the same whatever order they come in."""


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """Star magnitudes known from elsewhere, in the system of the measurements."""

    star_id: NDArray[np.int64]
    mag: Floats
    sigma: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How measurements become partitions."""

    terms: Sequence[Term]
    """Terms of the model, those without values first."""
    error_floor: float
    """Added in quadrature to mag_e; magnitudes."""
    valid: Valid | None = None
    anchors: Anchors | None = None
    held_out: float = 0.0
    """Fraction of the stars that take no part in the fit."""

    @property
    def columns(self) -> list[str]:
        """Columns without which the model cannot be fitted."""
        return list(dict.fromkeys([*BASIC, *(name for term in self.terms for name in term.columns)]))

    def columns_of(self, source: Source) -> list[str]:
        """Columns that are read of a source."""
        return list(dict.fromkeys([*self.columns, *(name for name in PIXELS if name in source.column_names)]))

    @property
    def families(self) -> list[Family]:
        """Families of parameters of the model, in the order of its terms."""
        return [term.family for term in self.terms]


def build_model(source: Source, reading: Reading, folder: Path | None = None) -> tuple[Model, Intake]:
    """The model of measurements with columns star_id, exposure, rcid, x, y, mag, mag_e and what the terms add.

    Rows that cannot serve are left out and counted by reason: not finite, without star, twice the same, or as
    `valid` says.

    Parameters
    ----------
    folder
        Folder in which the partitions are kept, to be read one at a time; None: they are kept in memory.

    Raises `BadData` where a column is missing or no row serves.
    """
    require(source, reading.columns)
    parts, intake = read_partitions(source, reading, folder)
    require_some(intake)
    return Model(reading.families, parts), intake


Build = Callable[[Source, Reading], tuple[Model, Intake]]
"""`build_model`, or what does the same elsewhere."""


def on_disk(folder: Path) -> Build:
    """A model of measurements that do not fit in memory, whose partitions are in a folder of its own."""
    return functools.partial(build_model, folder=folder)


def read_partitions(source: Source, reading: Reading, folder: Path | None) -> tuple[Parts, Intake]:
    """Everything of a source that can serve, and what became of the rest."""
    offsets, dropped, repeated = offsets_of(reading.families), Counter[str](), [0]

    def partitions() -> Iterator[Partition]:
        for columns, rows in source.stars(reading.columns_of(source)):
            order = _canonical(columns, _good_rows(columns, reading, dropped))
            order, same, again = _without_copies(columns, order)
            _add(dropped, "the same row again", same)
            repeated[0] += again
            if len(order):
                origin = _origin(rows, order, len(columns["mag"]))
                part = columns
                if _moved(order, columns):
                    part = {name: array[order] for name, array in columns.items()}
                yield _partition(part, reading, offsets, origin)

    parts: Parts
    if folder is None:
        parts = InMemory(list(partitions()))
    else:
        parts = ChunkStore(folder)
        for part in partitions():
            parts.append(part)
            pa.default_memory_pool().release_unused()  # Arrow would keep what it read with, as large as all the rest
    return parts, Intake(source.n_row, parts.n_row, dict(dropped), repeated[0])


def require_some(intake: Intake) -> None:
    """Refuse a table of which no measurement can be used."""
    if intake.used == 0:
        raise BadData(f"none of the {intake.rows} measurements can be used: {intake.dropped or 'the table is empty'}")


def require(source: Source, names: Sequence[str]) -> None:
    """Refuse a table that lacks one of these columns."""
    if missing := [name for name in names if name not in source.column_names]:
        raise BadData(
            f"table of measurements has no column {', '.join(missing)}, only {', '.join(source.column_names)}; "
            "rename what it has, or fit a model that needs less"
        )


def _good_rows(part: Columns, reading: Reading, dropped: Counter[str]) -> NDArray[np.int64]:
    good = part["star_id"] >= 0
    _add(dropped, "no star", int((~good).sum()))
    needed = {name: part[name] for name in reading.columns}
    tests = {f"{name} not finite": np.isfinite(array) for name, array in needed.items() if array.dtype.kind == "f"}
    tests["no exposure"] = part["exposure"] >= 0  # -1: it was missing (`ztf_in2p3.fit.sources.as_array`)
    tests["mag_e negative"] = ~(part["mag_e"] < 0)
    for reason, passed in (tests | dict(reading.valid(part) if reading.valid else {})).items():
        _add(dropped, reason, int((good & ~passed).sum()))
        good &= passed
    return np.flatnonzero(good)


def _add(dropped: Counter[str], reason: str, n: int) -> None:
    if n:
        dropped[reason] += n


def _canonical(part: Columns, order: NDArray[np.int64]) -> NDArray[np.int64]:
    star, exposure = part["star_id"][order], part["exposure"][order]
    same_star = star[1:] == star[:-1]
    if np.all((star[1:] > star[:-1]) | (same_star & (exposure[1:] > exposure[:-1]))):
        return order
    return order[np.lexsort([part[name][order] for name in CANONICAL if name in part])]


def _without_copies(part: Columns, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, int]:
    """First of identical rows; how many others there were; and measurements repeated with another value."""
    star, exposure = part["star_id"][order], part["exposure"][order]
    again = np.concatenate([[False], (star[1:] == star[:-1]) & (exposure[1:] == exposure[:-1])])
    if not again.any():
        return order, 0, 0
    copy = again.copy()
    for name in ("rcid", "x", "y", "mag", "mag_e"):
        if name in part:
            values = part[name][order]
            unknown = np.isnan(values[1:]) & np.isnan(values[:-1]) if values.dtype.kind == "f" else False
            copy[1:] &= (values[1:] == values[:-1]) | unknown
    return order[~copy], int(copy.sum()), int((again & ~copy).sum())


def _moved(order: NDArray[np.int64], part: Columns) -> bool:
    return len(order) != len(part["mag"]) or bool(np.any(order[1:] < order[:-1]))


def _origin(rows: Rows, order: NDArray[np.int64], n: int) -> NDArray[np.int64] | int:
    if isinstance(rows, slice):
        in_place = len(order) == n == rows.stop - rows.start and bool(np.all(order[1:] > order[:-1]))
        return int(rows.start) if in_place else order + np.int64(rows.start)
    return rows[order]


def _partition(part: Columns, reading: Reading, offsets: NDArray, origin: NDArray[np.int64] | int) -> Partition:
    star = part["star_id"]
    begin = np.concatenate([[0], np.flatnonzero(star[1:] != star[:-1]) + 1, [len(star)]]).astype(np.int64)
    star_id, n_row = star[begin[:-1]], np.diff(begin)
    terms = reading.terms
    index = np.empty((len(star), len(terms)), index_type(int(offsets[-1])))
    for k, term in enumerate(terms):
        np.add(term.index(part), offsets[k], out=index[:, k], casting="unsafe")
    value = np.empty((len(star), sum(term.value is not None for term in terms)), np.float32)
    for k, of_rows in enumerate(term.value for term in terms if term.value is not None):
        value[:, k] = of_rows(part)
    reference = part["mag"][begin[:-1]].astype(float)
    aside = _hashed_fraction(star_id) < reading.held_out
    anchor, anchor_mag = _anchored(star_id, reference, aside, reading.anchors)
    return Partition(
        first=begin,
        index=index,
        value=value,
        y=(part["mag"] - np.repeat(reference, n_row)).astype(np.float32),
        weight=(1 / (part["mag_e"].astype(float) ** 2 + reading.error_floor**2)).astype(np.float32),
        kept=np.repeat(~aside, n_row).astype(np.uint8),
        star_id=star_id,
        reference=reference,
        anchor=anchor,
        anchor_mag=anchor_mag,
        set_aside=(HELD_OUT * aside).astype(np.uint8),
        origin=origin,
    )


def _anchored(
    star_id: NDArray, reference: Floats, aside: NDArray[np.bool_], anchors: Anchors | None
) -> tuple[Floats, Floats]:
    if anchors is None or len(anchors.star_id) == 0:
        return np.zeros(len(star_id)), np.zeros(len(star_id))
    order = np.argsort(anchors.star_id, kind="stable")
    at = order[np.minimum(np.searchsorted(anchors.star_id[order], star_id), len(order) - 1)]
    known = (anchors.star_id[at] == star_id) & ~aside & np.isfinite(anchors.mag[at]) & (anchors.sigma[at] > 0)
    return np.where(known, anchors.sigma[at] ** -2.0, 0.0), np.where(known, anchors.mag[at] - reference, 0.0)


def _hashed_fraction(star_id: NDArray) -> Floats:
    """A number between 0 and 1 that belongs to the star, whatever table it is in (splitmix64)."""
    key = star_id.astype(np.int64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (key ^ (key >> np.uint64(31))) / 2.0**64
