"""Which pocket, if any, took charge from a row at the end of its serial register.

The effect began after 2019-10-22.  Two models of it share one interface, `Pocket`: the power
law with published constants, and an equilibrium function calibrated from the data.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.sensor.powerlaw import PowerLaw

TABLE = Path(__file__).with_name("pocket_powerlaw.csv")
LAST_NIGHT_WITHOUT = date(2019, 10, 22)
"""UT (ztfsensors, github.com/MickaelRigault/ztfsensors)."""
NONE, POWER_LAW, EQUILIBRIUM = "none", "powerlaw", "equilibrium"


class Pocket(Protocol):
    """What one amplifier's pocket does to the rows that are read through it."""

    def recover(
        self, light: NDArray[np.float32], lost: NDArray[np.bool_], *, backwards: bool, noise: float = 0.0
    ) -> tuple[NDArray[np.float32], int]:
        """Put the charge of rows (row, column), linear ADU over offset and bias, back in place.

        `lost` is set where a pixel cannot be known, be it for the noise of a dark pixel (ADU); `backwards`: the last
        stored column is read first.  Returns the charge left behind each row's last pixel, and how many pixels are
        lost.
        """

    def trailed_charge(self, charge: NDArray, columns: int) -> NDArray[np.float64]:
        """What the overscan columns show of that charge: (row, column) in readout order, ADU."""


def pocket_of(
    quadrant: Quadrant, night: date, model: str, measured: Callable[[], Pocket] | None = None
) -> Pocket | None:
    """Pocket of a quadrant on a night; None before there was one, or if it is not to be corrected.

    Parameters
    ----------
    model
        "none", "powerlaw" or "equilibrium" (`ztf_in2p3.recipes.SensorRecipe.pocket`).
    measured
        Gives the pocket calibrated from the data, at the exposure's temperature: what "equilibrium" asks for.

    Raises
    ------
    BadData
        The table of the power law does not know the quadrant.
    MissingProduct
        No calibration of the equilibrium model.
    ValueError
        No such model.
    """
    if model not in (NONE, POWER_LAW, EQUILIBRIUM):
        raise ValueError(f"no pocket model {model!r}; known: {NONE}, {POWER_LAW}, {EQUILIBRIUM}")
    if model == NONE or night <= LAST_NIGHT_WITHOUT:
        return None
    if model == POWER_LAW:
        return power_law_of(quadrant)
    if measured is None:
        raise MissingProduct(f"no pocket calibration of {quadrant} near {night}; calibrate the pocket first")
    return measured()


def power_law_of(quadrant: Quadrant) -> PowerLaw:
    """Published constants of a quadrant's pocket.  BadData if the table has none."""
    table = _table()
    if quadrant not in table:
        raise BadData(f"no pocket of {quadrant} in the table {TABLE.name}; add it, or set SensorRecipe.pocket to none")
    return table[quadrant]


@cache
def _table() -> dict[Quadrant, PowerLaw]:
    with TABLE.open(newline="") as file:
        return {
            Quadrant(int(row["ccdid"]), int(row["qid"])): PowerLaw(
                *(float(row[name]) for name in ("alpha", "cmax", "beta", "nmax"))
            )
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        }
