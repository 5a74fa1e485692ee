"""Frames of one quadrant, corrected and stacked a few rows at a time, with the noise of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.frame_samples import FrameSample
from ztf_in2p3.detrend.lamp_light import separate
from ztf_in2p3.detrend.stack import clipped_mean, clipped_median, kept_scatter, stack_variance
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.robust_statistics import finite_median
from ztf_in2p3.sensor.readout import Pockets, Readout

_SAMPLED = 16
"""One row in so many serves to measure the noise of a frame, and its level."""


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """Frames of one quadrant combined into one, with its noise."""

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
    mean: bool = False
    """Whether the frames' mean was taken, not their median."""

    @property
    def noise(self) -> float:
        """Noise of one frame where no light falls, ADU."""
        return float(np.sqrt(self.excess * self.read))

    def variance(self) -> NDArray[np.float32]:
        """Variance of the data (row, column), ADU^2; computed, not kept."""
        return stack_variance(self.count, self.excess * _model(self.data, self.read, self.per_adu), mean=self.mean)


def combine(
    raws: Sequence[RawCcd],
    qid: int,
    sensor: SensorRecipe,
    clip: float,
    chunk_bytes: int,
    bias: CcdMaster | None = None,
    factors: NDArray | None = None,
    pockets: Pockets | None = None,
    *,
    mean: bool = False,
    indices: Sequence[int] | None = None,
    offsets: Sequence[Readout | None] | None = None,
) -> Stacked:
    """Stack one quadrant, a range of rows at a time; each row as if it were alone.

    `factors`: (frame,), what each frame is multiplied with before they are combined.

    `indices`: frames that serve, by default all; without any the result holds no data.  `offsets`: readouts of frames
    without light, if they are known already.
    """
    bias_plane = None if bias is None else bias.data[qid]
    if indices is not None:
        if not indices or (bias_plane is not None and not np.isfinite(bias_plane).any()):
            return _nothing(raws, qid, photons=bias_plane is not None, mean=mean)
        raws = [raws[index] for index in indices]
        factors = None if factors is None else factors[list(indices)]
        offsets = None if offsets is None else [offsets[index] for index in indices]
    n_row, n_column = raws[0].camera.shape
    readouts = [
        (known or Readout.of(raw, qid, sensor))
        if bias_plane is None
        else Readout.of_light(raw, qid, sensor, bias_plane, pockets=pockets)
        for raw, known in zip(raws, offsets or [None] * len(raws), strict=True)
    ]
    counted = np.uint8 if len(raws) < 256 else np.uint16
    data, count = np.empty((n_row, n_column), np.float32), np.empty((n_row, n_column), counted)
    scatter = []
    for rows, chunk in _chunks(raws, readouts, chunk_bytes):
        for i, readout in enumerate(readouts):
            if bias_plane is not None:
                chunk[i] -= bias_plane[rows]
                readout.recover(chunk[i])
            if factors is not None:
                chunk[i] *= np.float32(factors[i])
        data[rows], count[rows] = (clipped_mean if mean else clipped_median)(chunk, clip=clip)
        scatter.append(kept_scatter(chunk[:, -rows.start % _SAMPLED :: _SAMPLED], clip=clip)[0])
    read, per_adu = _nominal(readouts, factors, photons=bias is not None)
    sampled = slice(None, None, _SAMPLED)
    excess = _pooled(np.concatenate(scatter), _model(data[sampled], read, per_adu), count[sampled])
    pocket = any(readout.pocket is not None for readout in readouts)
    return Stacked(data, count, excess, read, per_adu, pocket, mean)


def _nothing(raws: Sequence[RawCcd], qid: int, *, photons: bool, mean: bool) -> Stacked:
    """Stack of no frame: no data; the noise is what the headers say."""
    shape = raws[0].camera.shape
    read = float(np.mean([(raw.read_noise(qid) / raw.gain(qid)) ** 2 for raw in raws]))
    per_adu = float(np.mean([1 / raw.gain(qid) for raw in raws])) if photons else 0.0
    empty = np.full(shape, np.nan, np.float32)
    return Stacked(empty, np.zeros(shape, np.uint8), 1.0, read, per_adu, pocket=False, mean=mean)


