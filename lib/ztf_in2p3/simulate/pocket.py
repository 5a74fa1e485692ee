"""Pocket at the end of the serial register: charge trapped from each pixel of a row, given to the next ones.

Two published models, written down as they are defined; axes in readout order.  Slow and obvious
on purpose: this is the truth that the correction is judged by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.identifiers import Quadrant

POWER_LAW_TABLE = Path(__file__).parents[1] / "sensor" / "pocket_powerlaw.csv"
BEGINS_AFTER = date(2019, 10, 22)


@dataclass(frozen=True, slots=True)
class PowerLawPocket:
    """ztfsensors 0.1; charges in ADU."""

    alpha: float
    cmax: float
    beta: float
    nmax: float

    def read(self, true: NDArray, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows (row, column) and that many columns of overscan behind them, as they leave the register."""
        charge = np.zeros(len(true))
        observed = []
        for n in [*np.maximum(true, 0).T.astype(np.float64), *np.zeros((columns, len(true)))]:
            x = charge / self.cmax
            released = np.minimum(self.cmax * x**self.alpha, charge)
            captured = np.clip(self.cmax * (1 - x) ** self.alpha * (n / self.nmax) ** self.beta, 0, n)
            observed.append(n + released - captured)
            charge = charge - released + captured
        both = np.array(observed).T
        return both[:, : true.shape[1]], both[:, true.shape[1] :]


@dataclass(frozen=True, slots=True)
class EquilibriumPocket:
    """ztfsensors 2026: after each pixel the pocket holds a function of the value OBSERVED."""

    equilibrium: Callable[[NDArray], NDArray]
    """ADU in the pocket for ADU observed (0 or more): growing, concave, 0 at 0."""

    def read(self, true: NDArray, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read a row as `PowerLawPocket.read` does.  `true`: (row, column)."""
        charge = np.zeros(len(true))
        observed = []
        for n in [*np.maximum(true, 0).T.astype(np.float64), *np.zeros((columns, len(true)))]:
            value = self._seen(n + charge)
            charge = self.equilibrium(value)
            observed.append(value)
        both = np.array(observed).T
        return both[:, : true.shape[1]], both[:, true.shape[1] :]

    def _seen(self, total: NDArray) -> NDArray:
        """Root o of o + f(o) = total, by halving, to 1e-5 ADU: what is in pixel and pocket together is shared out."""
        low, high = np.maximum(total - self.equilibrium(total), 0), total.copy()  # f(o) is at most f(total)
        if not total.any():
            return low
        for _ in range(25):
            middle = 0.5 * (low + high)
            over = middle + self.equilibrium(middle) > total
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return 0.5 * (low + high)


def equilibrium_charge(observed: NDArray, kelvin: float, quadrant: Quadrant) -> NDArray:
    """Equilibrium function of a simulated pocket, ADU: a power of the level, less of it in a warmer CCD.  Any shape.

    Made to hold at sky what the published power law holds there (40 ADU at a level of 100).
    """
    size = 40 * (1 + 0.15 * np.sin(quadrant.rcid)) * (1 - 0.01 * (kelvin - 173))
    return size * (np.maximum(observed, 0) / 100) ** (0.35 + 0.03 * np.cos(quadrant.rcid))


def power_law_pocket(quadrant: Quadrant) -> PowerLawPocket:
    """Published constants of a quadrant."""
    return _power_law_table()[quadrant.ccdid, quadrant.qid]


@lru_cache
def _power_law_table() -> dict[tuple[int, int], PowerLawPocket]:
    lines = [line.split(",") for line in POWER_LAW_TABLE.read_text().splitlines() if line and line[0].isdigit()]
    return {(int(ccdid), int(qid)): PowerLawPocket(*map(float, constants)) for ccdid, qid, *constants in lines}


def pocket_of(model: str, night: date, quadrant: Quadrant, kelvin: float) -> PowerLawPocket | EquilibriumPocket | None:
    """Pocket that the rows of a quadrant are read through on a night; None if there is none.

    Parameters
    ----------
    model
        `ztf_in2p3.simulate.detector.Effects.pocket`.
    kelvin
        Temperature of the CCD.
    """
    if night <= BEGINS_AFTER or not model:
        return None
    if model == "powerlaw":
        return power_law_pocket(quadrant)
    if model == "equilibrium":
        return EquilibriumPocket(lambda observed: equilibrium_charge(observed, kelvin, quadrant))
    raise ValueError(f"no pocket model {model!r}; known: powerlaw, equilibrium, or an empty name for none")
