"""The detector over a period, as one page."""

from __future__ import annotations

from typing import Unpack

from tasks.detector import detector_jobs, draw_detector_page, measure_detector
from tasks.inputs.selection import absent_from_store
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from ztf_in2p3.products import detector_numbers_ref
from ztf_in2p3.recipes import CatalogueRecipe, DetectorRecipe
from ztf_in2p3.store import Store


@product_flow("detector", needs="exposures of the sky with masters", after="download and calibrate")
def detector(
    scope: Scope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Look at the detector over a period: what is left of its effects, and what its calibrations say.

    It fails where its page says FAIL.

    1. Choose some exposures of each CCD, with the masters that detrend them.
    2. Measure on them what is left of offset and pocket, and the noise of the pixels, CCD by CCD.
    3. Draw the figures and write the page.
    """
    of_page = DetectorRecipe(recipe.quadrant)

    ready, without_masters = detector_jobs(store, scope.period, of_page, **scope.which)
    missing = absent_from_store(store, scope.period, **scope.which)

    numbers = collect(
        launch(
            measure_detector,
            detector_numbers_ref(of_page, scope.period, ccdid),
            jobs,
            camera=scope.camera,
            recipe=of_page,
            store=store,
        )
        for ccdid, jobs in ready.items()
    )

    aside = Outcome(set_aside=(*missing, *without_masters))
    if not numbers.built:
        return numbers + aside
    return numbers + aside + draw_detector_page(scope.period, scope.camera, of_page, store, numbers.built)
