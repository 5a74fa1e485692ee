"""Levels and noise of a raw frame, and the end of a row at which the deferred charge appears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import flip_readout
from ztf_in2p3.cards import required_number
from ztf_in2p3.doctor.findings import Check, Result, differs, ok
from ztf_in2p3.doctor.layout import RawFrame
from ztf_in2p3.identifiers import N_QUADRANT, ImageType
from ztf_in2p3.robust_statistics import SIGMA_PER_MAD, clipped_rms, robust_sigma, robust_sigmas
from ztf_in2p3.sensor.overscan import stored_overscan_level

LEVELS = {ImageType.BIAS: (-20.0, 200.0), ImageType.FLAT: (8_000.0, 50_000.0), ImageType.OBJECT: (30.0, 3000.0)}
"""Median over the amplifier's offset, ADU: bias 30 to 130, flats 15,000 to 45,000, sky 100 to 1500 and some room."""
OFFSET = (50.0, 10_000.0)
"""Offset of an amplifier, ADU."""
ILLUMINATED = 1000.0
"""Median, ADU, below which a flat's lamp did not shine."""
NOISE_TOLERANCE = 0.2
"""Fraction by which a measured read noise may differ from the header's."""
SATURATED_ADU, MAX_SATURATED = 65_000.0, 0.02
LEAST_TRAILED = 0.3
"""ADU by which one end of the overscan must exceed the other to tell where the deferred charge is."""
_CLIP, _ROUNDS = 4.0, 5


