"""Pockets of the serial registers, from the data."""

from __future__ import annotations

from tasks.calibration import list_calibrations, make_bias
from tasks.inputs.selection import by_ccd, frames, grouped
from tasks.pocket import PLOTS, draw_pockets, fit_pockets, lit_exposures, profile_exposure
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from ztf_in2p3.identifiers import ImageType
from ztf_in2p3.products import Kind, bias_ref, ccdid_of, pocket_ref, sensor_figure_ref
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("pocket")
def pocket(
    period: str,
    store: str,
    *,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
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
    scope, products, quadrant = scope_of(period, camera, ccds, None), store_at(store), recipe.quadrant
    fitted = {"recipe": quadrant.pocket, "store": products}

    biases = frames(products, Kind.RAW, scope.period, ImageType.BIAS, ccdids=scope.ccdids)
    bias = collect(
        launch(make_bias, bias_ref(quadrant.bias, scope.period, ccdid), raws, scope.camera, quadrant.bias, products)
        for ccdid, raws in by_ccd(biases, last_of_night=quadrant.bias.last_of_night).items()
    )

    lit, missing = lit_exposures(products, scope.period, quadrant, scope.ccdids)

    profiles = collect(
        launch(profile_exposure, exposure, of_exposure, scope.camera, quadrant.pocket.profiles, products)
        for exposure, of_exposure in lit.items()
    )

    of_ccd = {ccdid: some for (ccdid,), some in grouped(profiles.built, ccdid_of).items()}
    pockets = collect(
        launch(fit_pockets, pocket_ref(quadrant.pocket, scope.period, ccdid), some, **fitted)
        for ccdid, some in of_ccd.items()
    )

    drawn = collect(
        launch(
            draw_pockets,
            sensor_figure_ref(quadrant.pocket, scope.period, f"{name}-c{ccdid:02d}"),
            name,
            one,
            of_ccd[ccdid],
            **fitted,
        )
        for one in pockets.built
        for ccdid in [ccdid_of(one.ref)]
        for name in PLOTS
    )
    made = bias + profiles + pockets + drawn
    return made + list_calibrations(scope.period, quadrant, products) + Outcome(set_aside=missing)
