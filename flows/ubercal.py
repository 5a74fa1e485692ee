"""Ubercal: zero points of months of a survey, from its own stars."""

from __future__ import annotations

from tasks.runtime.outcome import Outcome, total
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from tasks.star_table import catalogues_of, make_star_table
from tasks.survey_report import draw_surveys
from tasks.ubercal import fit_surveys, lay_out
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import SurveyRecipe
from ztf_in2p3.store import Store


@product_flow(
    "ubercal", needs="aperture catalogues, or those of the PSF if the recipe says so,", after="catalogue (or psf)"
)
def ubercal(
    scope: Scope,
    store: Store,
    *,
    external: str | None = None,
    hats: str | None = None,
    recipe: SurveyRecipe = SurveyRecipe(),
) -> Outcome:
    """Fit the zero point of every quadrant of every exposure of a period, filter by filter, and its mean stars.

    1. Find the catalogues of each filter, and gather their measurements, star by star.
    2. Fit each filter: zero points, mean stars, repeatability, residual maps.
    3. Draw what was found, and lay out the mean stars for others.

    Parameters
    ----------
    external
        Parquet file with mag and source_id, or mag, ra and dec, to compare with (mag_e to hold on to it); none if
        not given.
    hats
        Folder for the mean stars of each filter as a HATS catalogue; not written if not given.
    """
    found = catalogues_of(store, scope.period, recipe.stars, **scope.which)
    tables = total(
        make_star_table(scope.period, filter, some, scope.camera, recipe.stars, store) for filter, some in found.items()
    )

    fitted = fit_surveys(tables.of(Kind.STAR_INDEX), scope.camera, recipe, store, external=external)

    drawn = draw_surveys(fitted, scope.camera, recipe, store, external=external is not None)
    for stars in fitted.of(Kind.MEAN_STARS) if hats else ():
        lay_out(stars, hats, store)
    return tables + fitted + drawn
