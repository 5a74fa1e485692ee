"""Everything for a night: from the archive to its catalogues and its report."""

from __future__ import annotations

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.detector import detector
from flows.download import download
from tasks.inputs.calibrations import shared_calibrations
from tasks.nightly import CLOSED, LOOK_BACK, nights_before, nights_to_do, require_page, step, without_inputs
from tasks.pages.report import draw_report, in_store
from tasks.runtime.form import OfFilters, Shared, require_one
from tasks.runtime.naming import scheduled_night
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import archive_at, store_at
from ztf_in2p3.addresses import GAIA_ADDRESS, IRSA_ADDRESS
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("nightly", counted=True)
@shared_calibrations()
def nightly(
    night: str | None = None,
    store: str = "",
    *,
    archive: str = IRSA_ADDRESS,
    reference: str = GAIA_ADDRESS,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    fields: list[int] | None = None,
    exposures: str | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    look_back: int | None = None,
    workers: int | None = None,
    max_set_aside: float = 0.2,
    truth: str | None = None,
) -> Outcome:
    """Reduce a night, and those before it that were missed or of which the archive has more by now.

    It fails where the night's report says FAIL; a night on which the telescope did not open is complete.

    1. Reduce the nights before it that are not done.
    2. Download its frames, science headers, masks and the reference stars around them.
    3. Make its master calibrations.
    4. Measure the stars on every exposure.
    5. Look at what is left of the detector's effects.
    6. Draw its report, which links the detector's page.

    Parameters
    ----------
    night
        UT date, 20190405; if not given, which is what a schedule wants, the last complete one at the time for which
        the run was scheduled, however late it begins.
    look_back
        Nights before it to complete; if not given 3 where no night is given, else none.
    max_set_aside
        Fraction of the CCD exposures, in all, of a CCD or of a filter, that may lack a catalogue.
    """
    scope = scope_of(require_one(night or scheduled_night()), camera, ccds, filters, fields, exposures)
    products = store_at(store, scope.camera)
    ccds_of_step: OfFilters = {
        "camera": camera,
        "ccds": ccds,
        "filters": filters,
        "workers": workers,
        "max_set_aside": 1.0,  # what a step skips must not stop the next
    }
    exposures_of_step: Shared = {**ccds_of_step, "fields": fields, "exposures": exposures}

    earlier = nights_before(scope.period.first, look_back, 0 if night else LOOK_BACK)
    for missed in nights_to_do(earlier, archive_at(archive), products, scope, recipe, truth):
        of_missed: Shared = {**exposures_of_step, "max_set_aside": max_set_aside}
        step(
            nightly,
            f"{missed:%Y%m%d}",
            store,
            archive=archive,
            reference=reference,
            recipe=recipe,
            look_back=0,
            truth=truth,
            **of_missed,
        )

    night = f"{scope.period.first:%Y%m%d}"
    downloaded = download(night, store, archive=archive, reference=reference, recipe=recipe, **exposures_of_step)

    calibrated = step(calibrate, night, store, recipe=recipe, **ccds_of_step) if downloaded.of(Kind.RAW) else Outcome()
    if not downloaded.expected:
        return downloaded + calibrated + Outcome(note=CLOSED)

    measured = step(catalogue, night, store, recipe=recipe, **exposures_of_step)

    looked = step(detector, night, store, recipe=recipe, **exposures_of_step)

    done = downloaded + calibrated + measured + without_inputs(looked, detector)
    jobs, _ = in_store(products, scope.period, recipe, **scope.which)
    drawn = draw_report(scope.period.first, scope.camera, recipe, products, jobs, done, truth, tolerated=max_set_aside)
    return done + drawn + require_page(drawn)
