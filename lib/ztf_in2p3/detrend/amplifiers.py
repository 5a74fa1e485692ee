"""What an amplifier that does not work writes, and the frames that are left out of a quadrant for any reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.products import Value

CEILING_ADU = 65535
"""Largest number of the converter."""
MAX_SATURATED_FRACTION = 0.5
"""Fraction of a quadrant's pixels that may stand at the converter's largest number; beyond, its amplifier is broken."""
_MAX_NAMED = 3
"""Frames that a reason names."""


def amplifier_fault(pixels: NDArray[np.float32]) -> str:
    """Why raw pixels (ADU) hold no signal: no data, one value everywhere, saturated; empty if they do hold some.

    `pixels`: (row, column).
    """
    known = pixels[np.isfinite(pixels)]
    if not known.size:
        return "holds no pixel with data"
    if is_constant(pixels):
        return f"has {known[0]:g} ADU in all pixels"
    saturated = float(np.mean(known >= CEILING_ADU))
    return f"is saturated in {100 * saturated:.3g} % of its pixels" if saturated > MAX_SATURATED_FRACTION else ""


def is_constant(pixels: NDArray[np.float32]) -> bool:
    """Whether all pixels with data have one value.  `pixels`: (row, column)."""
    known = pixels[np.isfinite(pixels)]
    return bool(known.size and known.min() == known.max())


@dataclass(frozen=True, slots=True)
class UsableFrames:
    """Frames of a CCD that serve for the master of one quadrant."""

    indices: tuple[int, ...]
    """Indices of the frames among all frames."""
    faults: tuple[str, ...]
    """Name and fault of each frame that is left out."""
    refused: str = ""
    """Why none serves, although some have no fault of their own; empty if those are used."""
    n_frame: int = 0
    """All frames."""

    def without(self, names: Sequence[str], fault: str) -> UsableFrames:
        """The series with further frames that are left out."""
        if not names:
            return self
        faults = (*self.faults, *(f"{name} {fault}" for name in names))
        return replace(self, faults=faults, n_frame=self.n_frame + len(names))

    def reason(self) -> str:
        """Why frames are left out, in one line; empty if none is."""
        if not (self.faults or self.refused):
            return ""
        more = f", and {len(self.faults) - _MAX_NAMED} more" if len(self.faults) > _MAX_NAMED else ""
        named = f"{len(self.faults)} of {self.n_frame} frames left out: {', '.join(self.faults[:_MAX_NAMED])}{more}"
        return "; ".join(filter(None, (self.refused, named if self.faults else "")))


def require_usable(usable: Mapping[int, UsableFrames], ccdid: int) -> None:
    """BadData if no quadrant of the CCD has a frame that serves."""
    if not any(frames.indices for frames in usable.values()):
        reasons = "; ".join(f"q{qid}: {frames.reason()}" for qid, frames in usable.items())
        raise BadData(f"no quadrant of CCD {ccdid} can be made: {reasons}; look at the frames")


def n_usable(usable: Mapping[int, UsableFrames]) -> int:
    """Number of frames that serve for any quadrant."""
    return len({index for frames in usable.values() for index in frames.indices})


def left_out(usable: Mapping[int, UsableFrames]) -> dict[str, Value]:
    """What a master's summary says: why frames of a quadrant are left out, and whether none serves."""
    reasons = {f"left_out_q{qid}": reason for qid, frames in usable.items() if (reason := frames.reason())}
    return reasons | {f"dead_q{qid}": True for qid, frames in usable.items() if not frames.indices}


def left_out_cards(usable: Mapping[int, UsableFrames]) -> dict[str, tuple[Value, str]]:
    """Cards of a master's header: how many frames of a quadrant are left out, and why; none where all serve."""
    return {
        keyword: card
        for qid, frames in usable.items()
        if (reason := frames.reason())
        for keyword, card in (
            (f"NLEFT{qid}", (frames.n_frame - len(frames.indices), f"frames left out of quadrant {qid}")),
            (f"WHYLEFT{qid}", (_printable(reason), "")),
        )
    }


def _printable(text: str) -> str:
    """Text that a FITS card can hold."""
    return text.encode("ascii", "replace").decode("ascii")
