"""A real quadrant, measured, and its growth curve beside the archive's own."""

from __future__ import annotations

from flows.science import science
from tasks.pages.drawing import image_sketches
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.policies import collect
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import store_at
from ztf_in2p3.recipes import PhotometryRecipe, PsfCatalogueRecipe, ScienceCatalogueRecipe

PSF = PsfCatalogueRecipe(quadrant=None)
DIAMETERS = (2.0, 3.0, 4.0, 6.0, 10.0, 14.0)
"""Pixels; of the apertures whose corrections the archive publishes."""


@product_flow("real")
def real(
    period: str = "20200924",
    store: str = "demo/real",
    *,
    archive: str = "tests/data",
    workers: int | None = 0,
    max_set_aside: float = 0.0,
) -> Outcome:
    """Measure the sources of real science images, and compare their growth curves with the archive's.

    1. Measure the sources of the images.
    2. Draw the growth curve of each image, and beside it what its header says.
    3. Draw how PSF photometry compares with apertures, the PSF of half of the stars on the other half.

    Parameters
    ----------
    period
        Night of the images; the default is that of the quadrant in the repository.
    store
        Folder or s3://bucket/prefix that receives the products.
    """
    recipe = ScienceCatalogueRecipe(PhotometryRecipe(radii=tuple(d / 2 for d in DIAMETERS)), reference=None)
    night, products = scope_of(period, "ztf", None, None).period.first, store_at(store)

    measured = science(period, store, archive=archive, recipe=recipe, workers=workers, max_set_aside=max_set_aside)

    drawn = collect(sketch.launch(recipe, products) for sketch in image_sketches("growth", measured, night, recipe))

    compared = collect(sketch.launch(PSF, products) for sketch in image_sketches("psf", measured, night, PSF))
    return measured + drawn + compared
