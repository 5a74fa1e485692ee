"""Which of the CCD exposures that should have a catalogue have one: in all, of each CCD, of each filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

from ztf_in2p3.identifiers import CcdExposure


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the CCD exposures of some part of a night have no catalogue."""

    part: str
    """``all``, ``c03`` or ``zr``."""
    n_asked: int
    n_missing: int

    @property
    def fraction(self) -> float:
        """Fraction of the CCD exposures that lack a catalogue."""
        return self.n_missing / self.n_asked if self.n_asked else 0.0

    def exceeds(self, tolerated: float) -> bool:
        """Whether more are missing than a tolerated fraction.

        A single exposure says nothing about its CCD or filter, unless the part has no other.
        """
        bad_luck = self.part != ALL and self.n_missing == 1 < self.n_asked
        return self.n_missing > tolerated * self.n_asked and not bad_luck

    def __str__(self) -> str:
        return f"{self.part}: {self.n_missing} of {self.n_asked} ({100 * self.fraction:.3g} %)"


ALL = "all"


@dataclass(frozen=True, slots=True)
class Completeness:
    """The shares of a night or a period without catalogue."""

    all: Share
    ccds: tuple[Share, ...] = ()
    filters: tuple[Share, ...] = ()

    @classmethod
    def of(cls, expected: Iterable[CcdExposure], measured: Collection[CcdExposure]) -> Self:
        """Compare what should have a catalogue with what has."""
        wanted = sorted(set(expected))
        missing = [ccd for ccd in wanted if ccd not in measured]

        def shares(name: str) -> tuple[Share, ...]:
            lost = Counter(_part(ccd, name) for ccd in missing)
            return tuple(Share(part, n, lost[part]) for part, n in Counter(_part(ccd, name) for ccd in wanted).items())

        return cls(Share(ALL, len(wanted), len(missing)), shares("ccd"), shares("filter"))

    def exceeding(self, tolerated: float) -> list[Share]:
        """Parts of which more is missing than is tolerated, the whole first."""
        return [share for share in (self.all, *self.ccds, *self.filters) if share.exceeds(tolerated)]


def worst(shares: Iterable[Share]) -> Share | None:
    """The part that lost most; None if nothing was asked for."""
    return max(shares, key=lambda share: share.fraction, default=None)


def _part(ccd: CcdExposure, name: str) -> str:
    return f"c{ccd.ccdid:02d}" if name == "ccd" else str(ccd.exposure.filter)
