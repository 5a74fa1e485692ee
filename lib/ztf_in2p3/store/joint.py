"""Products of one computation, which runs once, and only if one of them is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ztf_in2p3.errors import BadData, MissingProduct, PipelineError
from ztf_in2p3.products import Built, ProductRef

T = TypeVar("T")


class Once(Generic[T]):
    """A computation that runs when its result is first needed, and never again.

    A foreseen failure is its result too: whoever needs the result gets the same error, without the work done anew.
    """

    __slots__ = ("_compute", "_error", "_results")

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute
        self._error: PipelineError | None = None
        self._results: list[T] = []

    def __call__(self) -> T:
        """The result; the first call computes it."""
        if self._error is not None:
            raise self._error
        if not self._results:
            try:
                self._results.append(self._compute())
            except PipelineError as error:
                self._error = error
                raise
        return self._results[0]


@dataclass(frozen=True, slots=True)
class JointProduct(Generic[T]):
    """A product among several that are written from the result of one computation."""

    ref: ProductRef
    write: Callable[[Path, T], Mapping[str, Any] | None]
    """Writes the file from the result, and returns small facts to note in the manifest."""
    inputs: Sequence[Built] | None = None
    """What the product depends on, in a fixed order; None: the inputs that all have."""


@dataclass(frozen=True, slots=True)
class JointlyBuilt:
    """Products of one computation that there are now, and why there are not all of them."""

    built: tuple[Built, ...]
    failed: Mapping[ProductRef, BadData | MissingProduct]
    """Why a product could not be made; one error several times where it stopped the computation itself."""

    def reasons(self) -> Iterator[tuple[list[ProductRef], BadData | MissingProduct]]:
        """Each error once, with the products that it cost."""
        errors = {id(error): error for error in self.failed.values()}
        for error in errors.values():
            yield [ref for ref, reason in self.failed.items() if reason is error], error
