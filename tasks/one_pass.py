"""All that is measured on an exposure, of one reading of its raw files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astropy.io import fits

from tasks.inputs.jobs import CcdJob
from tasks.inputs.targets import TargetExposure, quadrants_of
from tasks.psf import measure_quadrant, measure_quadrants
from tasks.reduction import catalogue_jobs
from tasks.runtime.outcome import Outcome, total
from tasks.runtime.policies import collect, computed_by, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.identifiers import CcdExposure, Exposure
from ztf_in2p3.image import Image
from ztf_in2p3.products import quadrant_of
from ztf_in2p3.recipes import CatalogueRecipe, PsfCatalogueRecipe, ReferenceRecipe
from ztf_in2p3.store import Store


def psf_recipe_beside(recipe: CatalogueRecipe) -> PsfCatalogueRecipe:
    """Recipe of the PSFs on the very images, and with the reference stars, of these catalogues."""
    return PsfCatalogueRecipe(recipe.quadrant, recipe.reference or ReferenceRecipe())


@product_task
def measure_exposure(
    exposure: Exposure,
    jobs: Sequence[CcdJob],
    quadrants: Mapping[CcdExposure, Sequence[TargetExposure]],
    camera: Camera,
    recipe: CatalogueRecipe,
    store: Store,
) -> Outcome:
    """Detrend an exposure on the fly; measure its stars, and its PSFs and all stars with these.

    The images that the catalogues are measured on serve the PSFs too.  A CCD whose catalogue is there is detrended only
    if one of its PSFs is not.
    """
    psf_recipe = psf_recipe_beside(recipe)
    by_quadrant = {
        (ccd, quadrant_of(target_exposure.about.ref).qid): target_exposure
        for ccd, target_exposures in quadrants.items()
        for target_exposure in target_exposures
    }
    measured: dict[tuple[CcdExposure, int], Outcome] = {}

    def look(job: CcdJob, qid: int, image: Image, header: fits.Header) -> None:
        if (job.ccd, qid) in by_quadrant:
            measured[job.ccd, qid] = measure_quadrant(
                by_quadrant[job.ccd, qid], (image, header), camera, psf_recipe, store
            )

    catalogues = catalogue_jobs(jobs, camera, recipe, store, look)
    left = {
        ccd: [
            target_exposure
            for target_exposure in target_exposures
            if (ccd, quadrant_of(target_exposure.about.ref).qid) not in measured
        ]
        for ccd, target_exposures in quadrants.items()
    }
    unseen = [
        computed_by(measure_quadrants)(ccd, target_exposures, camera, psf_recipe, store)
        for ccd, target_exposures in left.items()
        if target_exposures
    ]
    return total([catalogues, *measured.values(), *unseen])


def measure_all_of(
    ready: Mapping[Exposure, Sequence[CcdJob]], camera: Camera, recipe: CatalogueRecipe, store: Store
) -> Outcome:
    """Catalogues and PSFs of exposures; a PSF around which the reference has no stars is set aside."""
    quadrants, starless = quadrants_of(ready, store, psf_recipe_beside(recipe))
    of_exposure = {
        exposure: {job.ccd: quadrants[job.ccd] for job in jobs if job.ccd in quadrants}
        for exposure, jobs in ready.items()
    }
    how: dict[str, Any] = {"camera": camera, "recipe": recipe, "store": store}
    measured = collect(
        launch(measure_exposure, exposure, jobs, of_exposure[exposure], **how) for exposure, jobs in ready.items()
    )
    return measured + Outcome(set_aside=starless)
