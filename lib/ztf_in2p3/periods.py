"""Spans of nights over which the camera did not change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Nights that share one set of master calibrations."""

    first: date
    last: date
    """Included."""

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"period ends {self.last}, before it starts {self.first}")

    def __contains__(self, night: date) -> bool:
        return self.first <= night <= self.last

    def distance(self, night: date) -> int:
        """Days between a night and the nearest night of the period; 0 inside it."""
        return max((self.first - night).days, (night - self.last).days, 0)

    def __str__(self) -> str:
        return f"{self.first:%Y%m%d}_{self.last:%Y%m%d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`; a single date, ``20190405`` or ``2019-04-05``, is a period of one night."""
        first, _, last = text.partition("_")
        try:
            return cls(date.fromisoformat(first), date.fromisoformat(last or first))
        except ValueError as error:
            raise ValueError(
                f"{text!r} is no period: {error}; expected YYYYMMDD_YYYYMMDD or one night YYYYMMDD"
            ) from None

    @classmethod
    def of(cls, night: date) -> Self:
        """The period of one night."""
        return cls(night, night)
