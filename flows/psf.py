"""PSF photometry of a period's exposures."""

from __future__ import annotations

from tasks.inputs.targets import sights_of_period
from tasks.psf_report import draw_psfs
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from tasks.scene_flow import measure_frames
from ztf_in2p3.recipes import PsfCatalogueRecipe


@product_flow("psf")
def psf(
    period: str,
    store: str,
    *,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    recipe: PsfCatalogueRecipe = PsfCatalogueRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Fit the PSF of every quadrant exposure of a period, and measure its stars with it.

    1. Find the exposures, and for each the nearest masters in time and the stars around it.
    2. Fit the PSF of each quadrant and measure its stars; the detrended images are not kept.
    3. Draw, filter by filter, how well the PSFs describe the stars.
    """
    scope, products = scope_of(period, camera, ccds, filters), store_at(store)

    which = {"filters": scope.filters, "ccdids": scope.ccdids}
    frames, unready = sights_of_period(products, scope.period, recipe, **which)

    measured = measure_frames(frames, scope.camera, recipe, products)

    drawn = draw_psfs(measured, scope.period, recipe, products)
    return measured + drawn + Outcome(set_aside=unready)
