"""Skies with fringes, made without the reduction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ztf_in2p3.image import Image
from ztf_in2p3.sensor.fringe_cells import Cells
from ztf_in2p3.simulate.fringe import amplitudes, fringe_light

SHAPE = (256, 240)
GAIN, READ_NOISE = 6.0, 1.5
"""Electrons per ADU; ADU."""


def fringed_sky(seed: int, rcid: int = 20) -> tuple[Image, NDArray[np.float64], float]:
    """An empty sky with fringes and noise; its fringes, ADU; the noise of a pixel, ADU."""
    draw = np.random.default_rng(seed)
    level = draw.uniform(400, 700)
    fringes = level * fringe_light(1, rcid, SHAPE, amplitudes(1, seed)).astype(np.float64)
    return noisy(level + fringes, draw), fringes, float(np.sqrt(level / GAIN + READ_NOISE**2))


def fringed_cells(seed: int, shape: tuple[int, int], *, hidden: float = 0.35) -> tuple[Cells, NDArray, float]:
    """Cells of such a sky, of which sources hide a share; its fringes; the noise of a pixel.

    The noise of a mean of 64 pixels, without the 64 pixels.
    """
    draw = np.random.default_rng(seed)
    level = draw.uniform(400, 700)
    fringes = level * fringe_light(1, 20, shape, amplitudes(1, seed))
    mean = level + in_cells(fringes)
    noise = float(np.sqrt(level / GAIN + READ_NOISE**2))
    mean += noise / 8 * draw.standard_normal(mean.shape)
    sources = maximum_filter(draw.random(mean.shape) < -np.log(1 - hidden) / 9, 3)
    mean[sources] = np.nan
    return Cells(mean.astype(np.float32), np.where(sources, np.nan, noise / 8).astype(np.float32)), fringes, noise


def noisy(expected: NDArray, draw: np.random.Generator) -> Image:
    variance = expected / GAIN + READ_NOISE**2
    data = expected + np.sqrt(variance) * draw.standard_normal(expected.shape)
    return Image(data.astype(np.float32), variance.astype(np.float32), np.zeros(expected.shape, np.uint16))


def in_cells(pixels: NDArray, size: int = 8) -> NDArray[np.float64]:
    """Plain means of cells."""
    rows, columns = pixels.shape
    return np.asarray(pixels.reshape(rows // size, size, columns // size, size).mean(axis=(1, 3), dtype=np.float64))


def without_smooth(cells: NDArray, degree: int = 2) -> NDArray[np.float64]:
    """Without the polynomial through all cells, which a map of fringes cannot know."""
    row, column = np.meshgrid(*(np.linspace(-1, 1, n) for n in cells.shape), indexing="ij")
    terms = [row**i * column**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    design = np.array(terms).reshape(len(terms), -1).T
    return cells - (design @ np.linalg.lstsq(design, cells.ravel())[0]).reshape(cells.shape)
