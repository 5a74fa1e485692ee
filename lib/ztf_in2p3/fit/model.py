"""One linear model: y = star + sum over families of value * parameter[index], with weights.

A family is a set of parameters of one kind (zero points of exposures, cells of a map, ...).
Every measurement touches one parameter of each family; families without values come first.
The table is a sequence of partitions that each hold whole stars: nothing asks for all at once,
and whatever is done to them is done where they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Floats = NDArray[np.float64]
RowArrays = tuple[NDArray, NDArray, NDArray, NDArray, NDArray]
"""Offsets of the stars, index, value, weight and kept of a partition: what every pass reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """A few smooth shapes of a family, in which its slow errors are solved for directly.

    parameter[j] = sum over k of value[j, k] * shape[index[j, k]]
    """

    index: NDArray[np.int32]
    value: Floats
    size: int

    @classmethod
    def identity(cls, size: int) -> Coarse:
        """Every parameter a coarse one by itself."""
        return cls(np.arange(size, dtype=np.int32)[:, None], np.ones((size, 1)), size)

    @classmethod
    def groups(cls, group: NDArray, shapes: Floats | None = None) -> Coarse:
        """A constant in each group, and optionally its product with each column of `shapes`."""
        n_group = int(group.max()) + 1 if len(group) else 0
        columns = np.ones((len(group), 1)) if shapes is None else np.column_stack([np.ones(len(group)), shapes])
        n_shape = columns.shape[1]
        index = group[:, None] * n_shape + np.arange(n_shape)
        return cls(index.astype(np.int32), columns, n_group * n_shape)


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Parameters of one kind."""

    name: str
    labels: NDArray
    """(parameter,): what each parameter belongs to."""
    valued: bool = False
    """The parameter is multiplied with a value of the measurement (a colour, an airmass)."""
    constant_in_star: bool = True
    """The value is the same in all measurements of a star, so the family's mean is degenerate with the stars'."""
    prior_mean: Floats | None = None
    prior_sigma: Floats | None = None
    """(parameter,); infinite where nothing is known."""
    coarse: Coarse | None = None
    unit: str = "mag"
    watched: bool = False
    """The solver goes on until these move no more: zero points."""
    fixed_if_unknown: bool = False
    """Parameters whose stars have no measurement of another parameter count as zero: the stars' magnitudes carry what
    they would; else what is made of them is unknown."""

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Measurements of some stars, all of each; rows sorted by star, within it by exposure."""

    first: NDArray[np.int64]
    """(star + 1,): offset of each star's rows."""
    index: NDArray[np.integer]
    """(row, family): parameters in the order of the whole model, of `index_type`."""
    value: NDArray[np.float32]
    """(row, family with values)"""
    y: NDArray[np.float32]
    """Measured magnitude over the star's reference, so that float32 keeps a ten-thousandth of a millimagnitude."""
    weight: NDArray[np.float32]
    """Inverse variance, mag^-2; changes where the claimed errors turn out wrong."""
    kept: NDArray[np.uint8]
    """0 where the row is rejected; changes."""
    star_id: NDArray
    reference: Floats
    """(star,): magnitude subtracted from y."""
    anchor: Floats
    """(star,): inverse variance of the magnitude known from elsewhere, 0 where none is."""
    anchor_mag: Floats
    """(star,): that magnitude, over the reference."""
    set_aside: NDArray[np.uint8]
    """(star,): 1 for a star left out as a whole: variable, or held out for a test; changes."""
    origin: NDArray[np.int64] | int
    """Row of the input of each row; a number where they follow each other from there."""

    @property
    def rows(self) -> RowArrays:
        """Arrays that the compiled passes take."""
        return self.first, self.index.view(f"u{self.index.itemsize}"), self.value, self.weight, self.kept

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return len(self.first) - 1

    def origin_of(self, rows: NDArray) -> NDArray[np.int64]:
        """Rows of the source table that these rows (row,) come from."""
        return self.origin[rows] if isinstance(self.origin, np.ndarray) else rows + np.int64(self.origin)

    def star_of_rows(self) -> NDArray[np.int64]:
        """Star of each row (row,)."""
        return np.repeat(np.arange(self.n_star), np.diff(self.first))


