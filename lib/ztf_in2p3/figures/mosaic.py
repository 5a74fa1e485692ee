"""Pixels of the CCDs made few enough to draw a whole focal plane of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera, mosaic_ccd
from ztf_in2p3.identifiers import N_QUADRANT

CELLS = 192
"""Along the longer side of a CCD."""
FEWER = 4
"""Cells that make one, each way, in a picture of several CCDs: what the page shows without wasting bytes."""

Planes = Mapping[int, NDArray]
"""Planes by qid; (row, column) as stored."""
Images = dict[int, NDArray[np.float32]]
"""Images by CCD; (row, column), rows to the north and columns to the east, NaN in quadrants that are missing."""


def block_median(pixels: NDArray, block: int) -> NDArray[np.float32]:
    """Medians of blocks of `block` x `block` pixels, NaNs left out.

    The last blocks of a row or column take what is left, from half to one and a half times the others.

    Parameters
    ----------
    pixels : (row, column)

    Returns
    -------
    (row / block, column / block), rounded; NaN where a block holds no finite pixel.
    """
    tops, lefts = block_starts(pixels.shape[0], block), block_starts(pixels.shape[1], block)
    medians = np.empty((len(tops), len(lefts)), np.float32)
    last, n = lefts[-1], len(lefts) - 1
    for row, (top, bottom) in enumerate(zip(tops, [*tops[1:], len(pixels)], strict=True)):  # memory of a few rows
        strip = np.asarray(pixels[top:bottom], np.float32)
        blocks = strip[:, :last].reshape(len(strip), n, block).swapaxes(0, 1)
        medians[row, :n] = _median(blocks.reshape(n, len(strip) * block))
        medians[row, n:] = _median(strip[:, last:].reshape(1, -1))
    return medians


def block_starts(n: int, block: int) -> list[int]:
    """First pixels of the blocks along an axis of `n`."""
    return [i * block for i in range(max(1, round(n / block)))]


def shrink_ccds(ccds: Iterable[tuple[int, Planes]], camera: Camera, *, cells: int = CELLS) -> Images:
    """Small images of CCDs, taken one after the other: a generator keeps one CCD in memory.

    The pictures draw all cells of a CCD equally large, which moves nothing by more than half a cell.

    Parameters
    ----------
    ccds
        CCD number and planes by qid; a plane may be missing.
    cells
        Cells of the small image, about, along its longer side.
    """
    block = max(1, round(2 * max(camera.shape) / cells))
    shape = tuple(len(block_starts(n, block)) for n in camera.shape)
    empty = np.full(shape, np.nan, np.float32)
    images = {}
    for ccdid, planes in ccds:
        small = {qid: block_median(plane, block) for qid, plane in planes.items()}
        images[ccdid] = mosaic_ccd({qid: small.get(qid, empty) for qid in range(1, N_QUADRANT + 1)})
    return images


def coarser(image: NDArray) -> NDArray:
    """Cells as large as a picture of many CCDs can show.  `image`: (row, column)."""
    return block_median(image, FEWER) if image.size > 1000 else image


def _median(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of each row (row, pixel); NaN where it holds nothing finite."""
    if np.isfinite(blocks).all():
        return np.asarray(np.median(blocks, axis=1))
    ordered = np.sort(np.where(np.isfinite(blocks), blocks, np.nan), axis=1)  # NaNs go last
    n = np.isfinite(ordered).sum(axis=1)
    row = np.arange(len(ordered))
    return np.asarray(
        (ordered[row, np.maximum(n - 1, 0) // 2] + ordered[row, np.minimum(n // 2, len(ordered[0]) - 1)]) / 2
    )
