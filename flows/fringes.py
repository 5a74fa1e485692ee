"""Fringe maps of a period."""

from __future__ import annotations

from typing import Any, Unpack

from tasks.calibration import list_calibrations
from tasks.fringes import draw_fringes, fringed_jobs, make_fringes
from tasks.inputs.calibrations import calibrations_of
from tasks.inputs.selection import absent_from_store
from tasks.runtime.form import OfExposures
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Kind, fringe_ref
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow(
    "fringes",
    needs="zi exposures with science headers and masters",
    after="download and calibrate",
    makes=(Kind.FRINGE,),
)
def fringes(
    scope: Scope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    **shared: Unpack[OfExposures],
) -> Outcome:
    """Make the fringe maps of every CCD from the zi exposures of a period.

    They serve where the recipe's `quadrant.fringes` is true.

    1. Find the exposures, and for each the masters that detrend it.
    2. Detrend them and make maps of what they have in common, CCD by CCD.
    3. Draw an exposure of each CCD before and after.
    4. List the period's calibrations.

    Parameters
    ----------
    period
        Nights whose exposures the maps are made of: 20190405, or 20190401_20190430.
    """
    of_maps = recipe.quadrant.fringe_maps
    common: dict[str, Any] = {"camera": scope.camera, "recipe": of_maps, "store": store}

    which = scope.which | {"filters": [Filter.ZI]}
    ready, without_masters = fringed_jobs(store, scope.period, of_maps, **which)
    missing = absent_from_store(store, scope.period, **which)

    maps = collect(
        launch(make_fringes, fringe_ref(of_maps, scope.period, Filter.ZI, ccdid), jobs, **common)
        for ccdid, jobs in ready.items()
    )

    figures = draw_fringes(maps, ready, scope.camera, of_maps, store)
    known = calibrations_of(store, recipe.quadrant)
    known.add(maps.built)
    products = maps + figures + list_calibrations(scope.period, recipe.quadrant, known, store)
    return products + Outcome(set_aside=(*missing, *without_masters))
