"""Measured fluxes of isolated stars beside the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.image import is_bad
from ztf_in2p3.recipes import PhotometryRecipe
from ztf_in2p3.simulate.truth import Truth

RECIPE = PhotometryRecipe()
RADII = np.array(RECIPE.radii)
BRIGHT = 7000.0
"""ADU: above it, about, a star's own photons make more noise than the sky in the smallest aperture."""
MMAG = 2500 / np.log(10)


@dataclass(frozen=True, eq=False)
class Photometry:
    """Isolated stars that no bad pixel and no border touches; arrays (star, aperture) but for the first ones."""

    group: NDArray[np.int64]
    """(star,): quadrant and exposure, which share a sky."""
    total: NDArray[np.float64]
    """(star,): true flux within any radius, ADU."""
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    true: NDArray[np.float64]

    @property
    def pull(self) -> NDArray[np.float64]:
        return (self.flux - self.true) / self.error

    def take(self, chosen: NDArray[np.bool_]) -> Photometry:
        return Photometry(*(getattr(self, name)[chosen] for name in ("group", "total", "flux", "error", "true")))


def photometry(
    truth: Truth,
    catalogues: Mapping[CcdExposure, pa.Table],
    truths: Mapping[CcdExposure, pa.Table],
    spoilt: Mapping[int, NDArray[np.bool_]] | None = None,
) -> Photometry:
    """Stars of some catalogues; none with a `spoilt` pixel (row, column; by qid) within the largest aperture."""
    parts = []
    for ccd, catalogue in catalogues.items():
        stars = joined(catalogue, truths[ccd])
        fraction = truth.aperture_fractions(ccd.exposure, stars.x.to_numpy(), stars.y.to_numpy(), RADII)
        flux, error, flag = (
            np.stack([stars[f"f_{k}{end}"] for k in range(len(RADII))], axis=1).astype(float)
            for end in ("", "_e", "_f")
        )
        used = (stars.isolated & ~stars.saturated).to_numpy(bool) & ~is_bad(stars["flags"].to_numpy(np.uint16))
        used &= (flag == 0).all(axis=1)
        for qid, pixels in (spoilt or {}).items():
            row, column = np.nonzero(pixels)
            near = np.hypot(stars.x.to_numpy()[:, None] - column, stars.y.to_numpy()[:, None] - row).min(axis=1)
            used &= (stars.qid != qid) | (near > RADII.max() + 1)
        group = int(ccd.exposure.filefracday) * 100 + stars.rcid.to_numpy(np.int64)
        total = stars.flux.to_numpy()
        parts.append(Photometry(group, total, flux, error, total[:, None] * fraction).take(used))
    return Photometry(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("group", "total", "flux", "error", "true")
        )
    )


def joined(catalogue: pa.Table, truth: pa.Table) -> pd.DataFrame:
    """Catalogue and truth star by star; columns of the truth end in `_true` where both have them."""
    both = catalogue.to_pandas().merge(truth.to_pandas(), on=["star_id", "qid"], how="outer", suffixes=("", "_true"))
    return both.dropna(subset=["x", "x_true"])


def mean_and_error(values: NDArray, group: NDArray) -> tuple[float, float]:
    """Mean over stars, and its error from the scatter of the groups' sums: stars of one sky share its error."""
    if len(np.unique(group)) == 1:  # a sky so large that it is known well enough
        return values.mean(), values.std() / np.sqrt(len(values))
    _, index = np.unique(group, return_inverse=True)
    deviation = values - values.mean()
    sums = np.bincount(index, deviation)
    return values.mean(), np.sqrt(np.sum(sums**2)) / len(values)
