"""Is a new master calibration like the one before it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.verdicts import GOOD, SUSPECT

_SAMPLED = 8
"""One row in so many serves for the median shift."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a master has moved from its predecessor."""

    quality: str
    """"good" or "suspect"."""
    reason: str
    """Why it is suspect; empty if it is not."""
    moved: float
    """Share of the pixels that moved by more than the threshold."""
    shift: float
    """Median of new minus old, in the masters' unit."""


def compare(
    new: CcdMaster, old: CcdMaster | None = None, *, sigma: float = 6.0, most_moved: float = 0.01, floor: float = 0.0
) -> Comparison:
    """Count the pixels that moved by more than their errors allow.

    A quadrant at a time is in memory, if the masters are open files.

    Parameters
    ----------
    old
        None for the first of its kind: it is good if every quadrant of it has data.
    sigma
        Threshold, in standard deviations of the difference of the two.
    most_moved
        Largest share of moved pixels of a good master, and of pixels without data of a quadrant of the first.
        At 6 sigma chance moves 2 in 10^9, so any share of that size is a change of the detector or a spoilt frame.
    floor
        Standard deviation, in the masters' unit, that is added to each pixel's error: what the detector
        itself changes by from one master to the next.

    Raises
    ------
    ValueError
        Masters of two CCDs.
    """
    if old is None:
        return _first(new, most_moved)
    if new.ccdid != old.ccdid:
        raise ValueError(f"master of CCD {new.ccdid} compared with one of CCD {old.ccdid}")
    n_moved, n_known, n_lost, shifts = 0, 0, 0, []
    for qid in sorted(new.data):
        after, before = new.data[qid], old.data[qid]
        n_lost += int((np.isfinite(before) & ~np.isfinite(after)).sum())
        difference = after - before
        del after, before
        allowed = new.variance[qid] + old.variance[qid]
        allowed += np.float32(floor**2)
        allowed *= np.float32(sigma**2)
        known = np.isfinite(difference) & np.isfinite(allowed)
        n_known += int(known.sum())
        shifts.append(difference[::_SAMPLED][known[::_SAMPLED]])
        with np.errstate(invalid="ignore"):
            n_moved += int((known & (difference**2 > allowed)).sum())
    n_pixel = n_known + n_lost
    if not n_pixel:  # the one before had no data, so there is nothing to compare with
        return _first(new, most_moved)
    moved = (n_moved + n_lost) / n_pixel
    shift = float(np.median(np.concatenate(shifts))) if n_known else float("nan")
    if moved <= most_moved:
        return Comparison(GOOD, "", moved, shift)
    reason = (
        f"{100 * moved:.2f} % of {n_pixel} pixels moved by more than {sigma:g} sigma from the master before "
        f"({n_lost} have no data any more), {100 * most_moved:g} % are allowed; median shift {shift:.4g}"
    )
    return Comparison(SUSPECT, reason, moved, shift)


def _first(master: CcdMaster, most_lost: float) -> Comparison:
    """A master that has no predecessor speaks for itself only by having data: a dead quadrant is no reference."""
    lost = {qid: float(np.mean(~np.isfinite(plane))) for qid, plane in sorted(master.data.items())}
    dead = {qid: share for qid, share in lost.items() if share > most_lost}
    if not dead:
        return Comparison(GOOD, "", 0.0, 0.0)
    shares = ", ".join(f"{100 * share:.3g} % of quadrant {qid}" for qid, share in dead.items())
    reason = f"the first of its kind, and {shares} have no data; {100 * most_lost:g} % of a quadrant are allowed"
    return Comparison(SUSPECT, reason, float(np.mean(list(lost.values()))), float("nan"))
