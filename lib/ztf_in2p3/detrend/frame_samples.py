"""What a few rows of a calibration frame and its overscan tell about it, before it is stacked with its siblings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.cards import number
from ztf_in2p3.detrend.amplifiers import CEILING_ADU, amplifier_fault, is_constant
from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.robust_statistics import SIGMA_PER_MEAN_DEVIATION, clipped_rms
from ztf_in2p3.sensor.readout import Readout

N_BANDS, BAND_ROWS = 8, 8
"""Bands of rows that are looked at, evenly over a quadrant, and their rows: 1/48 of ZTF's."""
N_PARTS = 8
"""Parts of a band, along its columns: the quadrant is seen in 8 x 8 blocks."""
FULL_SHARE = 0.97
"""Share of the full well from which on a flat's pixel is saturated: its response is no longer that of the lamp."""
_CLIP = 5.0
"""Standard deviations beyond which a difference of neighbours is no noise."""
_QIDS = range(1, N_QUADRANT + 1)


@dataclass(frozen=True, slots=True, eq=False)
class QuadrantSample:
    """One quadrant of one frame, as its sampled rows show it."""

    readout: Readout | None
    """None: the electronic offset cannot be measured."""
    fault: str
    """Why the amplifier's signal cannot be used, whatever its siblings show; empty if it can."""
    blocks: NDArray[np.float64]
    """(block,): medians, linear ADU over the offset, and over the bias where there is one; NaN: no data."""
    noise: float
    """ADU, of one pixel, from neighbours along the columns; NaN for frames with light, whose pixels differ."""
    saturated: float
    """Share of the pixels."""

    @property
    def level(self) -> float:
        """Median of the blocks, ADU; NaN without data."""
        known = self.blocks[np.isfinite(self.blocks)]
        return float(np.median(known)) if known.size else np.nan


NO_SAMPLE = np.full(N_BANDS * N_PARTS, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class FrameSample:
    """One frame of a CCD."""

    name: str
    """Name of the frame's file."""
    exptime: float
    """Seconds; NaN where the header has none above 0."""
    power: float | None
    """Power of the lamp; None if the header has none."""
    read_noise: dict[int, float]
    """ADU, by qid, as the header says."""
    quadrants: dict[int, QuadrantSample]
    """Samples of the quadrants, by qid."""
    block_size: int
    """Pixels of a block."""


def band_rows(n_row: int) -> list[slice]:
    """Bands of rows that are looked at."""
    height = min(BAND_ROWS, n_row)
    starts = np.linspace(0, n_row - height, min(N_BANDS, n_row // height)).astype(int)
    return [slice(int(start), int(start) + height) for start in starts]


def sample_frames(
    raws: Sequence[RawCcd], sensor: SensorRecipe, bias: dict[int, NDArray[np.float32]] | None = None
) -> list[FrameSample]:
    """Samples of all frames.

    Parameters
    ----------
    bias : (row, column) by qid, ADU
        Of the sampled bands, one below the other (`rows_of`); None for frames without light.
    """
    return [_sample_frame(raw, sensor, bias) for raw in raws]


def rows_of(plane: NDArray[np.float32], bands: Sequence[slice]) -> NDArray[np.float32]:
    """Bands of rows, one below the other.  `plane`: (row, column)."""
    return np.concatenate([plane[rows] for rows in bands])


def _sample_frame(raw: RawCcd, sensor: SensorRecipe, bias: dict[int, NDArray[np.float32]] | None) -> FrameSample:
    bands = band_rows(raw.camera.shape[0])
    pixels = {qid: np.concatenate([raw.pixels(qid, rows) for rows in bands]) for qid in _QIDS}
    quadrants = {
        qid: _sample_quadrant(raw, qid, sensor, pixels[qid], None if bias is None else bias[qid]) for qid in _QIDS
    }
    exptime = number(raw.header, "EXPTIME")
    return FrameSample(
        raw.path.name,
        exptime if exptime is not None and exptime > 0 else np.nan,
        number(raw.header, "ILUMPOWR"),
        {qid: raw.read_noise(qid) / raw.gain(qid) for qid in _QIDS},
        quadrants,
        BAND_ROWS * raw.camera.shape[1] // N_PARTS,
    )


def _sample_quadrant(
    raw: RawCcd,
    qid: int,
    sensor: SensorRecipe,
    pixels: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
) -> QuadrantSample:
    """Sample of one quadrant; `pixels` are changed."""
    # One value everywhere is a dead amplifier, unless the frame says that it was made without noise.
    intended = raw.is_noise_free(qid) and is_constant(pixels)
    if not intended and amplifier_fault(pixels) and (fault := amplifier_fault(raw.pixels(qid))):
        return QuadrantSample(None, fault, NO_SAMPLE, np.nan, np.nan)
    try:
        readout = Readout.of(raw, qid, sensor)
    except BadData as error:
        fault = str(error).replace(f"{raw.path}, quadrant {qid}: ", "").replace(str(raw.path), raw.path.name)
        return QuadrantSample(None, f"has no offset ({fault})", NO_SAMPLE, np.nan, np.nan)
    rows = np.concatenate([np.arange(raw.camera.shape[0])[band] for band in band_rows(raw.camera.shape[0])])
    full = pixels >= CEILING_ADU
    light = readout.linearity.over_offset(pixels, readout.offset[rows])
    noise = _noise(light) if bias is None else np.nan
    if bias is not None:
        light -= bias
        full |= light >= FULL_SHARE * raw.camera.saturation * raw.camera.gain / readout.gain
    return QuadrantSample(readout, "", _block_medians(light), noise, float(full.mean()))


def _block_medians(light: NDArray[np.float32]) -> NDArray[np.float64]:
    """Medians of blocks of a band's rows and a part of its columns: (block,)."""
    n_band = max(1, len(light) // BAND_ROWS)
    blocks = [part for band in np.array_split(light, n_band) for part in np.array_split(band, N_PARTS, axis=1)]
    return np.array([_median(block) for block in blocks], np.float64)


def _median(block: NDArray[np.float32]) -> float:
    middle = float(np.median(block))
    if np.isfinite(middle):
        return middle
    known = block[np.isfinite(block)]
    return float(np.median(known)) if known.size else np.nan


def _noise(light: NDArray[np.float32]) -> float:
    """Standard deviation of a pixel, from differences of rows within a band, whose columns have one pattern.

    Clipped twice, since a few pixels are hot or hit; not from a median, whose steps of whole numbers are as large.
    """
    n_band = max(1, len(light) // BAND_ROWS)
    differences = np.concatenate([np.diff(band, axis=0).ravel() for band in np.array_split(light, n_band)])
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        return np.nan
    start = max(float(np.mean(np.abs(differences))) * SIGMA_PER_MEAN_DEVIATION, 1.0)
    return clipped_rms(differences, start, clip=_CLIP, rounds=2, least=_CLIP * 1e-6) / np.sqrt(2)
