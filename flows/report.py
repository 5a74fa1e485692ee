"""A night's report, from what the store holds."""

from __future__ import annotations

from flows.parameters import require_one, scope_of
from flows.policies import product_flow
from lib.recipes import CatalogueRecipe
from tasks.outcome import Outcome
from tasks.report import draw_report, in_store
from tasks.settings import store_at


@product_flow("report")
def report(
    night: str,
    store: str,
    *,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    truth: str | None = None,
    workers: int | None = None,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Draw the report of a night.

    1. Find what the store holds of the night, and what is missing.
    2. Draw the figures and write the page.
    """
    scope, products = scope_of(require_one(night), camera, ccds, filters), store_at(store)

    jobs, there = in_store(products, scope.period, recipe, filters=scope.filters, ccdids=scope.ccdids)

    return draw_report(scope.period.first, scope.camera, recipe, products, jobs, there, truth)
