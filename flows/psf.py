"""PSF photometry of a period's exposures."""

from __future__ import annotations

from typing import Unpack

from tasks.inputs.recipes import with_masters
from tasks.inputs.selection import absent_from_store
from tasks.inputs.targets import exposures_of_period
from tasks.psf import draw_psfs, measure_frames
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.recipes import PsfCatalogueRecipe
from ztf_in2p3.store import Store


@product_flow(
    "psf",
    needs="exposures of the sky with science headers, masters and reference stars",
    after="download and calibrate",
)
def psf(
    scope: Scope,
    store: Store,
    *,
    recipe: PsfCatalogueRecipe = PsfCatalogueRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Fit the PSF of every quadrant exposure of a period, and measure its stars with it.

    1. Find the exposures, and for each the nearest masters in time and the stars around it.
    2. Fit the PSF of each quadrant and measure its stars; the detrended images are not kept.
    3. Draw, filter by filter, how well the PSFs describe the stars.

    Without a recipe it follows the masters of the store, where these are of a single one.
    """
    recipe = with_masters(store, recipe)
    frames, unready = exposures_of_period(store, scope.period, recipe, **scope.which)
    missing = absent_from_store(store, scope.period, **scope.which)

    measured = measure_frames(frames, scope.camera, recipe, store)

    drawn = draw_psfs(measured, scope.period, recipe, store)
    return measured + drawn + Outcome(set_aside=(*missing, *unready))
