"""Response of the readout channels, from flats of several exposure times."""

from __future__ import annotations

from typing import Unpack

from tasks.calibration import make_bias
from tasks.inputs.calibrations import calibrations_of, pockets_for
from tasks.inputs.selection import by_ccd, frames, lacking
from tasks.linearity import draw_linearity, measure_linearity
from tasks.runtime.form import OfFilters
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.identifiers import ImageType
from ztf_in2p3.products import Kind, bias_ref, ccdid_of, linearity_ref
from ztf_in2p3.recipes import LinearityRecipe
from ztf_in2p3.store import Store


@product_flow(
    "linearity",
    needs="bias frames, and flats of several exposure times,",
    after="download",
    makes=(Kind.LINEARITY,),
)
def linearity(
    scope: Scope,
    store: Store,
    *,
    recipe: LinearityRecipe = LinearityRecipe(),
    **shared: Unpack[OfFilters],
) -> Outcome:
    """Measure the non-linearity of every readout channel, and compare it with the dated table.

    The period must hold flats of one lamp with several exposure times: light in proportion to the time is
    what tells a bent response from a lamp that varies.  Nothing is corrected with the result; it shows
    whether the table still holds.

    1. Find the bias and flat frames, and make the master bias.
    2. Measure the flats' levels and fit the responses, CCD by CCD.
    3. Draw them beside the table's.
    """
    quadrant = recipe.quadrant

    biases = frames(store, Kind.RAW, scope.period, ImageType.BIAS, ccdids=scope.ccdids)
    flats = frames(store, Kind.RAW, scope.period, ImageType.FLAT, ccdids=scope.ccdids, filters=scope.filters)
    missing = lacking({"bias": biases, "flat": flats}, scope.period)
    bias = collect(
        launch(make_bias, bias_ref(quadrant.bias, scope.period, ccdid), raws, scope.camera, quadrant.bias, store)
        for ccdid, raws in by_ccd(biases, last_of_night=quadrant.bias.last_of_night).items()
    )

    of_ccd, flat_frames = {ccdid_of(product.ref): product for product in bias.built}, by_ccd(flats)
    pockets, without_pocket = pockets_for(flat_frames, calibrations_of(store, quadrant))
    measured = collect(
        launch(
            measure_linearity,
            linearity_ref(recipe, scope.period, ccdid),
            flat_frames[ccdid],
            of_ccd[ccdid],
            pocket,
            camera=scope.camera,
            recipe=recipe,
            store=store,
        )
        for ccdid, pocket in pockets.items()
        if ccdid in of_ccd
    )

    drawn = draw_linearity(measured.built, recipe, store)
    return bias + measured + drawn + Outcome(set_aside=(*missing, *without_pocket))
