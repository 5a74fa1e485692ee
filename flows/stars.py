"""Star tables: the measurements of a period, star by star, as the fits read them."""

from __future__ import annotations

from tasks.runtime.outcome import Outcome, total
from tasks.runtime.parameters import scope_of
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from tasks.star_table import catalogues_of, make_star_table
from ztf_in2p3.recipes import StarTableRecipe


@product_flow("stars")
def stars(
    period: str,
    store: str,
    *,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    recipe: StarTableRecipe = StarTableRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Turn the catalogues of a period, by apertures or the PSF, into one table of measurements a filter, for the fits.

    1. Find the catalogues, and the partitions of the sky that each touches.
    2. Gather the measurements of each partition that pass the cuts, star by star, and list the partitions.
    """
    scope, products = scope_of(period, camera, ccds, filters), store_at(store)

    found = catalogues_of(products, scope.period, recipe, filters=scope.filters, ccdids=scope.ccdids)

    return total(
        make_star_table(scope.period, filter, catalogues, scope.camera, recipe, products)
        for filter, catalogues in found.items()
    )
