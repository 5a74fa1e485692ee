"""Calibration frames checked before they are stacked: each alone, and against those of its series.

What is wrong with an amplifier costs its quadrant of the frame.  What is wrong with the light (a lamp that was
off, light in a bias frame, another illumination) comes to the whole CCD: seen in two quadrants, it costs the frame.
A majority is right where nothing else tells; a bias series that falls in two levels has its dark frames in the
lower one, since light only adds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.detrend.amplifiers import UsableFrames
from ztf_in2p3.detrend.frame_samples import FrameSample, QuadrantSample
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.recipes import FrameRecipe
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN

_QIDS = range(1, N_QUADRANT + 1)
_SHARE = 90
"""Per cent of a quadrant's blocks that must be alike: a few may hold a hot column."""
_ROUNDING_ADU = 12**-0.5
"""Noise of whole numbers: frames that have less can only be simulated, and differ by what the offset's fit leaves."""
_NOISES = 6.0
"""Errors of a block's median that are allowed on top of a limit."""
_LEAST_GROUP = 0.3
"""Share of the frames from which on the lowest group of levels is that of the dark frames."""
_QUADRANTS_OF_LIGHT = 2
"""Quadrants in which the light of a frame must be wrong to be wrong in all."""


@dataclass(slots=True)
class _Faults:
    """What is wrong with the frames of a CCD."""

    of_amplifier: dict[int, dict[int, str]] = field(default_factory=lambda: {qid: {} for qid in _QIDS})
    """Reasons by qid, then by the frame's index."""
    of_light: dict[int, dict[int, str]] = field(default_factory=lambda: {qid: {} for qid in _QIDS})
    refused: dict[int, str] = field(default_factory=dict)
    """Why no frame of a quadrant can be trusted, by qid."""

    def left(self, n_frame: int, qid: int) -> list[int]:
        """Frames in which nothing is wrong with the quadrant yet."""
        bad = self.of_amplifier[qid].keys() | self.of_light[qid].keys()
        return [index for index in range(n_frame) if index not in bad]

    def spread_light(self) -> None:
        """Leave out whole frames whose light is wrong in several quadrants."""
        where: dict[int, list[int]] = defaultdict(list)
        for qid in _QIDS:
            for index in self.of_light[qid]:
                where[index].append(qid)
        for index, qids in where.items():
            if len(qids) >= _QUADRANTS_OF_LIGHT:
                listed = ", ".join(str(qid) for qid in qids)
                reason = f"{self.of_light[qids[0]][index]} (quadrants {listed} are alike)"
                for qid in _QIDS:
                    self.of_light[qid][index] = reason


def check_bias_frames(samples: Sequence[FrameSample], recipe: FrameRecipe) -> dict[int, UsableFrames]:
    """Bias frames that serve, by qid.

    Alone: the amplifier works, the level over the offset and the noise are those of an unlit frame.  Against each
    other: noise, level, and the pattern over the quadrant.
    """
    faults = _amplifier_faults(samples, recipe)
    for qid in _QIDS:
        _check_noise(samples, qid, recipe, faults)
        quadrants = _of_quadrant(samples, qid)
        for index in faults.left(len(samples), qid):
            level = quadrants[index].level
            if not recipe.bias_low <= level <= recipe.bias_high:
                faults.of_light[qid][index] = (
                    f"has a level of {level:.1f} ADU over its overscan; {recipe.bias_low:g} to {recipe.bias_high:g} "
                    "is that of a bias"
                )
        left = faults.left(len(samples), qid)
        _check_levels(quadrants, left, qid, recipe, faults)
        left = faults.left(len(samples), qid)
        if not left:
            continue
        levels = np.array([quadrants[index].level for index in left])
        blocks = np.array([quadrants[index].blocks for index in left])
        pattern = blocks - levels[:, np.newaxis]
        noise = float(np.median([quadrants[index].noise for index in left]))
        error = _NOISES * _block_error(samples, noise)
        reason = "is off the pattern of the others by {:.1f} ADU"
        _check_alike(pattern, left, recipe.bias_pattern + error, reason, qid, faults)
    faults.spread_light()
    return _usable(samples, faults, recipe)


