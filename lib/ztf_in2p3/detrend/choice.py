"""Which calibration serves a night."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from ztf_in2p3.detrend.verdicts import GOOD, SUSPECT
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.periods import Period

RULES = ("nearest", "older")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A calibration of the right kind, detector and filter."""

    period: Period
    quality: str = GOOD
    """"good", "suspect" or "rejected"; good as long as nobody said otherwise."""
    reason: str = ""


def choose(
    candidates: Iterable[Candidate],
    night: date,
    *,
    tolerance_days: int,
    rule: str = "nearest",
    suspects: bool = False,
) -> Candidate:
    """The good calibration nearest in time to a night; of two equally near ones the older.

    Parameters
    ----------
    candidates
        At most one a period.
    tolerance_days
        Furthest that is accepted; a night inside a period is at distance 0.
    rule
        "nearest", or "older": only periods that begin no later than the night.
    suspects
        Whether the nearest suspect one serves where no good one is near enough.

    Raises
    ------
    MissingProduct
        None serves; the message lists what there is, and what is wrong with it.
    ValueError
        Another rule.
    """
    if rule not in RULES:
        raise ValueError(f"choice of calibrations {rule!r}; known: {', '.join(RULES)}")
    by_distance = sorted(
        candidates,
        key=lambda candidate: (
            candidate.period.distance(night),
            (candidate.period.last - candidate.period.first).days,  # the shortest knows most of its nights
            candidate.period,
        ),
    )
    near = [
        candidate
        for candidate in by_distance
        if candidate.period.distance(night) <= tolerance_days and (rule == "nearest" or candidate.period.first <= night)
    ]
    for quality in (GOOD, SUSPECT) if suspects else (GOOD,):
        for candidate in near:
            if candidate.quality == quality:
                return candidate
    older = "" if rule == "nearest" else ", no later"
    what = "calibration" if not near else "good calibration"
    raise MissingProduct(
        f"no {what} within {tolerance_days} days of {night:%Y%m%d}{older}; there is {_listed(by_distance, night)}; "
        "run the calibration flow for a nearer period, raise the recipe's tolerance_days, "
        "or accept a suspect one in deployments/verdicts.toml"
    )


def _listed(by_distance: list[Candidate], night: date) -> str:
    known = [
        f"{candidate.period} ({candidate.period.distance(night)} days away"
        + (")" if candidate.quality == GOOD else f", {candidate.quality}: {candidate.reason})")
        for candidate in by_distance[:5]
    ]
    more = [f"and {len(by_distance) - 5} further ones"] if len(by_distance) > 5 else []
    return ", ".join(known + more) or "none at all"
