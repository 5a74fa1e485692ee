"""Frames of one quadrant, corrected and stacked a few rows at a time, with the noise of the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from lib.detrend.ccd_master import CcdMaster
from lib.detrend.stack import clipped_median, kept_scatter, stack_variance
from lib.errors import BadData
from lib.frames import RawCcd
from lib.identifiers import N_QUADRANT
from lib.recipes import SensorRecipe
from lib.sensor.readout import Pockets, Readout

_SAMPLED = 16
"""One row in so many serves to measure the noise of a frame, and its level."""


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    data: NDArray[np.float32]
    count: NDArray[np.unsignedinteger]
    """uint8 up to 255 frames, else uint16."""
    excess: float
    """Variance of a frame, measured, over what its header says."""
    read: float
    """Variance of a dark frame according to its header, ADU^2; per ADU of light, ADU."""
    per_adu: float
    pocket: bool
    """Whether the pocket took charge of a frame, and it was put back."""

    @property
    def noise(self) -> float:
        """Of one frame where it is dark, ADU."""
        return float(np.sqrt(self.excess * self.read))

    def variance(self) -> NDArray[np.float32]:
        """Of the data; computed, not kept."""
        return stack_variance(self.count, self.excess * _model(self.data, self.read, self.per_adu))


def combine(
    raws: Sequence[RawCcd],
    qid: int,
    sensor: SensorRecipe,
    clip: float,
    chunk_bytes: int,
    bias: CcdMaster | None = None,
    factors: NDArray | None = None,
    pockets: Pockets | None = None,
) -> Stacked:
    """Stack one quadrant, a range of rows at a time; each row as if it were alone."""
    n_row, n_column = raws[0].camera.shape
    dark = None if bias is None else bias.data[qid]
    readouts = [
        Readout.of(raw, qid, sensor) if dark is None else Readout.of_light(raw, qid, sensor, dark, pockets=pockets)
        for raw in raws
    ]
    counted = np.uint8 if len(raws) < 256 else np.uint16
    data, count = np.empty((n_row, n_column), np.float32), np.empty((n_row, n_column), counted)
    step = max(1, min(n_row, chunk_bytes // (4 * n_column * len(raws))))
    frames = np.empty((len(raws), step, n_column), np.float32)
    scatter = []
    for start in range(0, n_row, step):
        rows = slice(start, min(start + step, n_row))
        chunk = frames[:, : rows.stop - start]
        for i, (raw, readout) in enumerate(zip(raws, readouts, strict=True)):
            readout.linear(raw.pixels(qid, rows, chunk[i]), rows)
            if dark is not None:
                chunk[i] -= dark[rows]
                readout.recover(chunk[i])
            if factors is not None:
                chunk[i] *= np.float32(factors[i])
        data[rows], count[rows] = clipped_median(chunk, clip=clip)
        scatter.append(kept_scatter(chunk[:, -start % _SAMPLED :: _SAMPLED], clip=clip))
    read, per_adu = _nominal(readouts, factors, photons=bias is not None)
    sampled = slice(None, None, _SAMPLED)
    excess = _pooled(np.concatenate(scatter), _model(data[sampled], read, per_adu), count[sampled])
    pocket = any(readout.pocket is not None for readout in readouts)
    return Stacked(data, count, excess, read, per_adu, pocket)


def _nominal(readouts: Sequence[Readout], factors: NDArray | None, *, photons: bool) -> tuple[float, float]:
    """Variance of one frame according to its header: read noise (ADU^2), and per ADU of light (ADU)."""
    scale = np.ones(len(readouts)) if factors is None else factors
    read = np.mean([(f * r.read_noise) ** 2 for f, r in zip(scale, readouts, strict=True)])
    light = np.mean([f / r.gain for f, r in zip(scale, readouts, strict=True)])
    return float(read), float(light) if photons else 0.0


def _model(data: NDArray[np.float32], read: float, per_adu: float) -> NDArray[np.float32] | float:
    return np.maximum(data, 0) * np.float32(per_adu) + np.float32(read) if per_adu else read


def _pooled(scatter: NDArray, model: NDArray | float, count: NDArray) -> float:
    """Measured over expected variance of one frame: one number a quadrant.

    Median over many pixels, which neither hot ones nor cosmic rays move, of each pixel's sample
    variance over the model's, in units of the median that a Gaussian's would have.
    """
    known = (count > 1) & np.isfinite(scatter)
    if not known.any():
        return 1.0  # one frame knows nothing of its noise
    middle = np.array([np.nan, np.nan] + [_chi2_median(n - 1) for n in range(2, int(count.max()) + 1)])
    return float(np.median((scatter / model)[known] / middle[count[known]]))


@cache
def _chi2_median(freedom: int) -> float:
    """Median of a sample variance of so many degrees of freedom, in units of the true one."""
    return float(2 * gammaincinv(freedom / 2, 0.5) / freedom)


def frame_level(raw: RawCcd, bias: CcdMaster, sensor: SensorRecipe) -> float:
    """Median over bands of rows of all quadrants, linear ADU over the bias."""
    pixels = []
    for qid in range(1, N_QUADRANT + 1):
        readout, dark = Readout.of(raw, qid, sensor), bias.data[qid]
        for start in range(0, raw.camera.shape[0], _SAMPLED**2):
            rows = slice(start, min(start + _SAMPLED, raw.camera.shape[0]))
            pixels.append(readout.linear(raw.pixels(qid, rows), rows) - dark[rows])
    level = float(np.nanmedian(np.concatenate(pixels)))
    if not level > 0:
        raise BadData(f"{raw.path}: a flat of {level:.1f} ADU over the bias; was the lamp on? reject the exposure")
    return level
