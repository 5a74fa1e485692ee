"""The smallest way to detrend: one bias frame and one flat frame for masters; enough to see stars and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.doctor.findings import Result, differs, ok
from ztf_in2p3.doctor.levels import row_noise
from ztf_in2p3.doctor.raw_file import RawFile
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.sensor.overscan import stored_overscan_level

LEAST_RESPONSE = 0.05
"""Relative to the CCD's median; below it a pixel counts as dead."""
GAIN_TOLERANCE = 0.2
"""Fraction; a sky of 300 ADU gives the gain to 2 %, its gradients and faint stars to 5 or 10."""


@dataclass(frozen=True, slots=True, eq=False)
class Detrended:
    """A quadrant of a science frame over bias and flat."""

    qid: int
    data: NDArray[np.float32]
    """(row, column), ADU; NaN in dead pixels."""
    response: NDArray[np.float32]
    """(row, column), relative to the CCD's median."""
    full: NDArray[np.bool_]
    """(row, column): at the ceiling of the converter."""


def over_offset(file: RawFile, qid: int) -> NDArray[np.float32]:
    """Quadrant over its amplifier's offset, (row, column), ADU."""
    offset = stored_overscan_level(file.pixels(N_QUADRANT + qid), qid)
    return file.pixels(qid) - offset[:, np.newaxis].astype(np.float32)


def flat_level(bias: RawFile, flat: RawFile) -> float:
    """Median of a CCD's flat over the bias, ADU; by its quadrants, so that one at a time is in memory."""
    medians = [np.median((over_offset(flat, q) - over_offset(bias, q))[::4, ::4]) for q in range(1, N_QUADRANT + 1)]
    return float(np.median(medians))


def detrend(science: RawFile, bias: RawFile, flat: RawFile, qid: int, level: float) -> Detrended:
    """A quadrant of a science frame; `level` as of `flat_level`."""
    bias_level = over_offset(bias, qid)
    response = (over_offset(flat, qid) - bias_level) / np.float32(level)
    raw = science.pixels(qid)
    light = raw - stored_overscan_level(science.pixels(N_QUADRANT + qid), qid)[:, np.newaxis].astype(np.float32)
    light -= bias_level
    alive = response > LEAST_RESPONSE
    data = np.where(alive, light / np.where(alive, response, 1), np.nan).astype(np.float32)
    return Detrended(qid, data, response, raw >= 65_000)


def photon_gain(image: Detrended, read_noise: float, gain: float, level: float) -> float:
    """Gain by the photons of the sky, e-/ADU: its level over the variance that the read noise leaves over.

    Variance by the differences of rows, which the pocket of the serial register does not touch; it holds read noise
    of science and bias frame, and the photons of the flat frame.

    Parameters
    ----------
    read_noise
        Measured on the bias frame, ADU.
    gain
        By the header, e-/ADU: for the small noise of the flat.
    level
        Level of the flat, ADU.
    """
    sky = float(np.nanmedian(image.data[::2, ::2]))
    response = float(np.median(image.response[::4, ::4]))
    reading = 2 * (read_noise / response) ** 2
    light = row_noise(image.data) ** 2 - reading - sky**2 / (level * response * gain)
    return sky / response / light if light > 0 else np.inf


def gain(measured: dict[int, float], expected: dict[int, float]) -> Result:
    """Gains by the photons of the sky beside those of the header, by qid, e-/ADU."""
    text = ", ".join(f"{number:.2f}" for number in measured.values()) + " e-/ADU by the sky's photons"
    words = f"GAIN {', '.join(f'{expected[qid]:.2f}' for qid in measured)} within {GAIN_TOLERANCE:.0%}"
    remedy = "GAIN is e-/ADU: look whether the header means it otherwise; a sky with clouds or galaxies is noisy too"
    wrong = any(not abs(number / expected[qid] - 1) <= GAIN_TOLERANCE for qid, number in measured.items())
    return differs(text, words, remedy) if wrong else ok(text, words)
