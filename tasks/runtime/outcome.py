"""What a task or a flow has to show: products made, products found, inputs set aside and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Self, TypeVar

from ztf_in2p3.errors import BadData, MissingProduct, PipelineError, TransientError
from ztf_in2p3.figures.completeness import Completeness
from ztf_in2p3.figures.page import FAIL
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Built, Kind, ProductRef, ccd_of, is_of_survey
from ztf_in2p3.store import JointlyBuilt, Store

T = TypeVar("T")

_NAMES = re.compile(
    r"(ztf(in2p3)?_)?\d{14}(_\d{6}_[a-z]{2})?(_c\d\d)?(_[obfd](?![a-z]))?(_q\d)?|(?<!\d)\d{8}(?!\d)|"
    r"(?<![a-z0-9])c\d\d(?!\d)|(?<![a-z0-9])q\d(?!\d)"
)
"""What in a reason says which data it is about: exposure, CCD, quadrant, night."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An input that could not be used.  The rest of the night goes on."""

    what: str
    reason: str

    @classmethod
    def because(cls, what: str, error: BaseException) -> Self:
        """An input that an error made unusable."""
        return cls(what, f"{type(error).__name__}: {error}")

    @property
    def kind(self) -> str:
        """The reason without the names of the data: alike for all that were skipped for the same cause."""
        return _NAMES.sub("*", self.reason.replace(self.what, "*"))


class Outcome:
    """Partial failure is data: what there is, and what there is not.

    No dataclass, because the orchestrator looks through those for futures, product by product.

    Parameters
    ----------
    built
        Products, made now or found.
    set_aside
        Inputs that could not be used, each reason once.
    expected
        CCD exposures that should have a catalogue by apertures or the PSF (or detrended images), whatever became of
        them; empty where that is not what was asked for.
    note
        How it ended, where the counts alone do not tell.
    failure
        Why the result is not good although it was made: the verdict of its page; empty if it is good.
    """

    __slots__ = ("built", "expected", "failure", "note", "set_aside")

    def __init__(
        self,
        built: Iterable[Built] = (),
        set_aside: Iterable[SetAside] = (),
        expected: Iterable[CcdExposure] = (),
        note: str = "",
        failure: str = "",
    ) -> None:
        self.built = tuple(built)
        self.set_aside = tuple(dict.fromkeys(set_aside))
        self.expected = frozenset(expected)
        self.note, self.failure = note, failure

    def _values(self) -> tuple[object, ...]:
        return self.built, self.set_aside, self.expected, self.note, self.failure

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Outcome({self.built!r}, {self.set_aside!r})"

    def __add__(self, other: Outcome) -> Outcome:
        return total([self, other])

    def of(self, *kinds: Kind) -> list[Built]:
        """The products of some kinds."""
        return [built for built in self.built if built.ref.kind in kinds]

    @property
    def n_made(self) -> int:
        """Number of products made now."""
        return sum(not built.found for built in self.built)

    @property
    def n_found(self) -> int:
        """Number of products found in the store."""
        return sum(built.found for built in self.built)

    @property
    def completeness(self) -> Completeness:
        """Which CCD exposures have what was asked for.

        One that was set aside has not, whatever PSFs of its quadrants were made beside its catalogue.
        """
        by_aperture = self.of(Kind.CATALOGUE, Kind.SCIENCE_CATALOGUE, Kind.QUADRANT)
        aside = {about.what for about in self.set_aside}
        measured = {ccd_of(built.ref) for built in by_aperture if is_of_survey(built.ref)}
        with_psf = {ccd_of(built.ref) for built in self.of(Kind.PSF_CATALOGUE) if is_of_survey(built.ref)}
        return Completeness.of(self.expected, measured | {ccd for ccd in with_psf if str(ccd) not in aside})

    def __str__(self) -> str:
        counts = f"{self.n_made} made, {self.n_found} cached, {len(self.set_aside)} set aside"
        return f"{counts}; {self.note}" if self.note else counts

    def table(self) -> list[dict[str, object]]:
        """One row a kind of product: how many were made, how many found."""
        kinds = dict.fromkeys(built.ref.kind for built in self.built)
        return [
            {"product": str(kind), "made": of_kind.n_made, "cached": of_kind.n_found}
            for kind in kinds
            for of_kind in [Outcome(tuple(self.of(kind)))]
        ]


def total(outcomes: Iterable[Outcome]) -> Outcome:
    """All outcomes as one."""
    parts = list(outcomes)
    return Outcome(
        (built for part in parts for built in part.built),
        (aside for part in parts for aside in part.set_aside),
        (ccd for part in parts for ccd in part.expected),
        "; ".join(dict.fromkeys(part.note for part in parts if part.note)),
        "; ".join(dict.fromkeys(part.failure for part in parts if part.failure)),
    )


def failure_of(page: Outcome, store: Store) -> str:
    """The verdict of a page that says FAIL, and where the page is; empty for a good one, or none."""
    failed = [built for built in page.of(Kind.REPORT) if built.about.get("verdict") == FAIL]
    return "; ".join(
        f"{report.ref.label}: {report.about.get('verdict_text')} See {store.uri(report.ref)}" for report in failed
    )


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


def outcome_of(
    joint: JointlyBuilt, computation: str, name: Callable[[ProductRef], str] = attrgetter("label")
) -> Outcome:
    """Products of one computation; what stopped several of them is a single line, by the name of the computation."""
    aside = [
        SetAside.because(name(refs[0]) if len(refs) == 1 else computation, error) for refs, error in joint.reasons()
    ]
    return Outcome(joint.built, aside)


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
