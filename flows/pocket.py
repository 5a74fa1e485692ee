"""Pockets of the serial registers, from the data."""

from __future__ import annotations

from typing import Any, Unpack

from tasks.calibration import list_calibrations, make_bias
from tasks.inputs.calibrations import calibrations_of
from tasks.inputs.selection import absent_from_store, by_ccd, frames, grouped, without_rejected
from tasks.pocket import (
    draw_pockets,
    fit_pockets,
    illuminated_exposures,
    power_law_amplifiers,
    profile_exposure,
)
from tasks.runtime.form import OfExposures
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import operators_rejections
from ztf_in2p3.identifiers import ImageType
from ztf_in2p3.products import Kind, bias_ref, ccdid_of, pocket_ref
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow("pocket", needs="exposures of the sky, flats and bias frames", after="download", makes=(Kind.POCKET,))
def pocket(
    scope: Scope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    **shared: Unpack[OfExposures],
) -> Outcome:
    """Measure what the pocket of each amplifier holds behind each level, on the exposures of a period.

    Detrending takes the nearest such calibration in time where the recipe's `pocket` is "equilibrium";
    flats need it too, so this flow goes before calibrate, and makes the master bias it needs itself.

    1. Combine the bias frames of the period, CCD by CCD.
    2. Choose exposures of the sky and flats, and the nearest master bias of each.
    3. Measure the overscan behind blocks of rows, exposure by exposure.
    4. Fit the pockets, CCD by CCD.
    5. Draw them.
    6. List the period's calibrations.
    """
    quadrant = recipe.quadrant
    fitted: dict[str, Any] = {"recipe": quadrant.pocket, "store": store}

    biases, rejected = without_rejected(
        frames(store, Kind.RAW, scope.period, ImageType.BIAS, ccdids=scope.ccdids), operators_rejections()
    )
    bias = collect(
        launch(make_bias, bias_ref(quadrant.bias, scope.period, ccdid), raws, scope.camera, quadrant.bias, store)
        for ccdid, raws in by_ccd(biases, last_of_night=quadrant.bias.last_of_night).items()
    )

    illuminated, unusable = illuminated_exposures(store, scope.period, quadrant, **scope.which)
    missing = absent_from_store(store, scope.period, **scope.which)

    profiles = collect(
        launch(profile_exposure, exposure, of_exposure, scope.camera, quadrant.pocket.profiles, store)
        for exposure, of_exposure in illuminated.items()
    )

    profiles_of = {ccdid: products for (ccdid,), products in grouped(profiles.built, ccdid_of).items()}
    pockets = collect(
        launch(fit_pockets, pocket_ref(quadrant.pocket, scope.period, ccdid), of_ccd, **fitted)
        for ccdid, of_ccd in profiles_of.items()
    )

    drawn = draw_pockets(pockets.built, profiles_of, quadrant.pocket, store)
    known = calibrations_of(store, quadrant)
    known.add(pockets.built)
    products = bias + profiles + pockets + drawn
    unmeasured = power_law_amplifiers(pockets.built)
    return (
        products
        + list_calibrations(scope.period, quadrant, known, store)
        + Outcome(set_aside=(*missing, *unusable, *rejected, *unmeasured))
    )
