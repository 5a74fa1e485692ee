"""What the detector did to some exposures, and what of it is left, in numbers: the rows behind the detector's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera, flip_readout
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import CcdExposure, Quadrant
from ztf_in2p3.image import Image, is_bad
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.robust_statistics import MEDIAN_PER_MEAN
from ztf_in2p3.sensor.fringe_cells import sky_cells
from ztf_in2p3.sensor.readout import Pockets, Readout
from ztf_in2p3.tables import Column, schema_of

DETECTOR = (
    Column("exposure", pa.int64(), "", "filefracday of the exposure, YYYYMMDDFFFFFF"),
    Column("ccd", pa.int8(), "", "CCD number, 1 to 16"),
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("rcid", pa.int8(), "", "readout channel, 4 (ccd - 1) + qid - 1"),
    Column("sky", pa.float64(), "adu", "median of the detrended image"),
    Column("pocket", pa.bool_(), "", "a pocket was undone"),
    Column("drift", pa.float64(), "adu", "range of the offset over the rows"),
    Column("overscan_rms", pa.float64(), "adu", "scatter of the last overscan columns about offset and release"),
    Column("overscan_noise", pa.float64(), "adu", "the same as the read noise makes it"),
    Column(
        "first_columns",
        pa.float64(),
        "adu",
        "first five columns read over the line through the next 40, detrended image",
    ),
    Column("first_columns_error", pa.float64(), "adu", "its standard error"),
    Column("first_overscan", pa.float64(), "adu", "first three overscan columns over offset and release"),
    Column("first_overscan_error", pa.float64(), "adu", "its standard error"),
    Column("pixel_noise", pa.float64(), "", "scatter of neighbouring pixels over what the variance predicts"),
    Column("pixel_noise_error", pa.float64(), "", "its standard error"),
)
"""One row an exposure and quadrant."""

_LAST, _FIRST, _FIRST_OVERSCAN, _NEXT = 5, 5, 3, 40
"""Columns."""
_CELL = 8
"""Pixels, of cells that hold sources or not."""
_BLOCKS = 16
"""Blocks of rows over which the overscan is averaged before its scatter is taken: what is left of a drift is smooth."""


def detector_table(
    path: Path,
    ccd: CcdExposure,
    bias: CcdMaster,
    images: Mapping[int, Image],
    camera: Camera,
    recipe: SensorRecipe,
    *,
    pockets: Pockets | None = None,
) -> pa.Table:
    """Columns of `DETECTOR` for the quadrants of one CCD exposure.

    Parameters
    ----------
    path
        Raw file.
    images
        What detrending made of it, by qid.
    pockets
        Measured ones, for the equilibrium model.

    Raises
    ------
    BadData, MissingProduct
        As the detrending.
    """
    with RawCcd.open(path, camera, ccd.ccdid) as raw:
        rows = list(_rows(raw, ccd, bias, images, recipe, pockets))
    return pa.Table.from_pylist(rows, schema=schema_of(DETECTOR))


def _rows(
    raw: RawCcd,
    ccd: CcdExposure,
    bias: CcdMaster,
    images: Mapping[int, Image],
    recipe: SensorRecipe,
    pockets: Pockets | None,
) -> Iterator[dict[str, object]]:
    for qid, image in images.items():
        pixels, bias_pixels = raw.pixels(qid), bias.data[qid]
        readout = Readout.of_light(raw, qid, recipe, bias_pixels, pixels=pixels, pockets=pockets)
        overscan = flip_readout(raw.overscan(qid) - readout.offset[:, None], qid)
        corrected = overscan - _release(pixels, bias_pixels, readout, overscan.shape[1])
        first = np.nan_to_num(np.median(corrected[:, :_FIRST_OVERSCAN], axis=0)).mean()
        noise = readout.read_noise
        yield {
            "exposure": int(ccd.exposure.filefracday),
            "ccd": ccd.ccdid,
            "qid": qid,
            "rcid": Quadrant(ccd.ccdid, qid).rcid,
            "sky": float(np.nanmedian(image.data[::4, ::4])),
            "pocket": readout.pocket is not None,
            "drift": float(np.ptp(readout.offset)),
            "overscan_rms": block_scatter(corrected[:, -_LAST:]),
            "overscan_noise": float(noise * np.sqrt(_BLOCKS / (_LAST * len(corrected)))),
            "first_overscan": float(first),
            "first_overscan_error": float(MEDIAN_PER_MEAN * noise / np.sqrt(_FIRST_OVERSCAN * len(corrected))),
            **_first_columns(image, qid),
            **pixel_noise(image),
        }


def _release(
    pixels: NDArray[np.float32], bias: NDArray[np.float32], readout: Readout, columns: int
) -> NDArray[np.float32] | float:
    """Trailed charge in the overscan, (row, column) in the order of readout, ADU; `pixels` are used up."""
    if readout.pocket is None:
        return 0.0
    light = readout.linear(pixels)
    light -= bias
    charge, _ = readout.pocket.recover(light, np.zeros(light.shape, bool), backwards=readout.qid in (2, 3))
    trailed = np.asarray(readout.pocket.trailed_charge(charge, columns), np.float32)
    return trailed[::-1] if readout.qid in (3, 4) else trailed


def block_scatter(last: NDArray) -> float:
    """Standard deviation of the means of `_BLOCKS` blocks of rows; (row, column), ADU."""
    means = [np.mean(block) for block in np.array_split(last, _BLOCKS)]
    return float(np.std(means, ddof=1))


def _first_columns(image: Image, qid: int) -> dict[str, float]:
    """Medians of the columns read first, which stars do not move much, over the line through the next ones."""
    columns = np.arange(_FIRST + _NEXT)
    data = flip_readout(np.where(is_bad(image.mask), np.nan, image.data), qid)[:, : len(columns)]
    level = np.nanmedian(data, axis=0)
    known = np.isfinite(level)
    later = known & (columns >= _FIRST)
    line = np.polynomial.Polynomial.fit(columns[later], level[later], 1)(columns)
    first = known & (columns < _FIRST)
    # Of the mean of the first ones, and of a line of n points continued by half their range: 1 / n + 12 / 4 / n.
    error = MEDIAN_PER_MEAN * float(np.sqrt(np.nanmedian(image.variance) / len(data) * (1 / _FIRST + 4 / _NEXT)))
    return {"first_columns": float(np.mean((level - line)[first])), "first_columns_error": error}


def pixel_noise(image: Image) -> dict[str, float]:
    """Differences of pixels one above the other over their expected noise: 1 if the variance is right.

    Rows are read one after the other, so pixels of a column share nothing that a pocket does.  Only the sky counts, in
    cells without sources: wings of stars on a hundredth of the pixels make the differences a hundredth too wide.
    """
    good = ~is_bad(image.mask) & np.isfinite(image.data) & (image.variance > 0)
    width, _ = _width(image, good)
    if width > 0:  # sources are judged by the noise there is, not by what is predicted
        as_found = Image(image.data, image.variance * np.float32(width**2), image.mask)
        sky = sky_cells(as_found, _CELL).known
        width, error = _width(image, good & np.repeat(np.repeat(sky, _CELL, axis=0), _CELL, axis=1))
        return {"pixel_noise": width, "pixel_noise_error": error}
    return {"pixel_noise": float("nan"), "pixel_noise_error": float("nan")}


def _width(image: Image, good: NDArray[np.bool_]) -> tuple[float, float]:
    """Width of the noise by its middle half, which bad pixels hardly move, and its error; NaN without pixels."""
    both = good[1:] & good[:-1]
    differences = (image.data[1:] - image.data[:-1])[both] / np.sqrt((image.variance[1:] + image.variance[:-1])[both])
    if not differences.size:
        return float("nan"), float("nan")
    low, high = np.quantile(differences, (0.25, 0.75))
    # The width of the middle half of n Gaussians is known to 1.17 / sqrt(n); neighbouring differences share a pixel.
    return float((high - low) / 1.34898), float(1.4 / np.sqrt(differences.size))
