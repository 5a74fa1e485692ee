"""Detrended images of a period's exposures, for those who want to look at pixels."""

from __future__ import annotations

from tasks.inputs.jobs import ccd_jobs
from tasks.reduction import detrend_exposure
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("detrend")
def detrend(
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
    """Detrend every quadrant of a period and keep the images.

    The catalogues do not need this flow: they detrend on the fly.

    1. Find the exposures, and for each the nearest masters in time.
    2. Detrend, exposure by exposure.
    """
    scope, products = scope_of(period, camera, ccds, filters), store_at(store)

    which = {"filters": scope.filters, "ccdids": scope.ccdids}
    ready, without_masters = ccd_jobs(products, scope.period, recipe.quadrant, **which)

    made = collect(
        launch(detrend_exposure, exposure, jobs, camera=scope.camera, recipe=recipe.quadrant, store=products)
        for exposure, jobs in ready.items()
    )
    return made + Outcome(set_aside=tuple(without_masters))
