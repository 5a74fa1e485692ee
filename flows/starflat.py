"""Starflats: the response of the focal plane to starlight, from the dithered sequences of a period."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from tasks.imported_table import TablePath
from tasks.measurements import star_tables
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from tasks.starflat import draw_starflats, fit_sequences
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import SequenceRecipe
from ztf_in2p3.store import Store


@product_flow(
    "starflat",
    needs="catalogues, by apertures or the PSF, or an imported table",
    after="catalogue (or psf, or import-table)",
    makes=(Kind.STARFLAT,),
)
def starflat(
    scope: Scope,
    store: Store,
    *,
    table: TablePath | None = None,
    columns: str = "auto",
    external: str | None = None,
    recipe: SequenceRecipe = SequenceRecipe(),
    truth: str | None = None,
    **shared: Unpack[Shared],
) -> Outcome:
    """Fit the response of the camera to each night's exposures of a period, filter by filter.

    1. Gather the measurements of each night and filter, star by star: a sequence.
    2. Fit each: parameters, map, residuals.
    3. Draw each, and those of a filter beside one another.

    Parameters
    ----------
    period
        Nights with dithered exposures: 20190331, or several, which are then compared: 20180101_20211231.
    table
        Measurements that another program made (file or folder, as for import-table), or a star table in the store, by
        its recipe's digest or its address; if not given, those of the catalogues, or the only imported table of the
        period.
    columns
        What the columns of a file are called, as for import-table.
    external
        Parquet file with star_id or source_id, mag and mag_e that holds the stars, of a recipe that is `anchored`.
    """
    tables, measured = star_tables(scope, store, recipe.stars, table, columns, by_night=True)
    recipe = replace(recipe, stars=measured)

    fitted = fit_sequences(tables.of(Kind.STAR_INDEX), scope.camera, recipe, store, external)

    drawn = draw_starflats(fitted, scope.camera, recipe, store, truth)
    return tables + fitted + drawn
