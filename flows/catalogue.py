"""Aperture catalogues of a period's exposures."""

from __future__ import annotations

from tasks.inputs.jobs import ccd_jobs, with_stars
from tasks.inputs.references import star_partitions
from tasks.reduction import catalogue_exposure
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("catalogue")
def catalogue(
    period: str,
    store: str,
    *,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Measure the reference stars on every exposure of a period; the detrended images are not kept.

    1. Find the exposures, and for each the nearest masters in time and the stars around it.
    2. Detrend and measure, exposure by exposure.
    """
    scope, products = scope_of(period, camera, ccds, filters), store_at(store)

    which = {"filters": scope.filters, "ccdids": scope.ccdids}
    detrendable, without_masters = ccd_jobs(products, scope.period, recipe.quadrant, **which)
    ready, without_stars = with_stars(detrendable, star_partitions(products, recipe.reference, recipe.photometry))

    made = collect(
        launch(catalogue_exposure, exposure, jobs, camera=scope.camera, recipe=recipe, store=products)
        for exposure, jobs in ready.items()
    )
    return made + Outcome(set_aside=(*without_masters, *without_stars))
