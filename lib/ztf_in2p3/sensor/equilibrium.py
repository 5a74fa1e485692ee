"""Pocket effect, equilibrium model: the pocket holds what the pixel just read left in it.

After each pixel the pocket's charge is T = f(observed), a growing function of the value observed
(ztfsensors 2026, github.com/MickaelRigault/ztfsensors).  Charge is kept, so along a row in
readout order

    true_i = observed_i + T_i - T_(i-1),  T before the first pixel 0,

which needs no solving; and the overscan, whose pixels are empty, shows o_j with o_j + f(o_j) = T_(j-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.sensor.powerlaw import DOUBT, MEMORY, MOST_DOUBTFUL

_PER_OCTAVE = 64
"""Nodes of the table in each doubling of the level; straight in between."""
_SHIFT = 17
"""Bits of a float32 that are finer than that."""
_LEAST, _MOST = 2.0**-10, 2.0**17
"""ADU.  Levels of the first and last node; f is proportional to the level below the first, and ends with the last."""
_FIRST_BITS = int(np.float32(_LEAST).view(np.int32)) >> _SHIFT
NODES = (
    ((np.arange(_FIRST_BITS, int(np.float32(_MOST).view(np.int32) >> _SHIFT) + 1)) << _SHIFT)
    .astype(np.int32)
    .view(np.float32)
)
"""Levels, ADU, at which a pocket's function is tabulated."""


@dataclass(frozen=True, slots=True, eq=False)
class Equilibrium:
    """Pocket of one amplifier at one temperature."""

    charge: NDArray[np.float32]
    """(node,) in the pocket when `NODES` are observed, ADU; growing from 0 or more."""

    def __post_init__(self) -> None:
        if self.charge.shape != NODES.shape:
            raise ValueError(f"{self.charge.shape} charges for the {NODES.shape} levels of the table")
        if not (np.isfinite(self.charge).all() and self.charge[0] >= 0 and (np.diff(self.charge) >= 0).all()):
            raise ValueError("the charge in a pocket must be 0 or more, and not fall with the level")

    def held(self, observed: NDArray) -> NDArray[np.float64]:
        """Charge in the pocket behind pixels observed so, ADU.  Any shape."""
        levels, charges = np.append(0.0, NODES), np.append(0.0, self.charge)
        return np.interp(np.asarray(observed, np.float64), levels, charges)

    def recover(
        self, light: NDArray[np.float32], lost: NDArray[np.bool_], *, backwards: bool, noise: float = 0.0
    ) -> tuple[NDArray[np.float32], int]:
        """Put the charge back, as `ztf_in2p3.sensor.powerlaw.PowerLaw.recover` does.  Shapes are as there.

        This pocket leaves light in every pixel, but where less than the noise is left, what it took is not known.
        """
        doubtful = self._doubtful(light, DOUBT * noise, backwards=backwards) if noise > 0 else None
        left = np.zeros(len(light), np.float32)
        _recover(light, left, backwards, self.charge)
        if doubtful is None:
            return left, 0
        lost |= doubtful
        return left, int(doubtful.sum())

    def _doubtful(self, light: NDArray[np.float32], doubt: float, *, backwards: bool) -> NDArray[np.bool_] | None:
        """Places where less than `doubt` ADU are left of a pixel of which more may have been taken; None: nowhere."""
        row, column = np.nonzero(light <= doubt)
        if not len(row):
            return None
        before = column + 1 if backwards else column - 1
        inside = (before >= 0) & (before < light.shape[1])
        previous = np.where(inside, light[row, np.clip(before, 0, light.shape[1] - 1)], 0)
        taken = self.held(np.array([doubt])) - self.held(np.nan_to_num(np.maximum(previous, 0)))
        mask = np.zeros(light.shape, bool)
        mask[row[taken > doubt], column[taken > doubt]] = True
        for first in np.flatnonzero(mask.sum(axis=0) > max(2, MOST_DOUBTFUL * len(light))):
            mask[:, max(0, first - MEMORY + 1) : first + 1] |= backwards
            mask[:, first : first + MEMORY] |= not backwards
        return mask

    def trailed_charge(self, charge: NDArray, columns: int) -> NDArray[np.float64]:
        """What the overscan shows of the charge left in the pocket: (row, column) in readout order, ADU."""
        levels = np.append(0.0, NODES.astype(np.float64))
        together = levels + np.append(0.0, self.charge)
        left = np.asarray(charge, np.float64)
        released = np.empty((len(left), columns))
        for column in range(columns):
            released[:, column] = np.interp(left, together, levels)  # o + f(o) = left, straight between nodes
            left = left - released[:, column]
        return released


@compiled(fastmath={"contract"})
def _recover(light, left, backwards, charge):  # type: ignore[no-untyped-def]
    n_row, n_column = light.shape
    held = np.empty(n_column + 2, np.float32)
    held[0] = held[n_column + 1] = np.float32(0)
    least, top = np.float32(_LEAST), np.float32(_MOST * 0.999)
    first = np.int32(_FIRST_BITS)
    fine = np.int32((1 << _SHIFT) - 1)
    step = np.float32(1.0 / (1 << _SHIFT))
    slope = charge[0] / least
    for r in range(n_row):
        row = light[r]
        n_missing = 0
        for i in range(n_column):
            x = row[i]
            n_missing += x != x
            y = min(max(x, least), top)
            bits = np.float32(y).view(np.int32)
            node = np.int32(np.int32(bits >> np.int32(_SHIFT)) - first)
            part = np.float32(np.int32(bits & fine)) * step
            low = charge[node]
            value = low + part * (charge[node + 1] - low)
            held[i + 1] = value if x >= least else slope * max(x, np.float32(0))
        if n_missing:  # what is not known leaves the pocket as it was
            for k in range(n_column):
                i = n_column - 1 - k if backwards else k
                if row[i] != row[i]:
                    held[i + 1] = held[i + 2 if backwards else i]
        if backwards:
            for i in range(n_column):
                row[i] += held[i + 1] - held[i + 2]
            left[r] = held[1]
        else:
            for i in range(n_column):
                row[i] += held[i + 1] - held[i]
            left[r] = held[n_column]
