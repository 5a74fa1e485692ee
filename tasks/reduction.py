"""What is made of one exposure: detrended quadrants, aperture catalogues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from astropy.io import fits

from tasks.inputs.images import (
    PROPER_MOTION_ARCSEC,
    Detrended,
    Reasons,
    detrend_quadrants,
    detrending,
    each_quadrant,
    no_quadrant,
)
from tasks.inputs.jobs import CcdJob, ScienceJob
from tasks.runtime.outcome import Outcome, SetAside, attempt, outcome_of, total
from tasks.runtime.policies import product_task
from ztf_in2p3.astrometry import read_wcs
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue, file_metadata, join_quadrants, summary
from ztf_in2p3.catalogue.reference import stars_around
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.catalogue.stars import cone
from ztf_in2p3.detrend.quadrant_file import write_quadrant
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, Exposure
from ztf_in2p3.image import Image
from ztf_in2p3.products import Built, Value, catalogue_ref, ccd_of, quadrant_of, quadrant_ref, science_catalogue_ref
from ztf_in2p3.recipes import (
    CatalogueRecipe,
    PhotometryRecipe,
    QuadrantRecipe,
    ReferenceRecipe,
    ScienceCatalogueRecipe,
)
from ztf_in2p3.store import JointProduct, Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import opened

Quadrants = Iterator[tuple[int, Image, fits.Header]]
"""Images and headers with their qid, taken one after the other."""
VERSIONS = {package: version(package) for package in ("ztf-in2p3", "sep")}


@product_task
def detrend_exposure(
    exposure: Exposure, jobs: Sequence[CcdJob], camera: Camera, recipe: QuadrantRecipe, store: Store
) -> Outcome:
    """Store the detrended quadrants of an exposure."""

    def keep(job: CcdJob) -> Outcome:
        def product_of(qid: int) -> JointProduct[Detrended]:
            return JointProduct(
                quadrant_ref(recipe, job.ccd, qid),
                lambda path, detrended: write_quadrant(path, *detrended.quadrant(qid)),
            )

        quadrants = store.build_all(
            map(product_of, sorted(job.headers)),
            recipe,
            job.inputs,
            lambda: detrend_quadrants(job, camera, recipe, store),
        )
        return outcome_of(quadrants, str(job.ccd), lambda ref: f"{job.ccd}_q{quadrant_of(ref).qid}")

    return total(keep(job) for job in jobs)


@product_task
def catalogue_exposure(
    exposure: Exposure, jobs: Sequence[CcdJob], camera: Camera, recipe: CatalogueRecipe, store: Store
) -> Outcome:
    """Detrend an exposure on the fly and measure its stars."""
    return catalogue_jobs(jobs, camera, recipe, store)


Look = Callable[[CcdJob, int, Image, fits.Header], None]
"""Looks at a detrended quadrant (its qid, image, header) before its stars are measured, and leaves it as it is."""


def catalogue_jobs(
    jobs: Sequence[CcdJob], camera: Camera, recipe: CatalogueRecipe, store: Store, look: Look | None = None
) -> Outcome:
    """Catalogues of CCD exposures; `look` is given each quadrant that is detrended for one."""

    def measure(job: CcdJob) -> Built:
        def make(path: Path) -> Mapping[str, Value]:
            with detrending(job, camera, recipe.quadrant, store) as stream:
                quadrants = looked_at(job, stream.quadrants)
                return write_catalogue(path, job, stream.headers, quadrants, stream.failed, camera, recipe, store)

        return store.build(catalogue_ref(recipe, job.ccd), recipe, [*job.inputs, *job.stars], make)

    def looked_at(job: CcdJob, quadrants: Quadrants) -> Quadrants:
        for qid, image, header in quadrants:
            if look is not None:
                look(job, qid, image, header)
            yield qid, image, header
            del image  # not to be in memory with that of the next quadrant

    return with_failed_quadrants(attempt(jobs, measure, name=lambda job: str(job.ccd)))


@product_task
def catalogue_science(
    exposure: Exposure, jobs: Sequence[ScienceJob], camera: Camera, recipe: ScienceCatalogueRecipe, store: Store
) -> Outcome:
    """Measure the stars, or the sources found, on the archive's own science images of an exposure."""

    def measure(job: ScienceJob) -> Built:
        def make(path: Path) -> Mapping[str, Value]:
            failed: Reasons = {}
            with opened(store, job.images.values()) as images, opened(store, job.masks.values()) as masks:
                pairs = zip(images, masks, strict=True)
                by_qid = dict(zip(job.images, pairs, strict=True))
                read = each_quadrant(by_qid, lambda pair: science_image(*pair), failed)
            headers = {qid: header for qid, (_, header) in read.items()}
            quadrants = ((qid, image, header) for qid, (image, header) in read.items())
            return write_catalogue(path, job, headers, quadrants, failed, camera, recipe, store)

        return store.build(science_catalogue_ref(recipe, job.ccd), recipe, [*job.inputs, *job.stars], make)

    return with_failed_quadrants(attempt(jobs, measure, name=lambda job: str(job.ccd)))


