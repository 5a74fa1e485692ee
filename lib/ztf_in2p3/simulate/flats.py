"""Flats without noise, and the levels by which they are normalised.

What a reduction must find: each LED's flat over its CCD median, averaged over the LEDs of a filter;
FLTNORM the mean of those medians; the level of the focal plane the median over CCDs of the medians
of flat x FLTNORM (M. Aubert, ZTF SN Ia meeting, Barcelona, 2024-12-09).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.identifiers import N_QUADRANT, Exposure, Filter, ImageType, Quadrant
from ztf_in2p3.simulate.chain import amplifier, dead_pixels, expected_charge, lamp
from ztf_in2p3.simulate.exposures import FlatFrame, NightPlan

_ARCHIVE_LEVEL = 20_000.0
"""ADU of the flats that the archive used where the plan has none of a filter."""


def lamps(plan: NightPlan, filter: Filter) -> dict[int, FlatFrame]:
    """One flat of each LED of a filter, at the median level of the plan's, or of its calibration's.

    The archive's own images of a night without either are made with a first LED's of another.
    """
    frames: dict[int, list[FlatFrame]] = {}
    for frame in plan.lamp_night(filter).flats:
        if frame.exposure.filter == filter:
            frames.setdefault(frame.led, []).append(frame)
    if not frames:
        exposure = Exposure(f"{_night(plan)}000000", 0, filter, ImageType.FLAT)
        frames = {filter.leds[0]: [FlatFrame(exposure, 0.0, filter.leds[0], _ARCHIVE_LEVEL)]}
    flats = {}
    for led, same in sorted(frames.items()):
        level = float(np.median([frame.level_adu for frame in same]))
        flats[led] = FlatFrame(same[0].exposure, same[0].mjd, led, level, same[0].exptime)
    return flats


def _night(plan: NightPlan) -> str:
    night: date = plan.night
    return f"{night:%Y%m%d}"


def led_flat_adu(plan: NightPlan, filter: Filter, led: int, quadrant: Quadrant) -> NDArray[np.float32]:
    """Flat of one LED before normalisation: (row, column), ADU over the bias; NaN in dead pixels."""
    flat = expected_charge(plan, lamps(plan, filter)[led], quadrant) / np.float32(amplifier(plan, quadrant).gain)
    flat[dead_pixels(plan, quadrant)] = np.nan
    return flat


@dataclass(frozen=True, slots=True)
class FlatLevels:
    """Levels of the flats of one filter."""

    led_medians: Mapping[int, Mapping[int, float]]
    """ADU, by CCD, then by LED."""
    flat_medians: Mapping[int, float]
    """Median of each CCD's normalised flat: nearly, not exactly, 1."""

    def fltnorm(self, ccdid: int) -> float:
        """ADU: mean over the LEDs."""
        return float(np.mean(list(self.led_medians[ccdid].values())))

    @property
    def focal_plane(self) -> float:
        """ADU: median over the CCDs."""
        return float(np.median([self.fltnorm(ccdid) * median for ccdid, median in self.flat_medians.items()]))

    def factor(self, ccdid: int) -> float:
        """Factor by which a CCD divided by its own flat is multiplied to be on the scale of the focal plane."""
        return self.focal_plane / self.fltnorm(ccdid)


def flat_levels(plan: NightPlan, filter: Filter) -> FlatLevels:
    """Levels over all CCDs of the plan, or of its calibration."""
    led_medians: dict[int, dict[int, float]] = {}
    flat_medians: dict[int, float] = {}
    for ccdid in plan.lamp_night(filter).ccdids:
        quadrants = [Quadrant(ccdid, qid) for qid in range(1, N_QUADRANT + 1)]
        flats = {
            led: np.stack([led_flat_adu(plan, filter, led, quadrant) for quadrant in quadrants])
            for led in lamps(plan, filter)
        }
        led_medians[ccdid] = {led: _median(flat) for led, flat in flats.items()}
        combined = sum(flat / np.float32(led_medians[ccdid][led]) for led, flat in flats.items()) / len(flats)
        flat_medians[ccdid] = _median(np.asarray(combined))
    return FlatLevels(led_medians, flat_medians)


def combined_flat(plan: NightPlan, filter: Filter, quadrant: Quadrant, levels: FlatLevels) -> NDArray[np.float32]:
    """Normalised flat of a quadrant: (row, column); NaN in dead pixels."""
    medians = levels.led_medians[quadrant.ccdid]
    flats = [led_flat_adu(plan, filter, led, quadrant) / np.float32(median) for led, median in medians.items()]
    return np.mean(flats, axis=0, dtype=np.float32)


def star_scale(
    plan: NightPlan, filter: Filter, quadrant: Quadrant, levels: FlatLevels, x: NDArray, y: NDArray
) -> NDArray:
    """Flux in a detrended image of a star that the optics show at (x, y) pixels, over its nominal flux.

    The response of the pixels, the gain and the vignetting are in the flat as well and cancel;
    the lamps' own pattern remains.  Smooth, so that its value at the star holds for its image.
    """
    u, v = plan.camera.focal_plane(quadrant, x, y)
    flats = lamps(plan, filter)
    medians = levels.led_medians[quadrant.ccdid]
    lamps_light = np.mean([flats[led].level_adu * lamp(plan, led, u, v) / medians[led] for led in flats], axis=0)
    return levels.factor(quadrant.ccdid) / lamps_light


def _median(flat: NDArray) -> float:
    finite = flat[np.isfinite(flat)]
    return float(np.median(finite, overwrite_input=True))
