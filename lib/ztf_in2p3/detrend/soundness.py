"""Soundness of a quadrant of a master calibration that there is nothing to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.recipes import FrameRecipe

BLOCKS = 8
"""Blocks along each side of a quadrant."""
SAMPLED_ROWS = 8
"""One row in so many serves for medians."""
_RESPONSE = (0.3, 3.0)
"""Range of a quadrant's median response, relative to its CCD; and, pixel by pixel, what is neither dead nor strange."""


def quadrant_fault(
    master: CcdMaster, qid: int, data: NDArray[np.float32], frames: FrameRecipe, most_bad: float = 0.01
) -> str:
    """Why a quadrant is not sound by itself; empty if it is.

    The noise of the frames over that which their headers predict, the level, pixels far from any response, the
    scatter of the lamp, lamps that are lacking.

    Parameters
    ----------
    data : (row, column)
        The plane of the quadrant.
    most_bad
        Largest share of pixels of a strange response.
    """
    is_flat = bool({"FLTNORM", "LEDNORM"} & master.cards.keys())
    sample = data[::SAMPLED_ROWS]
    known = sample[np.isfinite(sample)]
    if not known.size:
        return "100 % of its pixels have no data"
    excess, most = _number(master, f"EXCESS{qid}"), frames.noise_ratio**2
    if excess is not None and not excess <= most:
        return (
            f"its frames scatter by {excess:.3g} times the variance that their headers predict; {most:.3g} is allowed"
        )
    middle = float(np.median(known)) if known.size else np.nan
    low, high = _RESPONSE if is_flat else (frames.bias_low, frames.bias_high)
    if not low <= middle <= high:
        return f"its median is {middle:.4g}; {low:g} to {high:g} are expected"
    if is_flat:
        return _flat_fault(master, qid, known, frames, most_bad)
    return ""


def _flat_fault(master: CcdMaster, qid: int, known: NDArray[np.float32], frames: FrameRecipe, most_bad: float) -> str:
    level = _number(master, "FLTNORM") or _number(master, "LEDNORM")
    if level is not None and level < frames.flat_least:
        return f"its frames have {level:.4g} ADU; at least {frames.flat_least:g} are expected: was the lamp on?"
    strange = float(np.mean((known < _RESPONSE[0]) | (known > _RESPONSE[1])))
    if strange > most_bad:
        return f"{100 * strange:.3g} % of its pixels have a response beyond {_RESPONSE[0]:g} to {_RESPONSE[1]:g}"
    scatter = _number(master, "LEDRMS")
    if scatter is not None and scatter > frames.lamp_scatter:
        return f"its lamp scatters by {scatter:.2%} from frame to frame; {frames.lamp_scatter:.2%} is allowed"
    lacking = master.cards.get(f"LEDLACK{qid}")
    if lacking is not None:
        leds = lacking[0] if isinstance(lacking, tuple) else lacking
        return f"it lacks LED {leds}, whose frames could not be used; a recipe with weight 0 for it does without"
    return ""


def block_medians(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Medians of blocks of a quadrant, (block, block), from one row in eight; NaN without data."""
    medians = np.full((BLOCKS, BLOCKS), np.nan)
    for i, band in enumerate(np.array_split(plane[::SAMPLED_ROWS], BLOCKS)):
        for j, block in enumerate(np.array_split(band, BLOCKS, axis=1)):
            known = block[np.isfinite(block)]
            medians[i, j] = np.median(known) if known.size else np.nan
    return medians


def _number(master: CcdMaster, keyword: str) -> float | None:
    if keyword not in master.cards:
        return None
    value = master.value(keyword)
    return float(value) if isinstance(value, int | float) else None