def with_failed_quadrants(outcome: Outcome) -> Outcome:
    """The outcome with a line for each quadrant that a catalogue lacks, also where the catalogue was made long ago."""
    lines = [
        SetAside(f"{ccd_of(built.ref)}_q{qid}", f"BadData: {reason}")
        for built in outcome.built
        for qid in range(1, N_QUADRANT + 1)
        if (reason := built.about.get(f"failed_q{qid}"))
    ]
    return outcome + Outcome(set_aside=lines)


def write_catalogue(
    path: Path,
    job: CcdJob | ScienceJob,
    headers: Mapping[int, fits.Header],
    quadrants: Quadrants,
    failed: Reasons,
    camera: Camera,
    recipe: CatalogueRecipe | ScienceCatalogueRecipe,
    store: Store,
) -> Mapping[str, Value]:
    """Catalogue of the quadrants of a CCD exposure; returns its summary, with the reasons of those that failed.

    The headers, by qid, say where the stars are to be looked for; the quadrants are taken one by one.
    """
    photometry, reference = recipe.photometry, recipe.reference
    stars, epoch = None, ReferenceRecipe().epoch
    if reference is not None:
        stars, epoch = read_stars(job, headers, failed, camera, photometry, store), reference.epoch
    tables, of_image = [], []
    for qid, image, header in quadrants:
        if qid in failed:
            continue
        of_image.append(header)
        try:
            table = aperture_catalogue(image, header, stars, job.ccd, qid, camera, photometry, epoch=epoch)
        except BadData as error:
            failed[qid] = str(error)
        else:
            tables.append(table)
        del image
    if not tables:
        raise BadData(no_quadrant(failed))
    table = join_quadrants(tables)
    level = focal_plane_metadata(of_image)
    write_table(path, table, file_metadata(job.ccd, photometry, VERSIONS) | level)
    return {**summary(table), **level, **{f"failed_q{qid}": reason for qid, reason in sorted(failed.items())}}


def focal_plane_metadata(headers: Iterable[fits.Header]) -> dict[str, str]:
    """What a catalogue says of its scale: of how many CCDs the flats set it, and whether those are all."""
    numbers = {int(header["N_CCD"]) for header in headers if "N_CCD" in header}
    if not numbers:
        return {}  # the archive's own images
    n_ccd = min(numbers)
    note = "" if n_ccd == N_CCD else f"incomplete: the level is that of {n_ccd} of {N_CCD} CCDs"
    return {"n_ccd": str(n_ccd), **({"focal_plane": note} if note else {})}


def read_stars(
    job: CcdJob | ScienceJob,
    headers: Mapping[int, fits.Header],
    failed: Reasons,
    camera: Camera,
    recipe: PhotometryRecipe,
    store: Store,
) -> pa.Table:
    """Reference stars in a cone around the images of these headers, as wide as isolation and proper motion ask."""
    named = {qid: (header, f"{job.ccd}_q{qid}") for qid, header in headers.items()}
    solutions = each_quadrant(named, lambda header_and_name: read_wcs(*header_and_name), failed)
    if not solutions:
        raise BadData(no_quadrant(failed))
    around = cone(
        list(solutions.values()),
        camera.shape,
        beyond_arcsec=recipe.isolation_arcsec + PROPER_MOTION_ARCSEC,
    )
    with opened(store, job.stars) as paths:
        return stars_around(map(read_table, paths), *around)
