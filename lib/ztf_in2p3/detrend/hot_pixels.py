"""Pixels that are hot in long exposures only: those that stand out of the sky in most exposures of a period.

What a pixel makes in the second that a bias frame is read is lost in its noise; thirty times as much is not.  Stars
fall on other pixels in every exposure if the telescope moved in between, and where it did not they have neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.stats import binom

from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.mesh import cell_statistics
from ztf_in2p3.compiled import compiled
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.quadrant import detrend_quadrants
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import Image, MaskBit, is_bad
from ztf_in2p3.recipes import BadPixelMapRecipe, BadPixelRecipe, FocalPlaneRecipe, QuadrantRecipe

CHANCE = 1e-9
"""Chance that a good pixel stands out as often as is asked for."""
NEIGHBOURS = 0.15
"""Share of a hot pixel's excess that its neighbours have at most, along the row or along the column.  Those of a star
have more: 0.19 if it is 1.24 pixels wide."""
_CELL, _THIN, _SKY_ROWS = 128, 4, 8
"""The same as in `ztf_in2p3.detrend.radiation_hits`."""
_LEAST, _MOST = np.float32(-3), np.float32(10)
"""Excess of a pixel in one exposure, standard deviations, that is summed: neither a hole nor a star decides."""


@dataclass(slots=True, eq=False)
class Excess:
    """How pixels of a quadrant stand out of the sky, summed over exposures; (row, column)."""

    often: NDArray[np.uint16]
    """Exposures in which the pixel did."""
    known: NDArray[np.uint16]
    """Exposures in which the pixel had a value."""
    total: NDArray[np.float32]
    """Sum of what it had over the sky, in standard deviations."""
    n_exposure: int = 0

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Excess:
        """No exposure yet."""
        return cls(np.zeros(shape, np.uint16), np.zeros(shape, np.uint16), np.zeros(shape, np.float32))

    def add(self, image: Image, sigma: float) -> None:
        """Add an exposure; a pixel stands out from `sigma` standard deviations on."""
        bad = is_bad(image.mask) | ~np.isfinite(image.data) | ~np.isfinite(image.variance)
        if bad.all():
            return
        cells = cell_statistics(image.data, bad, _CELL, thin=_THIN)
        known = cells.count > 0
        sky, noise = (
            cells.mesh(values, known, cubic=False).plane(thin=_SKY_ROWS) for values in (cells.mean, cells.std)
        )
        _add(image.data, bad, sky, noise, _SKY_ROWS, np.float32(sigma), self.often, self.known, self.total)
        self.n_exposure += 1

    def hot(self, limits: BadPixelRecipe) -> NDArray[np.bool_]:
        """Pixels that stand out in `limits.light_share` of the exposures, in more than chance allows, and alone."""
        if self.n_exposure < limits.least_light:
            return np.zeros(self.often.shape, bool)
        n = self.known.astype(np.int64)
        usual = self.often.sum() / max(n.sum(), 1)
        by_number = np.array([binom.isf(CHANCE, k, usual) for k in range(self.n_exposure + 1)])
        often = (self.often > by_number[n]) & (self.often >= limits.light_share * n) & (n > 0)
        return often & _is_single(self.total)


def mark_hot_pixels(
    masks: Mapping[int, NDArray[np.uint16]],
    paths: Sequence[Path],
    bias: CcdMaster,
    flat: CcdMaster,
    camera: Camera,
    recipe: BadPixelMapRecipe,
) -> int:
    """Mark hot pixels in the masks of a CCD, (row, column) by qid; returns in how many exposures they were looked for.

    `paths` are raw exposures of the sky in the flat's filter.  A file or quadrant that cannot be used is left
    out; with fewer of them than the recipe asks for nothing is marked.
    """
    excess = {qid: Excess.empty(camera.shape) for qid in masks}
    if len(paths) >= recipe.limits.least_light:
        for path in paths:
            for qid, image in _images(path, bias, flat, camera, recipe):
                excess[qid].add(image, recipe.limits.light_sigma)
    for qid, summed in excess.items():
        masks[qid][summed.hot(recipe.limits)] |= np.uint16(MaskBit.NOISY)
    return max((summed.n_exposure for summed in excess.values()), default=0)


def _images(
    path: Path, bias: CcdMaster, flat: CcdMaster, camera: Camera, recipe: BadPixelMapRecipe
) -> Iterator[tuple[int, Image]]:
    """Detrended quadrants of an exposure; what the pocket took is left out: it is no single pixel's."""
    sensor = replace(recipe.bias.sensor, pocket="none")
    led = replace(recipe.flat.led, bias=replace(recipe.bias, sensor=sensor))
    plain = QuadrantRecipe(FocalPlaneRecipe(replace(recipe.flat, led=led)), cosmic_rays=False)
    headers, level = {qid: fits.Header() for qid in bias.data}, flat.number("FLTNORM")
    failed: dict[int, str] = {}
    try:
        for qid, image, _ in detrend_quadrants(path, bias, flat, level, headers, {}, camera, plain, failed=failed):
            yield qid, image
    except BadData:
        return


@compiled
def _add(data, bad, sky, noise, thin, sigma, often, known, total):  # type: ignore[no-untyped-def]
    """Sum what pixels have over the sky, in units of its noise; `sky` and `noise` have every `thin`-th row."""
    for r in range(len(data)):
        row, level, std = data[r], sky[r // thin], noise[r // thin]
        for i in range(len(row)):
            if not bad[r, i]:
                excess = (row[i] - level[i]) / std[i]
                often[r, i] += excess > sigma
                known[r, i] += 1
                total[r, i] += min(max(excess, _LEAST), _MOST)


def _is_single(total: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels whose two neighbours along the row, or along the column, have next to nothing; (row, column)."""
    padded = np.pad(total, 1, mode="reflect")
    along_row = (padded[1:-1, :-2] + padded[1:-1, 2:]) / 2
    along_column = (padded[:-2, 1:-1] + padded[2:, 1:-1]) / 2
    return np.minimum(along_row, along_column) < NEIGHBOURS * total
