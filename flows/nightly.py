"""Everything for a night: from the archive to its catalogues and its report."""

from __future__ import annotations

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.detector import detector
from flows.download import download
from tasks.report import draw_report, in_store
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import last_night, require_one, scope_of
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from ztf_in2p3.archive import IRSA_ADDRESS
from ztf_in2p3.archive.reference import GAIA_ADDRESS
from ztf_in2p3.recipes import CatalogueRecipe


@product_flow("nightly")
def nightly(
    store: str,
    night: str | None = None,
    *,
    archive: str = IRSA_ADDRESS,
    reference: str = GAIA_ADDRESS,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    fields: list[int] | None = None,
    exposures: str | None = None,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
    truth: str | None = None,
) -> Outcome:
    """Reduce a night.

    1. Download its frames, science headers, masks and the reference stars around them.
    2. Make its master calibrations.
    3. Measure the stars on every exposure.
    4. Look at what is left of the detector's effects.
    5. Draw its report, which links the detector's page.

    Parameters
    ----------
    night
        UT date, 20190405; the last complete one if not given, which is what a schedule wants.
    """
    night = require_one(night or last_night())
    which = {"camera": camera, "ccds": ccds, "filters": filters, "recipe": recipe}
    chosen = {"fields": fields, "exposures": exposures}
    how = {"workers": workers, "max_set_aside": 1.0}  # what a step sets aside must not stop the next

    downloaded = download(night, store, archive=archive, reference=reference, **which, **chosen, **how)

    calibrated = calibrate(night, store, **which, **how)

    measured = catalogue(night, store, **which, **chosen, **how)

    looked = detector(night, store, **which, **chosen, **how)

    scope, products = scope_of(night, camera, ccds, filters, fields, exposures), store_at(store)
    done = downloaded + calibrated + measured + Outcome(looked.built)  # what it set aside, the catalogue did
    jobs, _ = in_store(products, scope.period, recipe, **scope.which)
    return done + draw_report(scope.period.first, scope.camera, recipe, products, jobs, done, truth)
