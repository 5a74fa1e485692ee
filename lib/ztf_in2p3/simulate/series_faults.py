"""What spoils single exposures of an image series: each fault is a switch on stamps, with its truth.

Faults are done to the arrays of a series, exposures along the first axis, whatever type holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIGHT, FLAGGED = "right", "flagged"
TRAIL_FWHM = 2.5
"""Pixels."""


@dataclass(slots=True, eq=False)
class Stamps:
    """Stamps around a transient, changed in place."""

    data: NDArray[np.float64]
    """(exposure, row, column), ADU."""
    gain: NDArray[np.float64]
    """(exposure,): what the header says, electrons per ADU."""
    variance: NDArray[np.float64]
    """(exposure,): of a pixel of sky, ADU^2."""
    source: NDArray[np.float64]
    """(exposure, row, column): image of a source of 1 ADU at the transient's place."""
    quiet: NDArray[np.int64]
    """Exposures before the transient."""
    active: NDArray[np.int64]
    """Exposures of the transient."""


@dataclass(frozen=True, slots=True)
class SeriesFault:
    """One thing that goes wrong with exposures of a series."""

    change: Callable[[Stamps, np.random.Generator], int]
    """Spoils an exposure and returns its number."""
    truth: str
    """Whether the exposure's flux can be right, or must be flagged, dropped or without value."""


def trail(side: int, peak: float, angle: float, offset: float) -> NDArray[np.float64]:
    """Trail of a satellite straight across a stamp (row, column), ADU."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    away = x * np.sin(angle) - y * np.cos(angle) - offset
    return np.asarray(peak * np.exp(-0.5 * (away / (TRAIL_FWHM / 2.355)) ** 2))


def _trail_of(peak: float, *, quiet: bool) -> Callable[[Stamps, np.random.Generator], int]:
    def change(stamps: Stamps, draw: np.random.Generator) -> int:
        chosen = int(draw.choice(stamps.quiet if quiet else stamps.active))
        side = stamps.data.shape[1]
        stamps.data[chosen] += trail(side, peak, draw.uniform(0, np.pi), draw.uniform(-2, 2))
        return chosen

    return change


def _saturated(stamps: Stamps, draw: np.random.Generator) -> int:
    chosen = int(draw.choice(stamps.active))
    stamps.data[chosen] = np.minimum(stamps.data[chosen] + 1e6 * stamps.source[chosen], 30_000.0)
    return chosen


def _hit(stamps: Stamps, draw: np.random.Generator) -> int:
    """A radiation hit in one of the pixels with the source's light."""
    chosen = int(draw.choice(stamps.active))
    row, column = np.unravel_index(np.argmax(stamps.source[chosen]), stamps.data.shape[1:])
    stamps.data[chosen, row + 1, column - 1] += 600.0
    return chosen


def _wrong_sky(stamps: Stamps, draw: np.random.Generator) -> int:
    """A stamp of another place of the sky, the WCS says otherwise."""
    chosen = int(draw.choice(stamps.quiet))
    level = np.median(stamps.data[chosen])
    stamps.data[chosen] = np.rot90(stamps.data[chosen] - level, int(draw.integers(1, 4))) * 1.5 + level
    return chosen


def _other_band(stamps: Stamps, draw: np.random.Generator) -> int:
    """FILTER says one band, the image is of another: a galaxy of another brightness."""
    chosen = int(draw.choice(stamps.quiet))
    level = np.median(stamps.data[chosen])
    noise = np.sqrt((1 - 0.6**2) * stamps.variance[chosen])  # that of the sky stays what it is
    stamps.data[chosen] = level + 0.6 * (stamps.data[chosen] - level) + draw.normal(0, noise, stamps.data.shape[1:])
    return chosen


def _neighbour(stamps: Stamps, draw: np.random.Generator) -> int:
    """An asteroid beside the transient, in one exposure."""
    chosen = int(draw.choice(stamps.active))
    stamps.data[chosen] += 3000.0 * np.roll(stamps.source[chosen], (3, -3), (0, 1))
    return chosen


def _dead_rows(stamps: Stamps, draw: np.random.Generator) -> int:
    """A row that the readout lost, and no mask knows."""
    chosen = int(draw.choice(stamps.active))
    stamps.data[chosen, stamps.data.shape[1] // 2 + 1] = 0.0
    return chosen


def _nan(stamps: Stamps, draw: np.random.Generator) -> int:
    chosen = int(draw.choice(stamps.active))
    stamps.data[chosen, :, : stamps.data.shape[2] // 2 + 2] = np.nan
    return chosen


def _wrong_gain(stamps: Stamps, draw: np.random.Generator) -> int:
    """GAIN is the inverse of what it should be, in all exposures."""
    stamps.gain[:] = 1 / stamps.gain
    return -1


def _gain_off(stamps: Stamps, draw: np.random.Generator) -> int:
    """GAIN is a fifth too large, in all exposures."""
    stamps.gain[:] *= 1.2
    return -1


SERIES_FAULTS: Mapping[str, SeriesFault] = {
    **{f"trail of {peak:g}, quiet": SeriesFault(_trail_of(peak, quiet=True), FLAGGED) for peak in (30.0, 100.0, 400.0)},
    **{
        f"trail of {peak:g}, active": SeriesFault(_trail_of(peak, quiet=False), FLAGGED)
        for peak in (30.0, 100.0, 400.0)
    },
    "saturated core": SeriesFault(_saturated, FLAGGED),
    "radiation hit": SeriesFault(_hit, RIGHT),
    "another sky": SeriesFault(_wrong_sky, FLAGGED),
    "another band": SeriesFault(_other_band, FLAGGED),
    "asteroid beside": SeriesFault(_neighbour, FLAGGED),
    "lost row": SeriesFault(_dead_rows, RIGHT),
    "half a stamp": SeriesFault(_nan, FLAGGED),
    "inverse GAIN": SeriesFault(_wrong_gain, RIGHT),
    "GAIN 1.2 times too large": SeriesFault(_gain_off, RIGHT),
}
"""What goes wrong with an exposure among others, by name."""
