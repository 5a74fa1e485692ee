"""Light curves: every star of a survey, calibrated, in partitions of the sky."""

from __future__ import annotations

from typing import Unpack

from tasks.light_curves import lay_out_all, make_light_curves, survey_products
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import StarCurvesRecipe
from ztf_in2p3.store import Store


@product_flow("light_curves", needs="zero points of a survey", after="ubercal", makes=(Kind.STAR_CURVES,))
def light_curves(
    scope: Scope,
    store: Store,
    *,
    hats: str | None = None,
    recipe: StarCurvesRecipe = StarCurvesRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Calibrate every measurement of every star of a period with the zero points of ubercal.

    1. Find the zero points, the other terms and the mean stars of each filter.
    2. Calibrate each partition of the star tables that they were fitted to, and list the stars of all.
    3. Lay the light curves out for others.

    Parameters
    ----------
    hats
        Folder for the light curves of each filter as a HATS collection, nested; not written if not given.
    """
    surveys, recipe = survey_products(scope, store, recipe)

    curves = make_light_curves(surveys, recipe, store)

    if hats:
        lay_out_all(curves, hats, store)
    return curves