def check_flat_frames(samples: Sequence[FrameSample], recipe: FrameRecipe) -> dict[int, UsableFrames]:
    """Flats of one lamp that serve, by qid.

    Alone: the amplifier works, the lamp shone, few pixels are full.  Against each other: the lamp's light per second,
    and how it falls on the CCD.
    """
    faults = _amplifier_faults(samples, recipe)
    for qid in _QIDS:
        quadrants = _of_quadrant(samples, qid)
        for index in faults.left(len(samples), qid):
            level = quadrants[index].level
            if level < recipe.flat_least:  # False without data: the bias has none there
                faults.of_light[qid][index] = (
                    f"has {level:.4g} ADU over the bias, less than {recipe.flat_least:g}: was the lamp on?"
                )
    levels = _frame_levels(samples, faults)
    _check_lamp(samples, levels, recipe, faults)
    for qid in _QIDS:
        left = [index for index in faults.left(len(samples), qid) if np.isfinite(levels[index])]
        blocks = np.array([samples[index].quadrants[qid].blocks for index in left])
        if not np.isfinite(blocks).any():
            continue
        relative = blocks / levels[left, np.newaxis]
        with np.errstate(invalid="ignore"):
            relative /= np.nanmedian(relative, axis=0)
        photons = float(np.sqrt(np.nanmedian(blocks)) / np.nanmedian(blocks))  # of a gain of 1 or more
        error = _NOISES * _block_error(samples, photons)
        reason = "is lit otherwise than the others by {:.2%}"
        _check_alike(relative, left, recipe.flat_pattern + error, reason, qid, faults)
    faults.spread_light()
    return _usable(samples, faults, recipe)


# --- small parts


def _of_quadrant(samples: Sequence[FrameSample], qid: int) -> list[QuadrantSample]:
    return [sample.quadrants[qid] for sample in samples]


def _amplifier_faults(samples: Sequence[FrameSample], recipe: FrameRecipe) -> _Faults:
    faults = _Faults()
    for index, sample in enumerate(samples):
        for qid, quadrant in sample.quadrants.items():
            if quadrant.fault:
                faults.of_amplifier[qid][index] = quadrant.fault
            elif quadrant.saturated > recipe.most_saturated:
                faults.of_light[qid][index] = f"is saturated in {100 * quadrant.saturated:.3g} % of its pixels"
    return faults


def _check_noise(samples: Sequence[FrameSample], qid: int, recipe: FrameRecipe, faults: _Faults) -> None:
    """Leave out frames whose pixels are noisier than READNOI says, or than those of the others."""
    left = faults.left(len(samples), qid)
    noise = {index: samples[index].quadrants[qid].noise for index in left}
    for index in left:
        nominal = samples[index].read_noise[qid]
        if noise[index] > recipe.noise_ratio * nominal:
            faults.of_light[qid][index] = (
                f"has a noise of {noise[index]:.2f} ADU, {noise[index] / nominal:.2f} times its READNOI "
                f"({recipe.noise_ratio:g} are allowed)"
            )
    left = faults.left(len(samples), qid)
    usual = float(np.median([noise[index] for index in left])) if left else np.nan
    for index in left:
        if noise[index] > recipe.sibling_noise * max(usual, _ROUNDING_ADU):
            faults.of_light[qid][index] = f"has a noise of {noise[index]:.2f} ADU, the others {usual:.2f}"


def _check_levels(
    quadrants: Sequence[QuadrantSample], left: Sequence[int], qid: int, recipe: FrameRecipe, faults: _Faults
) -> None:
    """Leave out bias frames whose level is not that of the dark ones; a slow drift parts no group."""
    if not left:
        return
    levels = np.array([quadrants[index].level for index in left])
    order = np.argsort(levels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(levels[order]) > recipe.bias_level) + 1)
    large = [group for group in groups if len(group) >= max(_LEAST_GROUP * len(left), min(2, len(left)))]
    if not large:
        faults.refused[qid] = (
            f"the levels of its {len(left)} frames scatter from {levels.min():.1f} to {levels.max():.1f} ADU"
        )
        return
    dark = large[0]
    usual = float(np.median(levels[dark]))
    for at in set(range(len(left))) - set(dark.tolist()):
        side = "above" if levels[at] > usual else "below"
        faults.of_light[qid][left[at]] = f"is {abs(levels[at] - usual):.1f} ADU {side} the {len(dark)} others"


def _frame_levels(samples: Sequence[FrameSample], faults: _Faults) -> NDArray[np.float64]:
    """Level of each flat, ADU: median over the quadrants, each relative to its response; NaN without any."""
    n = len(samples)
    levels = np.full((n, N_QUADRANT), np.nan)
    for qid in _QIDS:
        for index in faults.left(n, qid):
            levels[index, qid - 1] = samples[index].quadrants[qid].level
    response = _nanmedian(levels, 0)
    return _nanmedian(levels / response, 1) * (np.nanmedian(response) if np.isfinite(response).any() else np.nan)


