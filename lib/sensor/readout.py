"""From a raw quadrant to linear ADU: what the readout of one exposure did, undone.

First the electronic offset goes, then the non-linearity.  What is
measured once a quadrant (the offset of all rows) is kept in a `Readout`, which then corrects
any range of rows.  Rows are always whole, so that a correction along the readout direction
can follow in `Readout.linear`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lib.errors import BadData
from lib.frames import RawCcd
from lib.identifiers import Quadrant
from lib.recipes import SensorRecipe
from lib.sensor.linearity import LINEAR, Linearity, linearity_of
from lib.sensor.overscan import stored_overscan_level


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """How one amplifier read one exposure."""

    qid: int
    offset: NDArray[np.float32]
    """Of each row as stored, ADU."""
    linearity: Linearity
    gain: float
    """Electrons per ADU."""
    read_noise: float
    """ADU."""

    @classmethod
    def of(cls, raw: RawCcd, qid: int, recipe: SensorRecipe) -> Self:
        """Measure the offset on the overscan, look the rest up.

        Raises
        ------
        BadData
            The overscan cannot be decoded or holds too few data; no linearity is known.
        """
        try:
            offset = stored_overscan_level(
                raw.overscan(qid),
                qid,
                columns=recipe.overscan_columns,
                degree=recipe.overscan_degree,
                clip=recipe.overscan_clip,
            )
            rcid = Quadrant(raw.ccdid, qid).rcid
            linearity = linearity_of(rcid, raw.night) if recipe.linearise else LINEAR
        except BadData as error:
            at = "" if str(raw.path) in str(error) else f"{raw.path}, quadrant {qid}: "
            raise BadData(f"{at}{error}") from error
        gain = raw.gain(qid)
        return cls(qid, offset.astype(np.float32), linearity, gain, raw.read_noise(qid) / gain)

    def over_offset(self, pixels: NDArray[np.float32], rows: slice = slice(None)) -> NDArray[np.float32]:
        """ADU over the electronic offset, the scale on which the chain saturates.

        Parameters
        ----------
        pixels : (row, column), ADU
            As stored.  Changed in place.
        rows
            Which of the quadrant's rows they are.
        """
        pixels -= self.offset[rows, np.newaxis]
        return pixels

    def linear(self, pixels: NDArray[np.float32], rows: slice = slice(None)) -> NDArray[np.float32]:
        """Raw rows in linear ADU over the offset.  Parameters as `over_offset`."""
        return self.linearity.linearise(self.over_offset(pixels, rows))
