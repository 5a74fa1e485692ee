"""What is made of one exposure: detrended quadrants, aperture catalogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from astropy.io import fits

from tasks.inputs.calibrations import read_pockets
from tasks.inputs.jobs import CcdJob, ScienceJob
from tasks.runtime.outcome import Outcome, attempt, total
from tasks.runtime.policies import product_task
from tasks.runtime.reading import opened
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue, file_metadata, join_quadrants, summary
from ztf_in2p3.catalogue.reference import stars_around
from ztf_in2p3.catalogue.science_image import read_mask, science_image
from ztf_in2p3.catalogue.stars import cone, wcs_of
from ztf_in2p3.detrend.bad_pixels import read_masks
from ztf_in2p3.detrend.focal_plane import common_level
from ztf_in2p3.detrend.masters import CcdMaster
from ztf_in2p3.detrend.quadrant import detrend_ccd, write_quadrant
from ztf_in2p3.identifiers import Exposure
from ztf_in2p3.image import Image
from ztf_in2p3.products import Built, Value, catalogue_ref, quadrant_ref
from ztf_in2p3.recipes import CatalogueRecipe, PhotometryRecipe, QuadrantRecipe, ScienceCatalogueRecipe
from ztf_in2p3.sensor.fringe import CcdFringes
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table

Images = dict[int, tuple[Image, fits.Header]]
"""Image and header by qid."""

PROPER_MOTION_ARCSEC = 120.0
"""Beyond which no star can come into the picture: the fastest known, 10.4" a year, over a decade."""

VERSIONS = {package: version(package) for package in ("ztf-in2p3", "sep")}


@product_task
def detrend_exposure(
    target: Exposure, jobs: Sequence[CcdJob], camera: Camera, recipe: QuadrantRecipe, store: Store
) -> Outcome:
    """Store the detrended quadrants of an exposure."""

    def keep(job: CcdJob) -> Outcome:
        detrended: Images = {}

        def make(spool: Path, qid: int) -> None:
            if not detrended:  # once a CCD, and only if a quadrant is missing
                detrended.update(detrend(job, camera, recipe, store))
            write_quadrant(spool, *detrended[qid])

        return attempt(
            sorted(job.headers),
            lambda qid: store.build(
                quadrant_ref(recipe, job.ccd, qid), recipe, job.inputs, lambda spool: make(spool, qid)
            ),
            name=lambda qid: f"{job.ccd}_q{qid}",
        )

    return total(keep(job) for job in jobs)


@product_task
def catalogue_exposure(
    target: Exposure, jobs: Sequence[CcdJob], camera: Camera, recipe: CatalogueRecipe, store: Store
) -> Outcome:
    """Detrend an exposure on the fly and measure its stars."""

    def measure(job: CcdJob) -> Built:
        def make(spool: Path) -> Mapping[str, Value]:
            images = detrend(job, camera, recipe.quadrant, store)
            return write_catalogue(spool, job, images, camera, recipe, store)

        return store.build(catalogue_ref(recipe, job.ccd), recipe, [*job.inputs, *job.stars], make)

    return attempt(jobs, measure, name=lambda job: str(job.ccd))


@product_task
def catalogue_science(
    target: Exposure, jobs: Sequence[ScienceJob], camera: Camera, recipe: ScienceCatalogueRecipe, store: Store
) -> Outcome:
    """Measure the stars, or the sources found, on the archive's own science images of an exposure."""

    def measure(job: ScienceJob) -> Built:
        def make(spool: Path) -> Mapping[str, Value]:
            with opened(store, job.images.values()) as images, opened(store, job.masks.values()) as masks:
                read = dict(zip(job.images, map(science_image, images, masks), strict=True))
            return write_catalogue(spool, job, read, camera, recipe, store)

        return store.build(catalogue_ref(recipe, job.ccd), recipe, [*job.inputs, *job.stars], make)

    return attempt(jobs, measure, name=lambda job: str(job.ccd))


def detrend(job: CcdJob, camera: Camera, recipe: QuadrantRecipe, store: Store) -> Images:
    """Image and header of the quadrants of a CCD exposure, by qid."""
    chosen = job.calibration
    pockets = read_pockets(store, chosen.pocket)
    with (
        opened(store, [job.raw]) as (raw,),
        opened(store, [chosen.bias.built, chosen.flat.built, chosen.focal_plane]) as (bias_path, flat_path, levels),
        opened(store, chosen.maps) as maps,
        opened(store, chosen.fringe_maps) as fringes,
        CcdMaster.open(bias_path, camera) as bias,
        CcdMaster.open(flat_path, camera) as flat,
        opened(store, job.headers.values()) as headers,
        opened(store, job.masks.values()) as masks,
    ):
        return detrend_ccd(
            raw,
            bias,
            flat,
            common_level(read_table(levels)),
            {qid: fits.getheader(path) for qid, path in zip(job.headers, headers, strict=True)},
            {qid: read_mask(path) for qid, path in zip(job.masks, masks, strict=True)},
            camera,
            recipe,
            bad_pixels=[read_masks(path, camera) for path in maps],
            fringes=next((CcdFringes.read(path, camera) for path in fringes), None),
            pockets=pockets,
            cards=chosen.cards(job.ccd.exposure.night) | (pockets.cards(fits.getheader(raw)) if pockets else {}),
        )


def write_catalogue(
    spool: Path,
    job: CcdJob | ScienceJob,
    images: Images,
    camera: Camera,
    recipe: CatalogueRecipe | ScienceCatalogueRecipe,
    store: Store,
) -> Mapping[str, Value]:
    """Catalogue of the quadrants of a CCD exposure; returns its summary."""
    photometry, reference = recipe.photometry, recipe.reference
    stars = epoch = None
    if reference is not None:
        stars, epoch = read_stars(job, images, camera, photometry, store), reference.epoch
    table = join_quadrants(
        [
            aperture_catalogue(image, header, stars, job.ccd, qid, camera, photometry, epoch=epoch)
            for qid, (image, header) in images.items()
        ]
    )
    write_table(spool, table, file_metadata(job.ccd, photometry, VERSIONS))
    return summary(table)


def read_stars(
    job: CcdJob | ScienceJob, images: Images, camera: Camera, recipe: PhotometryRecipe, store: Store
) -> pa.Table:
    """Reference stars in a cone around the images, as wide as isolation and proper motion ask."""
    around = cone(
        [wcs_of(header, f"{job.ccd}_q{qid}") for qid, (_, header) in images.items()],
        camera.shape,
        beyond_arcsec=recipe.isolation_arcsec + PROPER_MOTION_ARCSEC,
    )
    with opened(store, job.stars) as paths:
        return stars_around(map(read_table, paths), *around)
