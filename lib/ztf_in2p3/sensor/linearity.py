"""Non-linearity of the readout chain, and its inverse.

The response was measured for each readout channel in three epochs; the table `linearity.csv`
beside this module holds the coefficients, with their source.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled
from ztf_in2p3.errors import BadData

TABLE = Path(__file__).with_name("linearity.csv")


@dataclass(frozen=True, slots=True)
class Linearity:
    """true = x / (a x^2 + b x + 1), for x in ADU over the electronic offset."""

    a: float
    """ADU^-2"""
    b: float
    """ADU^-1"""

    def linearise(self, pixels: NDArray) -> NDArray:
        """What a linear chain would have recorded, ADU.  Any shape.

        Parameters
        ----------
        pixels : one axis or more, ADU over the electronic offset
        """
        if self == LINEAR:
            return pixels
        kind = pixels.dtype.type
        response = pixels * kind(self.a)
        response += kind(self.b)
        response *= pixels
        response += kind(1)
        return np.divide(pixels, response, out=response)

    def over_offset(self, pixels: NDArray[np.float32], offset: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw rows as linear ADU over the offset of each row, in place: the same numbers, in one pass.

        Parameters
        ----------
        pixels : (row, column), ADU
        offset : (row,), ADU
        """
        _over_offset(pixels, offset, np.float32(self.a), np.float32(self.b))
        return pixels


LINEAR = Linearity(0.0, 0.0)


def linearity_of(rcid: int, night: date) -> Linearity:
    """Response of a readout channel on a night.

    Raises
    ------
    BadData
        The night is before the first epoch of the table, or the channel is not in it.
    """
    epochs = _table().get(rcid, [])
    n_begun = bisect_right([first for first, _ in epochs], night)
    if n_begun == 0:
        known = f"from {epochs[0][0]} on" if epochs else f"for channels {min(_table())} to {max(_table())}"
        raise BadData(
            f"no linearity of readout channel {rcid} on {night}: the table {TABLE.name} holds it {known}; "
            "add the epoch to the table, or turn SensorRecipe.linearise off"
        )
    return epochs[n_begun - 1][1]


@cache
def _table() -> dict[int, list[tuple[date, Linearity]]]:
    """Epochs of each rcid, oldest first."""
    epochs: dict[int, list[tuple[date, Linearity]]] = {}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            response = Linearity(float(row["a"]), float(row["b"]))
            epochs.setdefault(int(row["rcid"]), []).append((date.fromisoformat(row["valid_from"]), response))
    return {rcid: sorted(rows, key=lambda epoch: epoch[0]) for rcid, rows in epochs.items()}


@compiled
def _over_offset(pixels, offset, a, b):  # type: ignore[no-untyped-def]
    """Operation by operation `linearise`, so bit for bit its result."""
    for r in range(len(pixels)):
        row, floor = pixels[r], offset[r]
        for i in range(len(row)):
            x = row[i] - floor
            row[i] = x / ((x * a + b) * x + np.float32(1))
