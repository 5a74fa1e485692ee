"""Which amplifiers worked in which frames: a quadrant that holds no signal is left out, its neighbours are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.readout import Readout

CEILING_ADU = 65535
"""Largest number of the converter."""
MAX_SATURATED_FRACTION = 0.5
"""Fraction of a quadrant's pixels that may stand at the converter's largest number; beyond, its amplifier is broken."""
_ROWS = 8
"""Rows in the middle of a quadrant that are looked at first: only if they are suspicious, all are read."""
_MAX_NAMED = 3
"""Frames that a reason names."""
_QIDS = range(1, N_QUADRANT + 1)


def amplifier_fault(pixels: NDArray[np.float32]) -> str:
    """Why raw pixels (ADU) hold no signal: no data, one value everywhere, saturated; empty if they do hold some."""
    known = pixels[np.isfinite(pixels)]
    if not known.size:
        return "holds no pixel with data"
    if _is_flat(pixels):
        return f"has {known[0]:g} ADU in all pixels"
    saturated = float(np.mean(known >= CEILING_ADU))
    return f"is saturated in {100 * saturated:.3g} % of its pixels" if saturated > MAX_SATURATED_FRACTION else ""


def _is_flat(pixels: NDArray[np.float32]) -> bool:
    """Whether all pixels with data have one value."""
    known = pixels[np.isfinite(pixels)]
    return bool(known.size and known.min() == known.max())


@dataclass(frozen=True, slots=True)
class UsableFrames:
    """Frames of a CCD in which the amplifier of one quadrant worked."""

    indices: tuple[int, ...]
    """Where they stand among all frames."""
    faults: tuple[str, ...]
    """Name and fault of each frame that is left out."""

    def reason(self) -> str:
        """Why frames are left out, in one line; empty if none is."""
        if not self.faults:
            return ""
        n_frame = len(self.indices) + len(self.faults)
        more = f", and {len(self.faults) - _MAX_NAMED} more" if len(self.faults) > _MAX_NAMED else ""
        return f"{len(self.faults)} of {n_frame} frames left out: {', '.join(self.faults[:_MAX_NAMED])}{more}"


def usable_frames(raws: Sequence[RawCcd], sensor: SensorRecipe) -> dict[int, UsableFrames]:
    """By qid, the frames that serve.

    Raises
    ------
    BadData
        No amplifier of the CCD worked in any frame.
    """
    usable = {qid: _usable(raws, qid, sensor) for qid in _QIDS}
    if not any(frames.indices for frames in usable.values()):
        reasons = "; ".join(f"q{qid}: {frames.reason()}" for qid, frames in usable.items())
        raise BadData(f"no amplifier of CCD {raws[0].ccdid} works: {reasons}; look at the frames")
    return usable


def _usable(raws: Sequence[RawCcd], qid: int, sensor: SensorRecipe) -> UsableFrames:
    faults = {index: fault for index, raw in enumerate(raws) if (fault := _fault(raw, qid, sensor))}
    named = tuple(f"{raws[index].path.name} {fault}" for index, fault in faults.items())
    return UsableFrames(tuple(index for index in range(len(raws)) if index not in faults), named)


def _fault(raw: RawCcd, qid: int, sensor: SensorRecipe) -> str:
    """Why a quadrant of a frame does not serve; empty if it does."""
    middle = slice(raw.camera.shape[0] // 2, raw.camera.shape[0] // 2 + _ROWS)
    if amplifier_fault(raw.pixels(qid, middle)) and (fault := amplifier_fault(raw.pixels(qid))):
        # One value everywhere is a dead amplifier, unless nothing at all has noise: then the frame was made without.
        parts, overscan = [raw.pixels(neighbour, middle) for neighbour in _QIDS], raw.overscan(qid)
        if not all(_is_flat(part) for part in parts) or np.any(overscan != overscan[0]):
            return fault
    try:
        Readout.of(raw, qid, sensor)
    except BadData as error:
        return f"has no offset ({error})"
    return ""


def n_usable(usable: Mapping[int, UsableFrames]) -> int:
    """Number of frames that serve for any quadrant."""
    return len({index for frames in usable.values() for index in frames.indices})


def left_out(usable: Mapping[int, UsableFrames]) -> dict[str, Value]:
    """What a master's summary says: why frames of a quadrant are left out, and whether none serves."""
    reasons = {f"left_out_q{qid}": reason for qid, frames in usable.items() if (reason := frames.reason())}
    return reasons | {f"dead_q{qid}": True for qid, frames in usable.items() if not frames.indices}