@dataclass(frozen=True, slots=True)
class QuadrantLevels:
    """What a quadrant of a raw frame shows; ADU."""

    qid: int
    offset: float
    """Offset of the amplifier: median of the overscan's last columns read, ADU."""
    level: float
    """Median of the pixels over the offset."""
    noise: float
    """Standard deviation of a pixel, from the differences of neighbouring rows."""
    saturated: float
    """Fraction of the pixels."""
    trailed: float
    """First column of the overscan read over the last: negative where the order is the other way round."""

    @classmethod
    def measure(cls, pixels: NDArray[np.float32], overscan: NDArray[np.float32], qid: int) -> Self:
        """Numbers of a quadrant and its overscan, (row, column) as stored, ADU."""
        offset = stored_overscan_level(overscan, qid)
        read = flip_readout(overscan - offset[:, np.newaxis], qid)
        profile = np.median(read, axis=0) if len(read) < 20 else _clipped_mean(read)
        return cls(
            qid,
            float(np.median(offset)),
            float(np.nanmedian(pixels[::2, ::2] - offset[::2, np.newaxis])),
            row_noise(pixels - offset[:, np.newaxis].astype(np.float32)),
            float(np.mean(pixels >= SATURATED_ADU)),
            float(profile[0] - profile[-1]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FrameLevels:
    """A frame and the levels of its quadrants."""

    frame: RawFrame
    quadrants: tuple[QuadrantLevels, ...]

    @classmethod
    def measure(cls, frame: RawFrame) -> Self:
        """Numbers of all quadrants; one is in memory at a time."""
        file = frame.file
        return cls(
            frame,
            tuple(
                QuadrantLevels.measure(file.pixels(qid), file.pixels(N_QUADRANT + qid), qid)
                for qid in range(1, N_QUADRANT + 1)
            ),
        )


def row_noise(pixels: NDArray[np.float32]) -> float:
    """Standard deviation of a pixel, from its difference to the next row's: what differs slowly drops out.

    `pixels`: (row, column), ADU.

    Clipped means of squares and not median distances: the numbers of a converter are whole, and their median
    distance is 1 or 2 ADU.
    """
    step = np.diff(pixels, axis=0)[::2].ravel()
    step = step[np.isfinite(step)]
    step = step - np.median(step)
    start = max(robust_sigma(step, 0.0), 0.5 * SIGMA_PER_MAD)
    return clipped_rms(step, start, clip=_CLIP, rounds=_ROUNDS, least=1.0) / np.sqrt(2)


def _clipped_mean(columns: NDArray) -> NDArray[np.float64]:
    """Mean of each column, rows far from its median left out."""
    distance = np.abs(columns - np.median(columns, axis=0))
    keep = distance <= _CLIP * np.maximum(robust_sigmas(distance, 0.0), SIGMA_PER_MAD)
    return np.asarray((columns * keep).sum(axis=0) / keep.sum(axis=0))


def offsets(levels: FrameLevels) -> Result:
    """Electronic offsets of the amplifiers, ADU."""
    low, high = OFFSET
    return _within(levels, "offset", low, high, f"{low:g} to {high:g} ADU in the overscan's last columns")


def level(levels: FrameLevels) -> Result:
    """Level of the quadrants by the kind of frame, ADU."""
    kind = levels.frame.ccd.exposure.image_type
    low, high = LEVELS[kind]
    names = {ImageType.BIAS: "bias over the offset", ImageType.FLAT: "flat", ImageType.OBJECT: "sky"}
    if kind is ImageType.FLAT and all(quadrant.level < ILLUMINATED for quadrant in levels.quadrants):
        observed = f"unlit: {_numbers([quadrant.level for quadrant in levels.quadrants])} ADU"
        return differs(observed, f"{low:g} to {high:g} ADU", "no lamp shone: look at the flats of another night")
    return _within(levels, "level", low, high, f"{names[kind]} {low:g} to {high:g} ADU")


def saturation(levels: FrameLevels) -> Result:
    """Fraction of the pixels at the saturation level."""
    worst = max(quadrant.saturated for quadrant in levels.quadrants)
    expected = f"fewer than {MAX_SATURATED:.0%} of the pixels at {SATURATED_ADU:g} ADU and more"
    if worst > MAX_SATURATED:
        return differs(f"{worst:.1%}", expected, "the frame is overexposed: take another night")
    return ok(f"{worst:.2%} at most", expected)


def read_noise(levels: FrameLevels) -> Result:
    """Noise of a bias frame against READNOI / GAIN."""
    measured, expected, wrong = [], [], False
    for quadrant, hdu in zip(levels.quadrants, levels.frame.file.hdus[1:], strict=False):
        name = f"quadrant {quadrant.qid}"
        gain, noise = (required_number(hdu.header, key, name, positive=True) for key in ("GAIN", "READNOI"))
        measured.append(quadrant.noise * gain)
        expected.append(noise)
        wrong |= abs(quadrant.noise * gain / noise - 1) > NOISE_TOLERANCE
    text, wanted = f"{_numbers(measured)} e-", f"READNOI {_numbers(expected)} e- within {NOISE_TOLERANCE:.0%}"
    remedy = "GAIN is e-/ADU and READNOI e-: look which of them the header means otherwise; a noisy channel is news too"
    return differs(text, wanted, remedy) if wrong else ok(text, wanted)


def deferred_charge(levels: FrameLevels) -> Result:
    """Charge left in the register comes first out of it: in the overscan's first column read."""
    words, wrong = [], False
    for quadrant in levels.quadrants:
        stored = -quadrant.trailed if quadrant.qid in (2, 3) else quadrant.trailed
        end = "neither end" if abs(stored) < LEAST_TRAILED else "left" if stored > 0 else "right"
        words.append(f"q{quadrant.qid} {end}")
        wrong |= quadrant.trailed < LEAST_TRAILED
    expected = "q1 left, q2 right, q3 right, q4 left (as stored)"
    remedy = "the amplifiers are read from other corners than we believe: send us the JSON report before reducing"
    return differs(", ".join(words), expected, remedy) if wrong else ok(", ".join(words), expected)


def _within(levels: FrameLevels, name: str, low: float, high: float, expected: str) -> Result:
    numbers = [getattr(quadrant, name) for quadrant in levels.quadrants]
    wrong = [f"q{quadrant.qid}" for quadrant in levels.quadrants if not low <= getattr(quadrant, name) <= high]
    text = f"{_numbers(numbers)} ADU"
    if wrong:
        return differs(f"{text}: {', '.join(wrong)}", expected, "look at the frame; send us the JSON report")
    return ok(text, expected)


def _numbers(numbers: list[float]) -> str:
    return ", ".join(f"{number:.4g}" if abs(number) < 1000 else f"{number:.0f}" for number in numbers)


_EVERY = (Check("overscan level", offsets), Check("level", level), Check("saturation", saturation))
CHECKS = {
    ImageType.BIAS: (*_EVERY, Check("read noise", read_noise, ("amplifier keywords", "amplifier types"))),
    ImageType.FLAT: (*_EVERY, Check("deferred charge", deferred_charge, ("level",))),
    ImageType.OBJECT: (*_EVERY, Check("deferred charge", deferred_charge)),
}
