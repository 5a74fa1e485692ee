"""What a task or a flow has to show: products made, products found, inputs set aside and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

from ztf_in2p3.errors import BadData, MissingProduct, PipelineError, TransientError
from ztf_in2p3.products import Built, Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SetAside:
    """An input that could not be used.  The rest of the night goes on."""

    what: str
    reason: str

    @classmethod
    def because(cls, what: str, error: BaseException) -> Self:
        return cls(what, f"{type(error).__name__}: {error}")


class Outcome:
    """Partial failure is data: what there is, and what there is not.

    No dataclass, because the orchestrator looks through those for futures, product by product.
    """

    __slots__ = ("built", "set_aside")

    def __init__(self, built: Iterable[Built] = (), set_aside: Iterable[SetAside] = ()) -> None:
        self.built = tuple(built)
        self.set_aside = tuple(set_aside)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and (self.built, self.set_aside) == (other.built, other.set_aside)

    def __hash__(self) -> int:
        return hash((self.built, self.set_aside))

    def __repr__(self) -> str:
        return f"Outcome({self.built!r}, {self.set_aside!r})"

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.built + other.built, self.set_aside + other.set_aside)

    def of(self, *kinds: Kind) -> list[Built]:
        """The products of some kinds."""
        return [built for built in self.built if built.ref.kind in kinds]

    @property
    def n_made(self) -> int:
        return sum(not built.found for built in self.built)

    @property
    def n_found(self) -> int:
        return sum(built.found for built in self.built)

    def __str__(self) -> str:
        return f"{self.n_made} made, {self.n_found} cached, {len(self.set_aside)} set aside"

    def table(self) -> list[dict[str, object]]:
        """One row a kind of product: how many were made, how many found."""
        kinds = dict.fromkeys(built.ref.kind for built in self.built)
        return [
            {"product": str(kind), "made": one.n_made, "cached": one.n_found}
            for kind in kinds
            for one in [Outcome(tuple(self.of(kind)))]
        ]


def total(outcomes: Iterable[Outcome]) -> Outcome:
    return sum(outcomes, Outcome())


def attempt(parts: Iterable[T], make: Callable[[T], Built], name: Callable[[T], str] = str) -> Outcome:
    """Make one product of each part.  A bad part is set aside; the others are made all the same.

    Raises
    ------
    TransientError
        After all parts were tried, if one may succeed later: the next try finds the others made.
    """
    built, aside = [], []
    later: TransientError | None = None
    for part in parts:
        try:
            built.append(make(part))
        except (BadData, MissingProduct) as error:
            aside.append(SetAside.because(name(part), error))
        except TransientError as error:
            later = error
    if later is not None:
        raise later
    return Outcome(tuple(built), tuple(aside))


def as_outcome(what: str, result: Built | Outcome | BaseException) -> Outcome:
    """One task's result as an outcome.  Errors that nobody foresaw are raised: they are mistakes in the code."""
    match result:
        case Outcome():
            return result
        case Built():
            return Outcome((result,))
        case PipelineError():
            return Outcome(set_aside=(SetAside.because(what, result),))
        case BaseException():
            raise result
    raise TypeError(f"{what} returned a {type(result).__name__}; a product task returns Built or Outcome")
