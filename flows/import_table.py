"""Star tables of other programs."""

from __future__ import annotations

from typing import Unpack

from tasks.imported_table import TablePath, import_star_table
from tasks.runtime.form import OfFilters
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.recipes import StarTableRecipe
from ztf_in2p3.store import Store


@product_flow("import_table", needs="measurements in the table", max_set_aside=0.0)
def import_table(
    scope: Scope,
    store: Store,
    table: TablePath,
    *,
    columns: str = "auto",
    recipe: StarTableRecipe = StarTableRecipe(),
    **shared: Unpack[OfFilters],
) -> Outcome:
    """Take measurements of stars that another program made into the store, for starflat and ubercal.

    Check the rows, number the stars, cut and sort them, filter by filter, and list the partitions.  Rows that cannot
    be used are left out and counted by reason.

    Parameters
    ----------
    table
        Parquet, FITS, CSV, ECSV or VOTable file, or a folder of them.
    period
        Nights of the measurements, under which the table is kept: 20190405, or 20190401_20190430; others are left out.
    filters
        Those that are taken; one must be given if the table does not tell the filter of its measurements.
    columns
        What the columns are called: irsa, irsa-by-place, psfcat, startable, dataframe, a TOML file with the names of
        lib/ztf_in2p3/recipes/star_table.py, or auto.
    """
    outcome, _ = import_star_table(table, columns, scope, recipe, store)
    return outcome
