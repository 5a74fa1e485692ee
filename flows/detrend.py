"""Detrended images of a period's exposures, for those who want to look at pixels."""

from __future__ import annotations

from typing import Unpack

from tasks.inputs.jobs import ccd_jobs, expected_in
from tasks.inputs.selection import absent_from_store
from tasks.reduction import detrend_exposure
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow(
    "detrend",
    needs="exposures of the sky with science headers and masters",
    after="download and calibrate",
    counted=True,
)
def detrend(
    scope: Scope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Detrend every quadrant of a period and keep the images.

    The catalogues do not need this flow: they detrend on the fly.

    1. Find the exposures, and for each the nearest masters in time.
    2. Detrend, exposure by exposure.
    """
    ready, without_masters = ccd_jobs(store, scope.period, recipe.quadrant, **scope.which)
    missing = absent_from_store(store, scope.period, **scope.which)

    quadrants = collect(
        launch(detrend_exposure, exposure, jobs, camera=scope.camera, recipe=recipe.quadrant, store=store)
        for exposure, jobs in ready.items()
    )
    expected = expected_in(store, scope.period, **scope.which)
    return quadrants + Outcome(set_aside=(*missing, *without_masters), expected=expected)