def frame_scatter(
    raws: Sequence[RawCcd], indices: Sequence[int], qid: int, sensor: SensorRecipe, clip: float, chunk_bytes: int
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Sample variance (ADU^2) of each pixel over the bias frames that the stack keeps, and their number.

    `indices`: frames in which the amplifier worked; without any, NaN and none.
    """
    shape = raws[0].camera.shape
    if not indices:
        return np.full(shape, np.nan, np.float32), np.zeros(shape, np.uint16)
    raws = [raws[index] for index in indices]
    readouts = [Readout.of(raw, qid, sensor) for raw in raws]
    scatter, count = np.empty(shape, np.float32), np.empty(shape, np.uint16)
    for rows, chunk in _chunks(raws, readouts, chunk_bytes):
        scatter[rows], count[rows] = kept_scatter(chunk, clip=clip)
    return scatter, count


def _chunks(
    raws: Sequence[RawCcd], readouts: Sequence[Readout], chunk_bytes: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows of all frames, linear over the offset: (frame, row, column), in one place that is used again and again."""
    n_row, n_column = raws[0].camera.shape
    step = max(1, min(n_row, chunk_bytes // (4 * n_column * len(raws))))
    frames = np.empty((len(raws), step, n_column), np.float32)
    for start in range(0, n_row, step):
        rows = slice(start, min(start + step, n_row))
        chunk = frames[:, : rows.stop - start]
        for i, (raw, readout) in enumerate(zip(raws, readouts, strict=True)):
            readout.linear(raw.pixels(readout.qid, rows, chunk[i]), rows)
        yield rows, chunk


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


def level_bands(n_row: int) -> list[slice]:
    """Rows on which the level of a flat is measured."""
    return [slice(start, min(start + _SAMPLED, n_row)) for start in range(0, n_row, _SAMPLED**2)]


def frame_levels(
    raws: Sequence[RawCcd],
    bias: Mapping[int, NDArray[np.float32]],
    samples: Sequence[FrameSample],
    usable: Mapping[int, Sequence[int]],
) -> NDArray[np.float64]:
    """Median of each frame over bands of rows of all quadrants, linear ADU over the bias.

    Where a quadrant has a value in only some frames, the lamp's light in each frame and the amplifiers' responses are
    told apart, so that frames with and without it have levels on one scale.

    Parameters
    ----------
    bias : (row, column) by qid, ADU
        The bands of the master bias, one below the other.
    samples
        Of the frames, with the offsets of their quadrants.
    usable
        Frames that serve, by qid.

    Returns
    -------
    (frame,), ADU
        NaN where no quadrant serves.
    """
    bands = level_bands(raws[0].camera.shape[0])
    pixels: list[dict[int, NDArray]] = [{} for _ in raws]
    for qid in range(1, N_QUADRANT + 1):
        if not np.isfinite(bias[qid]).any():
            continue
        for index in usable[qid]:
            raw, readout = raws[index], samples[index].quadrants[qid].readout
            assert readout is not None  # or its offset were unknown, and the frame of no use
            light = np.concatenate([readout.linear(raw.pixels(qid, rows), rows) for rows in bands]) - bias[qid]
            if np.isfinite(light).any():
                pixels[index][qid] = light
    return _common_levels(pixels)


def _common_levels(pixels: Sequence[Mapping[int, NDArray]]) -> NDArray[np.float64]:
    """Level of each frame, from the pixels of its quadrants that have any."""
    if len({frozenset(quadrants) for quadrants in pixels if quadrants}) == 1:
        joined = [np.concatenate(list(quadrants.values())) if quadrants else np.array([np.nan]) for quadrants in pixels]
        return np.array([np.nanmedian(light) if np.isfinite(light).any() else np.nan for light in joined], np.float64)
    medians = np.full((len(pixels), N_QUADRANT), np.nan)
    for index, quadrants in enumerate(pixels):
        for qid, light in quadrants.items():
            medians[index, qid - 1] = np.nanmedian(light)
    lamp, response = separate(medians)
    return lamp * finite_median(response)
