"""A night's report, from what the store holds."""

from __future__ import annotations

from typing import Unpack

from tasks.inputs.selection import absent_from_store
from tasks.pages.report import draw_report, in_store
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import NightScope
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow("report", needs="exposures of the sky", after="download, calibrate and catalogue")
def report(
    scope: NightScope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    truth: str | None = None,
    **shared: Unpack[Shared],
) -> Outcome:
    """Draw the report of a night.

    1. Find what the store holds of the night, and what is missing.
    2. Draw the figures and write the page.
    """
    jobs, night_products = in_store(store, scope.period, recipe, **scope.which)

    if night_products == Outcome():  # then there is no page of it either
        return night_products
    drawn = draw_report(
        scope.period.first, scope.camera, recipe, store, jobs, night_products, truth, tolerated=shared["max_set_aside"]
    )
    return drawn + Outcome(set_aside=absent_from_store(store, scope.period, **scope.which))