def _nanmedian(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """`numpy.nanmedian`, silent where there is no value."""
    known = np.isfinite(values).any(axis=axis)
    median = np.full(known.shape, np.nan)
    median[known] = np.nanmedian(np.compress(known, values, axis=1 - axis), axis=axis)
    return median


def lamp_ratios(samples: Sequence[FrameSample], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of each flat over the usual one: (frame,), from levels (frame,) in ADU.

    Per second where the exposure times are known, and among the frames of one power of the lamp.
    """
    exptime = np.array([sample.exptime for sample in samples])
    rates = levels / (exptime if np.isfinite(exptime[np.isfinite(levels)]).all() else 1.0)
    ratios = np.full(len(samples), np.nan)
    for power in {sample.power for sample in samples}:
        alike = np.array([sample.power == power for sample in samples])
        if np.isfinite(rates[alike]).any():
            ratios[alike] = rates[alike] / np.nanmedian(rates[alike])
    return ratios


def _check_lamp(
    samples: Sequence[FrameSample], levels: NDArray[np.float64], recipe: FrameRecipe, faults: _Faults
) -> None:
    """Leave out flats whose lamp gave much more or less light than usual; their levels become NaN."""
    for index, ratio in enumerate(lamp_ratios(samples, levels).tolist()):
        if ratio > recipe.lamp_ratio or ratio < 1 / recipe.lamp_ratio:
            reason = f"has {levels[index]:.4g} ADU, {ratio:.2f} times the light of the others"
            levels[index] = np.nan
            for qid in _QIDS:
                if index not in faults.of_amplifier[qid]:
                    faults.of_light[qid][index] = reason


def _check_alike(
    patterns: NDArray[np.float64], left: Sequence[int], limit: float, reason: str, qid: int, faults: _Faults
) -> None:
    """Leave out frames that are unlike the majority; without a majority the quadrant is refused.

    Parameters
    ----------
    patterns : (frame, block)
        Of the frames `left`.
    limit
        Difference of two frames that are alike.
    reason
        With a place for the difference.
    """
    if len(left) < 2:
        return
    centre = np.nanmedian(patterns, axis=0) if np.isfinite(patterns).any() else patterns[0]
    if (_distances(patterns, centre) <= limit / 2).all():
        return
    alike = [_distances(patterns, pattern) <= limit for pattern in patterns]
    group = alike[int(np.argmax([mine.sum() for mine in alike]))]
    if 2 * group.sum() <= len(left):
        spread = float(np.max(_distances(patterns, centre)))
        faults.refused[qid] = (
            f"only {group.sum()} of {len(left)} frames are alike, which is no majority: the frame furthest from their "
            f"middle {reason.format(spread)}"
        )
        return
    usual = np.nanmedian(patterns[group], axis=0)
    for at, distance in enumerate(_distances(patterns, usual)):
        if not group[at]:
            faults.of_light[qid][left[at]] = reason.format(distance)


def _distances(patterns: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far patterns (frame, block) are from another in all but the worst of their blocks: (frame,)."""
    difference = np.abs(patterns - centre)
    known = np.isfinite(difference).any(axis=0)
    if not known.any():
        return np.zeros(len(patterns))
    return np.nanpercentile(np.where(np.isfinite(difference[:, known]), difference[:, known], 0.0), _SHARE, axis=1)


def _block_error(samples: Sequence[FrameSample], noise: float) -> float:
    """Error of the median of a block, where a pixel's is `noise`."""
    return MEDIAN_PER_MEAN * noise / np.sqrt(max(samples[0].block_size, 1))


def _usable(samples: Sequence[FrameSample], faults: _Faults, recipe: FrameRecipe) -> dict[int, UsableFrames]:
    return {qid: _usable_of(samples, qid, faults, recipe) for qid in _QIDS}


def _usable_of(samples: Sequence[FrameSample], qid: int, faults: _Faults, recipe: FrameRecipe) -> UsableFrames:
    reasons = faults.of_light[qid] | faults.of_amplifier[qid]
    named = tuple(f"{samples[index].name} {reasons[index]}" for index in sorted(reasons))
    left = tuple(index for index in range(len(samples)) if index not in reasons)
    refused = faults.refused.get(qid, "")
    if named and 0 < len(left) < recipe.least_frames and not refused:
        refused = f"only {len(left)} of {len(samples)} frames are left, at least {recipe.least_frames} are needed"
    return UsableFrames(() if refused else left, named, refused, len(samples))
