"""Comparison of a new master calibration with the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    """Why it is not good; empty if it is."""
    moved: float
    """Share of the pixels that moved by more than the threshold."""
    shift: float
    """Median of new minus old, in the masters' unit."""
    unfit: Mapping[int, str] = field(default_factory=dict)
    """Why a quadrant does not serve, by qid; the others do, unless the master is suspect."""


@dataclass(frozen=True, slots=True)
class _Quadrant:
    """What was counted of one quadrant."""

    n_moved: int
    n_lost: int
    n_pixel: int
    reason: str
    """Why it does not serve; empty if it does."""
    dead: bool
    """Whether no pixel holds data."""
    differences: NDArray[np.float32]
    """New minus old of some pixels, in the masters' unit."""


def compare(
    new: CcdMaster, old: CcdMaster | None = None, *, sigma: float = 6.0, most_moved: float = 0.01, floor: float = 0.0
) -> Comparison:
    """Count the pixels that moved by more than their errors allow, quadrant by quadrant.

    A quadrant is judged alone, since amplifiers fail alone.  One without any data serves nobody, and takes nothing
    from the others: the master is good without it.  It is suspect if a quadrant that holds data is, or if none does.
    A quadrant at a time is in memory, if the masters are open files.

    Parameters
    ----------
    old
        None for the first of its kind: its quadrants are good if they have data.
    sigma
        Threshold, in standard deviations of the difference of the two.
    most_moved
        Largest share of moved pixels of a good quadrant, and of pixels without data of the first of its kind.
        At 6 sigma chance moves 2 in 10^9, so any share of that size is a change of the detector or a spoilt frame.
    floor
        Standard deviation, in the masters' unit, that is added to each pixel's error: what the detector
        itself changes by from one master to the next.

    Raises
    ------
    ValueError
        Masters of two CCDs.
    """
    if old is not None and new.ccdid != old.ccdid:
        raise ValueError(f"master of CCD {new.ccdid} compared with one of CCD {old.ccdid}")
    judged = {qid: _judge(new, old, qid, sigma, most_moved, floor) for qid in sorted(new.data)}
    unfit = {qid: quadrant.reason for qid, quadrant in judged.items() if quadrant.reason}
    n_pixel = sum(quadrant.n_pixel for quadrant in judged.values())
    moved = sum(quadrant.n_moved + quadrant.n_lost for quadrant in judged.values()) / max(n_pixel, 1)
    differences = np.concatenate([quadrant.differences for quadrant in judged.values()])
    shift = float(np.median(differences)) if differences.size else float("nan") if unfit else 0.0
    suspect = [qid for qid in unfit if not judged[qid].dead]
    quality = SUSPECT if suspect or len(unfit) == len(judged) else GOOD
    of_whole = unfit if quality != GOOD else {}
    reason = "; ".join(f"quadrant {qid}: {why}" for qid, why in of_whole.items())
    return Comparison(quality, reason, moved, shift, unfit)


def _judge(new: CcdMaster, old: CcdMaster | None, qid: int, sigma: float, most_moved: float, floor: float) -> _Quadrant:
    after, before = new.data[qid], None if old is None else old.data[qid]
    has_data = np.isfinite(after)
    dead = not has_data.any()
    if before is None or not np.isfinite(before).any():  # the first of its kind, or nothing to compare with
        n_lost = int(has_data.size - has_data.sum())
        reason = ""
        if n_lost > most_moved * has_data.size:
            share = 100 * n_lost / has_data.size
            reason = f"{share:.3g} % of its pixels have no data; {100 * most_moved:g} % are allowed"
        return _Quadrant(0, n_lost, has_data.size, reason, dead, np.empty(0, np.float32))
    assert old is not None
    n_lost = int((np.isfinite(before) & ~has_data).sum())
    difference = after - before
    del after, before, has_data
    allowed = new.variance[qid] + old.variance[qid]
    allowed += np.float32(floor**2)
    allowed *= np.float32(sigma**2)
    known = np.isfinite(difference) & np.isfinite(allowed)
    n_pixel = int(known.sum()) + n_lost
    with np.errstate(invalid="ignore"):
        n_moved = int((known & (difference**2 > allowed)).sum())
    sample = difference[::_SAMPLED][known[::_SAMPLED]]
    reason = ""
    if n_moved + n_lost > most_moved * n_pixel:
        shift = float(np.median(sample)) if sample.size else float("nan")
        reason = (
            f"{100 * (n_moved + n_lost) / n_pixel:.2f} % of {n_pixel} pixels moved by more than {sigma:g} sigma from "
            f"the master before ({n_lost} have no data any more), {100 * most_moved:g} % are allowed; "
            f"median shift {shift:.4g}"
        )
    return _Quadrant(n_moved, n_lost, n_pixel, reason, dead, sample)
