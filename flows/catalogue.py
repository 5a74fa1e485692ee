"""Aperture catalogues of a period's exposures."""

from __future__ import annotations

from typing import Unpack

from tasks.inputs.jobs import ccd_jobs, expected_in, with_stars
from tasks.inputs.references import star_partitions
from tasks.inputs.selection import absent_from_store
from tasks.one_pass import measure_all_of
from tasks.reduction import catalogue_exposure
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow(
    "catalogue",
    needs="exposures of the sky with science headers, masters and reference stars",
    after="download and calibrate",
    counted=True,
)
def catalogue(
    scope: Scope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    with_psf: bool = False,
    **shared: Unpack[Shared],
) -> Outcome:
    """Measure the reference stars on every exposure of a period; the detrended images are not kept.

    1. Find the exposures, and for each the nearest masters in time and the stars around it.
    2. Detrend and measure, exposure by exposure.

    Parameters
    ----------
    with_psf
        Fit the PSFs too, and measure the stars with them, on the same images: what the flow psf would make later of
        exposures that it has to detrend again, but for its pictures.
    """
    detrendable, without_masters = ccd_jobs(store, scope.period, recipe.quadrant, **scope.which)
    missing = absent_from_store(store, scope.period, **scope.which)
    ready, without_stars = with_stars(detrendable, star_partitions(store, recipe.reference, recipe.photometry))

    if with_psf:
        catalogues = measure_all_of(ready, scope.camera, recipe, store)
    else:
        catalogues = collect(
            launch(catalogue_exposure, exposure, jobs, camera=scope.camera, recipe=recipe, store=store)
            for exposure, jobs in ready.items()
        )
    expected = expected_in(store, scope.period, **scope.which)
    return catalogues + Outcome(set_aside=(*missing, *without_masters, *without_stars), expected=expected)
