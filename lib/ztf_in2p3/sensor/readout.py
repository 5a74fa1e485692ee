"""Readout of one exposure, undone: a raw quadrant becomes linear ADU.

First the electronic offset goes, then the non-linearity, then what every frame has without
light (the bias), and last the pocket of the serial register, which saw only the charge.  That
the bias comes before the pocket is physics: its 30 to 130 ADU over the offset are no charge, or
their photon-like noise (19 electrons for 60 ADU) would drown the read noise of 9.  So the pocket
leaves no trace in bias frames, and they are not corrected.

What is measured once a quadrant (the offset of all rows) is kept in a `Readout`, which then corrects
any range of rows.  Rows are always whole, since the pocket works along them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT, Quadrant
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.linearity import LINEAR, Linearity, linearity_of
from ztf_in2p3.sensor.overscan import overscan_fault, stored_overscan_level
from ztf_in2p3.sensor.pocket import Pocket, pocket_of

_QIDS = range(1, N_QUADRANT + 1)
_MEMORY = 64
"""Columns before the end of a row that decide what its pocket holds there: it forgets a third or more in each."""
_ROUNDS = 2
"""Offset, pocket, offset again: an offset wrong by 1 ADU moves what is released by less than a hundredth of it."""
_BANDS, _BAND_SHARE = 12, 16
"""Rows of a flat whose pocket is measured: so many bands, together one row in so many."""


Pockets = Callable[[RawCcd, int], Pocket]
"""Pocket of a quadrant (qid) during an exposure, as measured: it depends on the CCD's temperature."""


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """How one amplifier read one exposure."""

    qid: int
    offset: NDArray[np.float32]
    """(row,): electronic offset of each row as stored, ADU."""
    linearity: Linearity
    gain: float
    """Electrons per ADU."""
    read_noise: float
    """ADU."""
    pocket: Pocket | None = None

    @classmethod
    def of(cls, raw: RawCcd, qid: int, recipe: SensorRecipe) -> Self:
        """Readout of a frame without light: measure the offset on the overscan, look up all that is tabulated.

        Raises
        ------
        BadData
            The overscan cannot be decoded, holds too few data or is not that of a working amplifier; no linearity is
            known.
        """
        with _located(raw, qid):
            overscan, noise = raw.overscan(qid), raw.read_noise(qid) / raw.gain(qid)
            offset = _offset(overscan, qid, recipe)
            fault = overscan_fault(overscan, offset, qid, columns=recipe.overscan_columns, read_noise=noise)
            if not fault and _is_constant(overscan) and not all(_is_constant(raw.overscan(q)) for q in _QIDS):
                fault = f"it is {overscan.flat[0]:g} ADU everywhere, which those of the other quadrants are not"
            if fault:
                raise BadData(f"the overscan does not measure the offset: {fault}")
            rcid = Quadrant(raw.ccdid, qid).rcid
            linearity = linearity_of(rcid, raw.night) if recipe.linearise else LINEAR
        return cls(qid, offset, linearity, raw.gain(qid), noise)

    @classmethod
    def of_light(
        cls,
        raw: RawCcd,
        qid: int,
        recipe: SensorRecipe,
        bias: NDArray[np.float32],
        *,
        pixels: NDArray[np.float32] | None = None,
        pockets: Pockets | None = None,
    ) -> Self:
        """Readout of a frame with light, whose pocket releases charge also in the overscan's last columns.

        What it releases follows from the ends of the rows; it is taken out of the overscan and
        the offset is fitted again.

        Parameters
        ----------
        bias : (row, column), ADU
            Master bias of the quadrant.
        pixels : (row, column), ADU
            The quadrant as stored, if already decoded.  Without it a sixteenth of the rows is
            decoded, and the release fitted through them as smooth as the offset: right to a tenth of
            it, what flats need.
        pockets
            Measured ones, for the equilibrium model.

        Raises
        ------
        BadData, MissingProduct
            As `of`; as `ztf_in2p3.sensor.pocket.pocket_of`.
        """
        plain = cls.of(raw, qid, recipe)
        measured = None if pockets is None else lambda: pockets(raw, qid)
        with _located(raw, qid):
            pocket = pocket_of(Quadrant(raw.ccdid, qid), raw.night, recipe.pocket, measured)
            if pocket is None:
                return plain
            overscan, offset = raw.overscan(qid), plain.offset
            if pixels is not None:
                ends = _row_ends(pixels, qid)
                bias_ends = _row_ends(bias, qid)
                for _ in range(_ROUNDS):
                    trailed = _trailed_charge(plain.linearity, pocket, ends, offset, bias_ends, qid, overscan.shape[1])
                    offset = _offset(overscan - trailed, qid, recipe)
                return cls(qid, offset, plain.linearity, plain.gain, plain.read_noise, pocket)
            step = max(1, len(bias) // _BANDS)
            bands = [slice(start, start + max(1, step // _BAND_SHARE)) for start in range(0, len(bias), step)]
            ends = np.concatenate([_row_ends(raw.pixels(qid, band), qid) for band in bands])
            rows = np.concatenate([np.arange(len(bias))[band] for band in bands])
            bias_ends = _row_ends(bias, qid)[rows]
            for _ in range(_ROUNDS):
                trailed = _trailed_charge(
                    plain.linearity, pocket, ends, offset[rows], bias_ends, qid, overscan.shape[1]
                )
                sampled = np.full_like(overscan, np.nan)
                sampled[rows] = trailed
                offset = plain.offset - _offset(sampled, qid, recipe)
            return cls(qid, offset, plain.linearity, plain.gain, plain.read_noise, pocket)

    def linear(self, pixels: NDArray[np.float32], rows: slice = slice(None)) -> NDArray[np.float32]:
        """Raw rows in linear ADU over the offset.

        Parameters
        ----------
        pixels : (row, column), ADU
            As stored.  Changed in place.
        rows
            Which of the quadrant's rows they are.
        """
        return self.linearity.over_offset(pixels, self.offset[rows])

    def recover(self, light: NDArray[np.float32], lost: NDArray[np.bool_] | None = None) -> int:
        """Put back in place what the pocket took from whole rows; nothing where there is none.

        Parameters
        ----------
        light : (row, column), linear ADU over offset and bias
            As stored.  Changed in place.
        lost : (row, column)
            Set where the light of a pixel is below threshold: the pocket took all of it.

        Returns
        -------
        int
            Pixels below threshold.
        """
        if self.pocket is None:
            return 0
        if lost is None:
            return self.pocket.recover(light, np.zeros(light.shape, bool), backwards=_backwards(self.qid))[1]
        return self.pocket.recover(light, lost, backwards=_backwards(self.qid), noise=self.read_noise)[1]


def _backwards(qid: int) -> bool:
    return qid in (2, 3)


def _row_ends(pixels: NDArray[np.float32], qid: int) -> NDArray[np.float32]:
    """Last columns read, (row, column), as stored."""
    return pixels[:, :_MEMORY] if _backwards(qid) else pixels[:, -_MEMORY:]


def _trailed_charge(
    linearity: Linearity,
    pocket: Pocket,
    ends: NDArray[np.float32],
    offset: NDArray[np.float32],
    bias: NDArray[np.float32],
    qid: int,
    columns: int,
) -> NDArray[np.float32]:
    """Trailed charge in the overscan behind the given rows, (row, column) as stored."""
    light = linearity.over_offset(np.array(ends, order="C"), offset)
    light -= bias
    charge, _ = pocket.recover(light, np.zeros(light.shape, bool), backwards=_backwards(qid))
    trailed = pocket.trailed_charge(charge, columns).astype(np.float32)
    return trailed[:, ::-1] if _backwards(qid) else trailed


def _is_constant(overscan: NDArray[np.float32]) -> bool:
    return bool((overscan == overscan.flat[0]).all())


def _offset(overscan: NDArray[np.float32], qid: int, recipe: SensorRecipe) -> NDArray[np.float32]:
    return stored_overscan_level(
        overscan,
        qid,
        columns=recipe.overscan_columns,
        degree=recipe.overscan_degree,
        clip=recipe.overscan_clip,
    ).astype(np.float32)


@contextmanager
def _located(raw: RawCcd, qid: int) -> Iterator[None]:
    """Say of which quadrant what is wrong."""
    try:
        yield
    except BadData as error:
        at = "" if str(raw.path) in str(error) else f"{raw.path}, quadrant {qid}: "
        raise BadData(f"{at}{error}") from error
