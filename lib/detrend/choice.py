"""Which calibration serves a night."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from lib.errors import MissingProduct
from lib.periods import Period


def nearest(periods: Iterable[Period], night: date, tolerance_days: int) -> Period:
    """Period of the calibration nearest in time to a night; of two equally near ones the older.

    Parameters
    ----------
    periods
        Those that have a calibration.
    tolerance_days
        Furthest that is accepted; a night inside a period is at distance 0.

    Raises
    ------
    MissingProduct
        None is near enough; the message lists what there is.
    """
    by_distance = sorted(set(periods), key=lambda period: (period.distance(night), period))
    if by_distance and by_distance[0].distance(night) <= tolerance_days:
        return by_distance[0]
    known = ", ".join(f"{period} ({period.distance(night)} days away)" for period in by_distance[:5]) or "none at all"
    more = f" and {len(by_distance) - 5} further ones" if len(by_distance) > 5 else ""
    raise MissingProduct(
        f"no calibration within {tolerance_days} days of {night:%Y%m%d}; there is {known}{more}; "
        "run the calibration flow for a nearer period, or raise the recipe's tolerance_days"
    )
