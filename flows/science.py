"""Aperture catalogues of the archive's own science images."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from tasks.archive import fetch_all, fetch_stars_around, find_science_images, reference_for
from tasks.inputs.jobs import science_jobs, with_stars
from tasks.inputs.references import circles, star_partitions
from tasks.inputs.selection import absent, frames
from tasks.reduction import catalogue_science
from tasks.runtime.form import Shared
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import archive_at
from ztf_in2p3.addresses import IRSA_ADDRESS
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import ScienceCatalogueRecipe
from ztf_in2p3.store import Store


@product_flow("science", needs="science images")
def science(
    scope: Scope,
    store: Store,
    *,
    archive: str = IRSA_ADDRESS,
    reference: str | None = None,
    recipe: ScienceCatalogueRecipe = ScienceCatalogueRecipe(),
    **shared: Unpack[Shared],
) -> Outcome:
    """Measure the stars, or the sources found, on the archive's own science images of a period.

    1. Ask the archive which images there are, and fetch those that the store lacks.
    2. Fetch the reference stars around them.
    3. Measure, exposure by exposure.

    Parameters
    ----------
    reference
        Folder, s3://bucket/prefix or https://host/path of the reference catalogue; sources are detected if not given.
    """
    source = archive_at(archive)
    recipe = recipe if reference else replace(recipe, reference=None)

    wanted = scope.selected(find_science_images(source, scope.period, scope.filters, scope.ccdids))
    catalogue = reference_for(wanted, reference, recipe.reference)
    images = fetch_all(wanted, source, store)

    places = circles(frames(store, Kind.SCIENCE, scope.period, **scope.which), recipe.photometry)
    stars = fetch_stars_around(places, catalogue, recipe.reference, store)

    with_mask, without_mask = science_jobs(store, scope.period, **scope.which)
    ready, without_stars = with_stars(with_mask, star_partitions(store, recipe.reference, recipe.photometry))
    catalogues = collect(
        launch(catalogue_science, exposure, jobs, camera=scope.camera, recipe=recipe, store=store)
        for exposure, jobs in ready.items()
    )
    missing = absent(scope.exposures, scope.period, wanted, "the archive")
    return images + stars + catalogues + Outcome(set_aside=(*missing, *without_mask, *without_stars))
