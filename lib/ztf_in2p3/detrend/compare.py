"""Comparison of a new master calibration with those before it, quadrant by quadrant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.soundness import BLOCKS, SAMPLED_ROWS, block_medians, quadrant_fault
from ztf_in2p3.detrend.verdicts import GOOD, SUSPECT
from ztf_in2p3.recipes import FrameRecipe

_FRAMES = FrameRecipe()


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
    differences: NDArray[np.float32]
    """New minus old of some pixels, in the masters' unit."""


@dataclass(frozen=True, slots=True)
class _Limits:
    sigma: float
    most_moved: float
    floor: float
    most_shift: float
    frames: FrameRecipe


def compare(
    new: CcdMaster,
    *before: CcdMaster | None,
    sigma: float = 6.0,
    most_moved: float = 0.01,
    floor: float = 0.0,
    most_shift: float = 6.0,
    frames: FrameRecipe = _FRAMES,
) -> Comparison:
    """Judge each quadrant of a master by itself, then count the pixels that moved by more than their errors allow.

    A quadrant is judged alone, since amplifiers fail alone: what is unfit costs that quadrant, and the master is
    suspect only if no quadrant serves.  It must be sound by itself (`quadrant_fault`), and like one of the masters
    before it that is sound there: a predecessor that is not sound says nothing.  Errors are those that the headers
    predict, since a spoilt frame widens the measured ones and so would hide itself.
    A quadrant at a time is in memory, if the masters are open files.

    Parameters
    ----------
    before
        Earlier masters, the likeliest first; those after the first that is alike are not read.  None, or none: the
        first of its kind, whose quadrants serve if they are sound.
    sigma
        Threshold, in standard deviations of the difference of the two.
    most_moved
        Largest share of moved pixels of a good quadrant, and of pixels without data.
        At 6 sigma chance moves 2 in 10^9, so any share of that size is a change of the detector or a spoilt frame.
    floor
        Standard deviation, in the masters' unit, that is added to each pixel's error: what the detector
        itself changes by from one master to the next.
    most_shift
        Floors by which the median of a block of pixels, an eighth of the quadrant each way, may move.
    frames
        Limits of what a master is made of.

    Raises
    ------
    ValueError
        Masters of two CCDs.
    """
    older = [old for old in before if old is not None]
    for old in older:
        if new.ccdid != old.ccdid:
            raise ValueError(f"master of CCD {new.ccdid} compared with one of CCD {old.ccdid}")
    limits = _Limits(sigma, most_moved, floor, most_shift, frames)
    judged = {qid: _judge(new, older, qid, limits) for qid in sorted(new.data)}
    unfit = {qid: quadrant.reason for qid, quadrant in judged.items() if quadrant.reason}
    n_pixel = sum(quadrant.n_pixel for quadrant in judged.values())
    moved = sum(quadrant.n_moved + quadrant.n_lost for quadrant in judged.values()) / max(n_pixel, 1)
    differences = np.concatenate([quadrant.differences for quadrant in judged.values()])
    shift = float(np.median(differences)) if differences.size else float("nan") if unfit else 0.0
    quality = SUSPECT if len(unfit) == len(judged) else GOOD
    of_whole = unfit if quality != GOOD else {}
    reason = "; ".join(f"quadrant {qid}: {why}" for qid, why in of_whole.items())
    return Comparison(quality, reason, moved, shift, unfit)


def _judge(new: CcdMaster, older: Sequence[CcdMaster], qid: int, limits: _Limits) -> _Quadrant:
    after = new.data[qid]
    has_data = np.isfinite(after)
    n_lost = int(has_data.size - has_data.sum())
    fault = quadrant_fault(new, qid, after, limits.frames, limits.most_moved)
    lost = n_lost > limits.most_moved * has_data.size
    share = (
        f"{100 * n_lost / has_data.size:.3g} % of its pixels have no data; {100 * limits.most_moved:g} % are allowed"
    )
    alone = _Quadrant(0, n_lost, has_data.size, share if lost else fault, np.empty(0, np.float32))
    if not has_data.any():
        return alone
    nearest: _Quadrant | None = None
    for old in older:
        before = old.data[qid]
        if quadrant_fault(old, qid, before, limits.frames, limits.most_moved):
            continue  # neither sound nor able to tell what is
        difference = _difference(new, old, qid, (after, before), limits)
        if fault:
            return replace(difference, reason="; ".join(filter(None, (fault, difference.reason))))
        if not difference.reason:
            return difference
        nearest = nearest or difference
    return nearest or alone


def _difference(
    new: CcdMaster, old: CcdMaster, qid: int, planes: tuple[NDArray[np.float32], NDArray[np.float32]], limits: _Limits
) -> _Quadrant:
    after, before = planes
    n_lost = int((np.isfinite(before) & ~np.isfinite(after)).sum())
    difference = after - before
    allowed = _predicted_variance(new, qid)
    allowed += _predicted_variance(old, qid)
    allowed += np.float32(limits.floor**2)
    allowed *= np.float32(limits.sigma**2)
    known = np.isfinite(difference) & np.isfinite(allowed)
    n_pixel = int(known.sum()) + n_lost
    with np.errstate(invalid="ignore"):
        n_moved = int((known & (difference**2 > allowed)).sum())
    sample = difference[::SAMPLED_ROWS][known[::SAMPLED_ROWS]]
    shift = float(np.median(sample)) if sample.size else float("nan")
    reasons = []
    if n_moved + n_lost > limits.most_moved * n_pixel:
        reasons.append(
            f"{100 * (n_moved + n_lost) / n_pixel:.2f} % of {n_pixel} pixels moved by more than {limits.sigma:g} sigma "
            f"from the master before ({n_lost} have no data any more), {100 * limits.most_moved:g} % are allowed; "
            f"median shift {shift:.4g}"
        )
    medians = block_medians(difference)
    worst = float(np.nanmax(np.abs(medians))) if np.isfinite(medians).any() else 0.0
    if limits.floor and worst > limits.most_shift * limits.floor:
        reasons.append(
            f"a block of 1/{BLOCKS} of the quadrant's side moved by {worst:.4g} as a whole from the master before, "
            f"{limits.most_shift * limits.floor:.4g} are allowed"
        )
    return _Quadrant(n_moved, n_lost, n_pixel, "; ".join(reasons), sample)


def _predicted_variance(master: CcdMaster, qid: int) -> NDArray[np.float32]:
    """Variance as the headers predict it: that of the master without what its own frames scatter beyond."""
    variance = np.array(master.variance[qid], np.float32)
    excess = master.cards.get(f"EXCESS{qid}")
    if excess is not None:
        variance /= np.float32(excess[0] if isinstance(excess, tuple) else excess)
    return variance
