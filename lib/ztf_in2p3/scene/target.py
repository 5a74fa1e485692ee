"""What a light curve is made of: a place on the sky, bands, and when the source may shine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self

from ztf_in2p3.errors import Mistyped
from ztf_in2p3.periods import Period

MJD_ORDINAL = 678576
"""Day of the proleptic Gregorian calendar, as `date.toordinal` counts, of MJD 0."""
_KNOWN = {"name", "ra", "dec", "bands", "shines", "period"}


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A span of time within nights: of a flare, or the transit of a planet."""

    first: float
    last: float
    """MJD (UTC), both within."""

    def __post_init__(self) -> None:
        if not self.first <= self.last:
            raise ValueError(f"a window that ends at MJD {self.last:.5f}, before it begins at {self.first:.5f}")

    def __contains__(self, mjd: float) -> bool:
        return self.first <= mjd <= self.last

    def __str__(self) -> str:
        return f"MJD {self.first:.6f} to {self.last:.6f}"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A transient."""

    name: str
    ra: float
    dec: float
    """ICRS, degrees."""
    bands: tuple[str, ...]
    """Filters, as the exposures name them: zg, zr, zi."""
    shines: Period | Window
    """Nights (UT), or times, at which the source may shine; at all others its flux is zero by assumption."""
    period: Period | None = None
    """Nights of the exposures to use; all there are if not given."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", self.name):
            raise ValueError(
                f"target {self.name!r}: a name has letters, digits and + . _ - only, it becomes a folder's"
            )
        if not (0 <= self.ra < 360 and -90 <= self.dec <= 90):
            raise ValueError(f"target {self.name}: ra {self.ra}, dec {self.dec} is no place on the sky (degrees)")
        if not self.bands or len(set(self.bands)) < len(self.bands):
            raise ValueError(f"target {self.name}: bands {self.bands}; expected different ones, at least one")

    def may_shine(self, mjd: float) -> bool:
        """Whether the source may shine at a date (MJD)."""
        return mjd in self.shines if isinstance(self.shines, Window) else _night(mjd) in self.shines

    def wants(self, mjd: float) -> bool:
        """Whether an exposure of this date is to be used."""
        return self.period is None or _night(mjd) in self.period

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Read a table of a TOML file: name, ra, dec, bands; shines and period, [first, last] night (shines: or time).

        Raises
        ------
        ValueError
            Naming the target, what is wrong with it and what may stand there.
        """
        name = str(table.get("name", "without a name"))
        strange, missing = sorted(set(table) - _KNOWN), sorted(_KNOWN - {"period"} - set(table))
        if strange or missing:
            wrong = [*(f"no {key}" for key in missing), *(f"strange {key}" for key in strange)]
            raise ValueError(f"target {name}: {', '.join(wrong)}; expected {', '.join(sorted(_KNOWN))}")
        try:
            period = None if table.get("period") is None else _period(table["period"])
            bands, place = tuple(str(band) for band in table["bands"]), (float(table["ra"]), float(table["dec"]))
            return cls(name, *place, bands, _span(table["shines"]), period)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"target {name}: {error}") from None


def read_targets(path: Path) -> list[Target]:
    """Targets of a TOML file, its tables ``[[target]]``.

    Raises
    ------
    Mistyped
        The file cannot be read, holds none, or one that cannot be; the message names file and target.
    """
    try:
        tables = tomllib.loads(path.read_text()).get("target", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Mistyped(f"{path}: {error}; expected a TOML file with tables [[target]]") from None
    if not tables or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Mistyped(f"{path}: no target; expected tables [[target]] with {', '.join(sorted(_KNOWN))}")
    try:
        targets = [Target.parse(table) for table in tables]
    except ValueError as error:
        raise Mistyped(f"{path}: {error}") from None
    twice = {target.name for target in targets if sum(twin.name == target.name for twin in targets) > 1}
    if twice:
        raise Mistyped(f"{path}: several targets are named {', '.join(sorted(twice))}; their products would collide")
    return targets


def _night(mjd: float) -> date:
    return date.fromordinal(MJD_ORDINAL) + timedelta(days=int(mjd // 1))


def _span(ends: Any) -> Period | Window:
    """Nights; or times, where an end has a time of day."""
    if not isinstance(ends, list) or len(ends) != 2 or not any(map(_has_time, ends)):
        return _period(ends)
    first, last = (end if isinstance(end, date) else datetime.fromisoformat(str(end)) for end in ends)
    return Window(_mjd(first, time.min), _mjd(last, time.max))


def _has_time(end: Any) -> bool:
    return isinstance(end, datetime) or (isinstance(end, str) and ":" in end)


def _mjd(when: date, of_day: time) -> float:
    """MJD of a time (UTC where it says no zone); of a date, at a time of day."""
    moment = when if isinstance(when, datetime) else datetime.combine(when, of_day)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.fromordinal(MJD_ORDINAL).replace(tzinfo=UTC)) / timedelta(days=1)


def _period(ends: Any) -> Period:
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"{ends!r} is no span of nights; expected [2019-04-05, 2019-08-01]")
    first, last = (end if type(end) is date else date.fromisoformat(str(end)) for end in ends)
    return Period(first, last)


def chosen_targets(path: Path, names: Iterable[str] | None) -> list[Target]:
    """Targets of a file, or some of them.  Mistyped if the file does not have one of these."""
    targets = read_targets(path)
    known = {target.name for target in targets}
    strange = sorted(set(names or ()) - known)
    if strange:
        raise Mistyped(f"names: {', '.join(strange)}; {path} has {', '.join(sorted(known))}")
    return [target for target in targets if names is None or target.name in set(names)]
