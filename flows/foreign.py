"""Star tables from elsewhere."""

from __future__ import annotations

from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from tasks.star_table import import_table, listed
from ztf_in2p3.recipes import StarTableRecipe


@product_flow("foreign", needs="measurements in the table")
def foreign(
    table: str,
    period: str,
    filter: str,
    store: str,
    *,
    camera: str = "ztf",
    recipe: StarTableRecipe = StarTableRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.0,
) -> Outcome:
    """Take measurements of stars that another program made, so that our fits can read them.

    1. Check, cut and sort them, star by star.
    2. List the partitions.

    Parameters
    ----------
    table
        Parquet file, or a folder of them; what its columns are called is in the recipe's table foreign.
    period
        Nights of the measurements, under which the table is kept: 20190405, or 20190401_20190430.
    filter
        Of the measurements: zg, zr, zi.
    """
    scope = scope_of(period, camera, None, [filter])
    products = store_at(store, scope.camera)
    (of_filter,) = scope.filters

    taken = collect([launch(import_table, table, scope.period, of_filter, scope.camera, recipe, products)])

    return taken + listed(scope.period, of_filter, taken, recipe, products)
