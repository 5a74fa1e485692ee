"""Starflats: the response of the focal plane to starlight, from the dithered sequences of a period."""

from __future__ import annotations

from tasks.runtime.outcome import Outcome, total
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from tasks.star_table import catalogues_of, make_star_table
from tasks.starflat import fit_sequences, nights_of
from tasks.starflat_report import draw_starflats
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import SequenceRecipe
from ztf_in2p3.store import Store


@product_flow(
    "starflat", needs="aperture catalogues, or those of the PSF if the recipe says so,", after="catalogue (or psf)"
)
def starflat(
    scope: Scope,
    store: Store,
    *,
    external: str | None = None,
    recipe: SequenceRecipe = SequenceRecipe(),
    truth: str | None = None,
) -> Outcome:
    """Fit the response of the camera to each night's exposures of a period, filter by filter.

    1. Find the catalogues of each night and filter: a sequence.
    2. Gather the measurements of each sequence, star by star.
    3. Fit each: parameters, map, residuals.
    4. Draw each, and those of a filter beside one another.

    Parameters
    ----------
    period
        Nights with dithered exposures: 20190331, or several, which are then compared: 20180101_20211231.
    external
        Parquet file with star_id or source_id, mag and mag_e that holds the stars, of a recipe that is `anchored`.
    """
    found = catalogues_of(store, scope.period, recipe.stars, **scope.which)
    sequences = nights_of(found)

    tables = total(
        make_star_table(Period.of(night), filter, some, scope.camera, recipe.stars, store)
        for (night, filter), some in sequences.items()
    )

    fitted = fit_sequences(tables.of(Kind.STAR_INDEX), scope.camera, recipe, store, external)

    drawn = draw_starflats(fitted, scope.camera, recipe, store, truth)
    return tables + fitted + drawn
