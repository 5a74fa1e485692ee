"""How much light the lamps gave in the frames that a flat is made of, told apart from what the detector makes of it.

A lamp's light varies by half a per cent from frame to frame, and lamps differ by tens of per cent.  A quadrant, or a
CCD, that lacks a frame its neighbours have was lit otherwise on average; the frames that it shares with them say by
how much, far better than the lamp is stable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ztf_in2p3.errors import BadData
from ztf_in2p3.products import Value
from ztf_in2p3.store.fits import Cards

_EXPOSURE = re.compile(r"ztf_(\d{14})_")


@dataclass(frozen=True, slots=True)
class LampLevel:
    """One LED's part in the flat of a CCD."""

    led: int
    weight: float
    level: float
    """Median of the CCD in the combined frames before normalisation, ADU."""
    frames: Mapping[str, float]
    """Level of each frame, ADU, by exposure."""

    @classmethod
    def read(cls, cards: Cards, led: int, weight: float) -> Self | None:
        """Inverse of `cards`; None where a flat does not tell its frames.  BadData if they cannot be read."""
        values = [_value(cards, f"{name}{led}") for name in ("LEDLEV", "FRLEV")]
        if None in values:
            return None
        try:
            pairs = [pair.split(":") for pair in str(values[1]).split(",") if pair]
            return cls(led, weight, float(values[0] or 0), {frame: float(level) for frame, level in pairs})
        except ValueError as error:
            raise BadData(f"FRLEV{led} is {values[1]!r}, expected exposure:level,...; make the flat again") from error

    def cards(self) -> dict[str, tuple[Value, str]]:
        """Cards of a flat's header."""
        levels = ",".join(f"{frame}:{level:.7g}" for frame, level in sorted(self.frames.items()))
        return {
            f"LEDLEV{self.led}": (self.level, f"level of LED {self.led} [adu]"),
            f"FRLEV{self.led}": (levels, "of its frames"),
        }


def exposure_of(name: str) -> str:
    """What the frames of all CCDs of one exposure have in common in their file names; the whole name if unknown."""
    match = _EXPOSURE.match(name)
    return match[1] if match else name


def separate(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factors of rows and of columns whose products a table of positive values is, whichever of them are missing.

    A row's factor is a median over its columns, which a minority of odd values does not move.

    Parameters
    ----------
    values : (row, column)
        Positive; NaN: unknown.

    Returns
    -------
    rows : (row,)
        Median 1 among rows that chains of common columns connect; others cannot be compared.  NaN without a value.
    columns : (column,)
        Unit of the values; NaN without a value.
    """
    n_row, n_column = values.shape
    known = np.isfinite(values) & (values > 0)
    row, column = np.nonzero(known)
    logs = np.full(values.shape, np.nan)
    logs[known] = np.log(values[known])
    factors = np.full(n_row, np.nan)
    if row.size:
        design = np.zeros((row.size, n_row + n_column))
        design[np.arange(row.size), row] = design[np.arange(row.size), n_row + column] = 1
        of_columns = np.linalg.lstsq(design, logs[known], rcond=None)[0][n_row:]
        lit = known.any(axis=1)
        factors[lit] = np.nanmedian(logs[lit] - of_columns, axis=1)
        edges = coo_array((np.ones(row.size), (row, n_row + column)), shape=(n_row + n_column,) * 2)
        parts = connected_components(edges, directed=False)[1][:n_row]
        for part in np.unique(parts[lit]):
            factors[lit & (parts == part)] -= np.median(factors[lit & (parts == part)])
    response = np.full(n_column, np.nan)
    full = known.any(axis=0)
    response[full] = np.nanmedian(logs[:, full] - factors[:, np.newaxis], axis=0)
    return np.exp(factors), np.exp(response)


def relative_light(ccds: Sequence[Sequence[LampLevel]]) -> list[float]:
    """Light in which each CCD's flat was made, over that of all frames and LEDs that any of the CCDs has.

    Exactly 1 for all CCDs if none lacks a frame.  Frames or LEDs that only a CCD without any common ones has are
    taken to have had the usual light.

    Parameters
    ----------
    ccds
        LEDs of each CCD's flat; none where the flat does not tell.
    """
    leds = sorted({lamp.led for lamps in ccds for lamp in lamps})
    light = np.full((len(leds), len(ccds)), np.nan)
    level, weights = light.copy(), np.ones(len(leds))
    for at, led in enumerate(leds):
        of_led = {ccd: lamp for ccd, lamps in enumerate(ccds) for lamp in lamps if lamp.led == led}
        light[at] = _light_of_frames([of_led[ccd].frames if ccd in of_led else {} for ccd in range(len(ccds))])
        for ccd, lamp in of_led.items():
            weights[at], level[at, ccd] = lamp.weight, lamp.level
    light[np.isfinite(level) & ~np.isfinite(light)] = 1.0
    common = level / light
    if np.isnan(common).any() and leds:
        of_lamps, response = separate(common)
        common = np.where(np.isfinite(common), common, of_lamps[:, np.newaxis] * response)
    return [
        float(np.average(level[has, ccd], weights=weights[has]) / np.average(common[:, ccd], weights=weights))
        if (has := np.isfinite(level[:, ccd])).any()
        else 1.0
        for ccd in range(len(ccds))
    ]


def _light_of_frames(ccds: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Median light of one LED in each CCD's frames over that in all of them: (ccd,); NaN without a frame."""
    exposures = sorted({exposure for frames in ccds for exposure in frames})
    if not exposures:
        return np.full(len(ccds), np.nan)
    levels = np.array([[frames.get(exposure, np.nan) for frames in ccds] for exposure in exposures])
    lamp, _ = separate(levels)
    usual = np.nanmedian(lamp)
    has = np.isfinite(levels)
    return np.array([np.nanmedian(lamp[mine]) / usual if mine.any() else np.nan for mine in has.T])


def _value(cards: Cards, keyword: str) -> Value:
    value = cards.get(keyword)
    return value[0] if isinstance(value, tuple) else value
