"""Aperture catalogues of the archive's own science images."""

from __future__ import annotations

from dataclasses import replace

from tasks.archive import fetch_all, fetch_stars_around, find_science_images
from tasks.inputs.jobs import science_jobs, with_stars
from tasks.inputs.references import circles, star_partitions
from tasks.inputs.selection import frames
from tasks.reduction import catalogue_science
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import scope_of
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import archive_at, store_at
from ztf_in2p3.archive import IRSA_ADDRESS
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import ScienceCatalogueRecipe


@product_flow("science")
def science(
    period: str,
    store: str,
    *,
    archive: str = IRSA_ADDRESS,
    reference: str | None = None,
    camera: str = "ztf",
    ccds: list[int] | None = None,
    filters: list[str] | None = None,
    recipe: ScienceCatalogueRecipe = ScienceCatalogueRecipe(),
    workers: int | None = None,
    max_set_aside: float = 0.2,
) -> Outcome:
    """Measure the stars, or the sources found, on the archive's own science images of a period.

    1. Ask the archive which images there are, and fetch those that the store lacks.
    2. Fetch the reference stars around them.
    3. Measure, exposure by exposure.

    Parameters
    ----------
    reference
        Folder or s3://bucket/prefix of the reference catalogue; sources are detected if not given.
    """
    scope, products, source = scope_of(period, camera, ccds, filters), store_at(store), archive_at(archive)
    recipe = recipe if reference else replace(recipe, reference=None)
    which = {"filters": scope.filters, "ccdids": scope.ccdids}

    wanted = find_science_images(source, scope.period, scope.filters, scope.ccdids)
    images = fetch_all(wanted, source, products)

    places = circles(frames(products, Kind.SCIENCE, scope.period, **which), recipe.photometry)
    stars = fetch_stars_around(places, reference, recipe.reference, products)

    with_mask, without_mask = science_jobs(products, scope.period, **which)
    ready, without_stars = with_stars(with_mask, star_partitions(products, recipe.reference, recipe.photometry))
    made = collect(
        launch(catalogue_science, exposure, jobs, camera=scope.camera, recipe=recipe, store=products)
        for exposure, jobs in ready.items()
    )
    return images + stars + made + Outcome(set_aside=(*without_mask, *without_stars))
