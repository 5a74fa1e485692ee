"""Ubercal: zero points of months of a survey, from its own stars."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from tasks.imported_table import TablePath
from tasks.measurements import star_tables
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from tasks.ubercal import draw_surveys, fit_surveys, lay_out
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import SurveyRecipe
from ztf_in2p3.store import Store


@product_flow(
    "ubercal",
    needs="catalogues, by apertures or the PSF, or an imported table",
    after="catalogue (or psf, or import-table)",
    makes=(Kind.UBERCAL,),
)
def ubercal(
    scope: Scope,
    store: Store,
    *,
    table: TablePath | None = None,
    columns: str = "auto",
    external: str | None = None,
    hats: str | None = None,
    recipe: SurveyRecipe = SurveyRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Fit the zero point of every quadrant of every exposure of a period, filter by filter, and its mean stars.

    1. Gather the measurements of each filter, star by star.
    2. Fit each filter: zero points, mean stars, repeatability, residual maps.
    3. Draw what was found, and lay out the mean stars for others.

    Parameters
    ----------
    table
        Measurements that another program made (file or folder, as for import-table), or a star table in the store, by
        its recipe's digest or its address; if not given, those of the catalogues, or the only imported table of the
        period.
    columns
        What the columns of a file are called, as for import-table.
    external
        Parquet file with mag and source_id, or mag, ra and dec, to compare with (mag_e to hold on to it); none if
        not given.
    hats
        Folder for the mean stars of each filter as a HATS catalogue; not written if not given.
    """
    tables, measured = star_tables(scope, store, recipe.stars, table, columns)
    recipe = replace(recipe, stars=measured)

    fitted = fit_surveys(tables.of(Kind.STAR_INDEX), scope.camera, recipe, store, external=external)

    drawn = draw_surveys(fitted, scope.camera, recipe, store, external=external is not None)
    if hats:
        for stars in fitted.of(Kind.MEAN_STARS):
            lay_out(stars, hats, store)
    return tables + fitted + drawn
