"""Star tables: the measurements of a period, star by star, as the fits read them."""

from __future__ import annotations

from typing import Unpack

from tasks.measurements import star_tables
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.recipes import StarTableRecipe
from ztf_in2p3.store import Store


@product_flow(
    "stars", needs="aperture catalogues, or those of the PSF if the recipe says so,", after="catalogue (or psf)"
)
def stars(
    scope: Scope,
    store: Store,
    *,
    recipe: StarTableRecipe = StarTableRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Turn the catalogues of a period, by apertures or the PSF, into one table of measurements a filter, for the fits.

    Find the catalogues, and the partitions of the sky that each touches; gather the measurements of each partition
    that pass the cuts, star by star, and list the partitions.
    """
    outcome, _ = star_tables(scope, store, recipe)
    return outcome
