"""A night's report, from what the store holds."""

from __future__ import annotations

from tasks.inputs.selection import absent_from_store
from tasks.report import draw_report, in_store
from tasks.runtime.form import require_one
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("report", needs="exposures of the sky", after="download, calibrate and catalogue")
def report(
    night: str,
    store: str,
    *,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    fields: list[int] | None = None,
    exposures: str | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    truth: str | None = None,
    workers: int | None = None,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Draw the report of a night.

    1. Find what the store holds of the night, and what is missing.
    2. Draw the figures and write the page.
    """
    scope = scope_of(require_one(night), camera, ccds, filters, fields, exposures)
    product_store = store_at(store, scope.camera)

    jobs, night_products = in_store(product_store, scope.period, recipe, **scope.which)

    if night_products == Outcome():  # then there is no page of it either
        return night_products
    drawn = draw_report(
        scope.period.first, scope.camera, recipe, product_store, jobs, night_products, truth, tolerated=max_set_aside
    )
    return drawn + Outcome(set_aside=absent_from_store(product_store, scope.period, **scope.which))
