"""Which exposures of a scene can be used at all, and which pixels of theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.errors import DegenerateScene, NothingToFit
from ztf_in2p3.scene.model import ExposureFlag, Series
from ztf_in2p3.scene.trouble import plateaux

LEAST_PIXELS = 0.2
"""Share of its pixels that an exposure must have."""


@dataclass(frozen=True, slots=True, eq=False)
class Usable:
    """Exposures and pixels that a fit begins with."""

    used: NDArray[np.int64]
    """(used,): exposures."""
    active: NDArray[np.int64]
    """(active,): exposures of them in which the source is measured."""
    given: NDArray[np.bool_]
    """(exposure, pixel): pixels with data that are not masked."""
    start: NDArray[np.bool_]
    """(exposure, pixel): the same without saturated plateaux."""
    flag: NDArray[np.int64]
    """(exposure,): bits of `ExposureFlag`."""


def usable_exposures(series: Series, recipe: SceneRecipe, *, galaxy: bool) -> Usable:
    """Exposures with enough good pixels and known numbers; those that hide the source only tell of the galaxy.

    Raises
    ------
    DegenerateScene
        None of them is known to be free of the source, beside the galaxy that is under it.
    NothingToFit
        None of them can measure the source.
    """
    n, side = len(series), series.side
    full = plateaux(series.data, series.bad, series.variance)
    finite = np.isfinite(series.data) & ~series.bad & ~full
    start = finite.reshape(n, -1)
    numbers = np.column_stack([series.variance, series.gain, series.throughput])
    given = (np.isfinite(series.data) & ~series.bad).reshape(n, -1)
    flag = np.where(series.active, 0, ExposureFlag.QUIET)
    flag[full.any(axis=(1, 2))] |= ExposureFlag.TROUBLE
    usable = (start.mean(axis=1) > LEAST_PIXELS) & (np.isfinite(numbers) & (numbers > 0)).all(axis=1)
    flag[~usable] |= ExposureFlag.UNUSABLE
    covered = np.zeros(n)
    for i in np.flatnonzero(usable):
        psf = series.psf[i].draw(series.origin[i, 0], series.origin[i, 1], (side, side))[0]
        covered[i] = coverage(psf, finite[i])
    hidden = usable & (covered < recipe.min_coverage)
    flag[hidden] |= ExposureFlag.MASKED
    active = np.flatnonzero(usable & ~hidden & series.active)
    quiet = np.flatnonzero(usable & ~series.active)
    if not len(active):
        raise NothingToFit(
            f"none of {n} exposures can measure the source: {n - usable.sum()} unusable, {hidden.sum()} with less "
            f"than {recipe.min_coverage:.0%} of it on good pixels, {np.sum(~series.active)} before or after it "
            "shines; look at their masks, or at the window of the transient"
        )
    if galaxy and not np.any(~hidden[quiet]):
        raise DegenerateScene(
            f"the transient may shine in each of the {len(active)} usable exposures: a constant more in all "
            "fluxes and a point source less in the galaxy give the same pixels, so no flux is determined. "
            "Add exposures from before the transient or long after it, or narrow its window"
        )
    return Usable(np.sort(np.concatenate([active, quiet])), active, given, start, flag)


def coverage(psf: NDArray, good: NDArray) -> float:
    """Share of the information on the flux that the good pixels hold; both of one shape."""
    return float(np.sum(psf**2, where=good) / np.sum(psf**2))