class Parts(Protocol):
    """Partitions that are in one place: in memory, on disk."""

    @property
    def n_row(self) -> int:
        """Number of measurements."""

    @property
    def n_star(self) -> int:
        """Number of stars."""

    def __iter__(self) -> Iterator[Partition]:
        """Star by star, a part at a time, always in the same order."""

    def keep(self, number: int, part: Partition, names: Sequence[str]) -> None:
        """Remember what a partition, counted from 0, now has in arrays of these names."""


class InMemory:
    """Partitions in memory."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = tuple(partitions)

    @property
    def n_row(self) -> int:
        """Number of measurements."""
        return sum(len(part.y) for part in self._partitions)

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return sum(part.n_star for part in self._partitions)

    def __iter__(self) -> Iterator[Partition]:
        yield from self._partitions

    def keep(self, number: int, part: Partition, names: Sequence[str]) -> None:
        """Partitions are changed in place."""


def changing(parts: Parts, *names: str) -> Iterator[Partition]:
    """Partitions whose `kept` and `set_aside`, or arrays of other names, may be changed until the next is asked for."""
    for number, part in enumerate(parts):
        yield part
        parts.keep(number, part, names or ("kept", "set_aside"))


class Model:
    """Families of parameters and the star-sorted measurements that constrain them."""

    def __init__(self, families: Sequence[Family], parts: Parts | Sequence[Partition]) -> None:
        valued = [family.valued for family in families]
        if valued != sorted(valued):
            raise ValueError("families without values come first, as in the columns of `Partition.index`")
        self.families = tuple(families)
        self.offsets = offsets_of(families)
        self.parts: Parts = InMemory(parts) if isinstance(parts, Sequence) else parts
        self.units = (0,) * valued.count(False)
        self.width = (0,) * valued.count(True)
        self.prior_weight, self.prior_mean = self._priors()
        self.steady = np.ones(self.n_param, bool)
        """(parameter,): False for those that a gauge of zero mean leaves out."""

    def each(self, visit: Callable[..., T], *args: Any) -> Iterator[T]:
        """What `visit(parts, *args)` returns in each place that holds partitions, in their order."""
        yield visit(self.parts, *args)

    def total(self, visit: Callable[..., NDArray], *args: Any) -> NDArray:
        """The sum of that."""
        return functools.reduce(np.add, self.each(visit, *args))

    @property
    def n_param(self) -> int:
        """Number of parameters without the stars."""
        return int(self.offsets[-1])

    @property
    def n_row(self) -> int:
        """Number of measurements."""
        return self.parts.n_row

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return self.parts.n_star

    def family(self, name: str) -> Family:
        """The family of a name."""
        return next(family for family in self.families if family.name == name)

    def span(self, name: str) -> slice:
        """Place of a family's parameters in the vector of all."""
        at = [family.name for family in self.families].index(name)
        return slice(int(self.offsets[at]), int(self.offsets[at + 1]))

    def watched(self) -> NDArray[np.bool_]:
        """Parameters (parameter,) whose changes decide about convergence."""
        return np.concatenate([np.full(family.size, family.watched) for family in self.families])

    def _priors(self) -> tuple[Floats, Floats]:
        weight, mean = np.zeros(self.n_param), np.zeros(self.n_param)
        for family in self.families:
            if family.prior_sigma is not None:
                span = self.span(family.name)
                weight[span] = 1 / np.asarray(family.prior_sigma, float) ** 2
                mean[span] = 0.0 if family.prior_mean is None else family.prior_mean
        return weight, mean


def offsets_of(families: Iterable[Family]) -> NDArray[np.int64]:
    """First parameter of each family in the vector of all, and their total."""
    return np.concatenate([[0], np.cumsum([family.size for family in families])]).astype(np.int64)


def index_type(n_param: int) -> np.dtype:
    """Narrowest of two types in which a row can say which parameters it touches: half of its memory are these."""
    return np.dtype(np.uint16 if n_param <= 1 << 16 else np.uint32)
