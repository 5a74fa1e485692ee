"""What comes from outside: frames of the archive, stars of the reference catalogue."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.runtime.outcome import Outcome, attempt
from tasks.runtime.policies import collect, launch, product_task, query_task
from tasks.runtime.progress import Arrivals, arrivals
from ztf_in2p3.archive import Archive
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.reference import Cone, ReferenceCatalogue
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, reference_ref
from ztf_in2p3.recipes import ReferenceRecipe
from ztf_in2p3.store import Store

FilesOfExposure = dict[Exposure, list[ArchiveFile]]

NO_FRAMES = "the archive has no such frames"
"""What a download says that ended well with nothing."""


@query_task
def find_frames(
    archive: Archive, period: Period, filters: Collection[Filter], ccdids: Collection[int]
) -> FilesOfExposure:
    """Everything the reduction of a period needs: bias, flats, exposures with their headers and masks."""
    found = science_files(archive, period, filters, ccdids, Kind.HEADER, Kind.MASK)
    biases = archive.raws(period, ImageType.BIAS, ccdids=ccdids)
    flats = archive.raws(period, ImageType.FLAT, filters=filters, ccdids=ccdids)
    objects = archive.raws(period, ImageType.OBJECT, filters=filters, ccdids=ccdids)
    for ccd in (*biases, *flats, *objects):
        found.setdefault(ccd.exposure, []).append(ArchiveFile(Kind.RAW, ccd))
    return found


@query_task
def find_science_images(
    archive: Archive, period: Period, filters: Collection[Filter], ccdids: Collection[int]
) -> FilesOfExposure:
    """The archive's own science images of a period, with their masks."""
    return science_files(archive, period, filters, ccdids, Kind.SCIENCE, Kind.MASK)


def science_files(
    archive: Archive, period: Period, filters: Collection[Filter], ccdids: Collection[int], *kinds: Kind
) -> FilesOfExposure:
    found: FilesOfExposure = {}
    for ccd, qid in archive.sciences(period, filters=filters, ccdids=ccdids):
        found.setdefault(ccd.exposure, []).extend(ArchiveFile(kind, ccd, qid) for kind in kinds)
    return found


def asked_of(wanted: FilesOfExposure) -> set[CcdExposure]:
    """CCD exposures of the sky among the files of an archive: each should have a catalogue."""
    files = (file for files in wanted.values() for file in files)
    return {file.ccd for file in files if file.ccd.exposure.image_type is ImageType.OBJECT}


@product_task(in_worker=False)
def fetch(
    target: Exposure,
    files: Sequence[ArchiveFile],
    archive: Archive,
    store: Store,
    arrived: Arrivals,
) -> Outcome:
    """Bring the files of an exposure that the store lacks."""

    def bring(file: ArchiveFile) -> Built:
        built = store.build(file.ref, None, [], lambda spool: archive.fetch(file, spool, arrived.came))
        arrived.file_done()
        return built

    return attempt(files, bring)


@product_task(in_worker=False)
def fetch_stars(
    target: ProductRef, order: int, pixel: int, catalogue: ReferenceCatalogue, recipe: ReferenceRecipe, store: Store
) -> Built:
    """Bring the reference stars of one HEALPix pixel."""
    return store.build(target, recipe, [], lambda spool: catalogue.fetch(order, pixel, spool))


def fetch_all(wanted: FilesOfExposure, archive: Archive, store: Store) -> Outcome:
    """Bring the files of many exposures, showing how far it has come."""
    with arrivals("download", sum(len(files) for files in wanted.values())) as arrived:
        return collect(launch(fetch, exposure, files, archive, store, arrived) for exposure, files in wanted.items())


def fetch_stars_around(
    places: Collection[Cone], location: str | None, recipe: ReferenceRecipe | None, store: Store
) -> Outcome:
    """Bring the partitions of a reference catalogue, if there is one, that touch some circles."""
    if not places or location is None or recipe is None:
        return Outcome()
    catalogue = ReferenceCatalogue.open(location)
    touched = sorted({pixel for circle in places for pixel in catalogue.partitions(*circle)})
    return collect(
        launch(fetch_stars, reference_ref(recipe, *pixel), *pixel, catalogue, recipe, store) for pixel in touched
    )
