"""What comes from outside: frames of the archive, stars of the reference catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.runtime.outcome import Outcome, SetAside, attempt
from tasks.runtime.policies import collect, launch, product_task, query_task
from tasks.runtime.progress import Arrivals, arrivals
from ztf_in2p3.archive import Archive
from ztf_in2p3.archive.files import ArchiveFiles
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.archive.listing import Skipped
from ztf_in2p3.archive.reference import Cone, ReferenceCatalogue
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, Value, reference_ref
from ztf_in2p3.recipes import ReferenceRecipe
from ztf_in2p3.store import Store

NO_FRAMES = (
    "the archive has no such frames, but has frames of nights about these: the telescope did not open, or they are not "
    "there yet"
)
"""What a download says that ended well with nothing."""
ABOUT = timedelta(days=14)
"""Before and after a period: an archive that has nothing of so many nights is not one where a telescope was closed."""
DROPPED = {"repeated": "the star is listed already", "unusable": "no identifier or no place"}
"""Why rows of the reference catalogue are left out, by the name under which they are counted."""


@query_task
def find_frames(archive: Archive, period: Period, filters: Collection[Filter], ccdids: Collection[int]) -> ArchiveFiles:
    """Everything the reduction of a period needs: bias, flats, exposures with their headers and masks."""
    quadrants = archive.sciences(period, filters=filters, ccdids=ccdids)
    biases = archive.raws(period, ImageType.BIAS, ccdids=ccdids)
    flats = archive.raws(period, ImageType.FLAT, filters=filters, ccdids=ccdids)
    objects = archive.raws(period, ImageType.OBJECT, filters=filters, ccdids=ccdids)
    files = ArchiveFiles.of_quadrants(quadrants, Kind.HEADER, Kind.MASK)
    for raws in (biases, flats, objects):
        files = files.with_those_of(ArchiveFiles.of_raws(raws))
    return files


def why_no_frames(archive: Archive, period: Period, ccdids: Collection[int]) -> str:
    """Why an archive has nothing of a period, if it has frames of the CCDs of other nights; empty if it has not.

    The bias frames tell: they are taken every day.
    """
    about = Period(period.first - ABOUT, period.last + ABOUT)
    return NO_FRAMES if find_biases(archive, about, ccdids) else ""


@query_task
def find_biases(archive: Archive, period: Period, ccdids: Collection[int]) -> ArchiveFiles:
    """The bias frames of a period."""
    return ArchiveFiles.of_raws(archive.raws(period, ImageType.BIAS, ccdids=ccdids))


@query_task
def find_science_images(
    archive: Archive, period: Period, filters: Collection[Filter], ccdids: Collection[int]
) -> ArchiveFiles:
    """The archive's own science images of a period, with their masks."""
    return ArchiveFiles.of_quadrants(archive.sciences(period, filters=filters, ccdids=ccdids), Kind.SCIENCE, Kind.MASK)


def outdated(wanted: ArchiveFiles, stored: Mapping[ProductRef, Built]) -> list[ArchiveFile]:
    """Files in the store of which the archive now lists another edition than when they came.

    What its list says is compared with what it said then (of a table: pid, quality and astrometry of the image; of a
    tree: size and date of the file), so that it costs no question a file.
    """
    return [
        file
        for file, listed in wanted.versions.items()
        if file.ref in stored and _is_other_edition(listed, stored[file.ref])
    ]


def _is_other_edition(listed: str, built: Built) -> bool:
    """Whether an edition differs from the one that came.  That of a tree and that of a table are not compared."""
    noted = str(built.about.get("listed") or "")
    return noted.partition(" ")[0] == listed.partition(" ")[0] and noted != listed


def expected_of(wanted: ArchiveFiles) -> set[CcdExposure]:
    """CCD exposures of the sky among the files of an archive: each should have a catalogue."""
    files = (file for files in wanted.values() for file in files)
    return {file.ccd for file in files if file.ccd.exposure.image_type is ImageType.OBJECT}


@product_task(in_worker=False)
def fetch(
    exposure: Exposure,
    files: Mapping[ArchiveFile, str],
    archive: Archive,
    store: Store,
    arrived: Arrivals,
    refresh: bool = False,
) -> Outcome:
    """Bring the files of an exposure that the store lacks, or has in another edition than the archive.

    Parameters
    ----------
    files
        Each with the edition that the archive lists, empty if it does not say.
    refresh
        Ask the archive for the size and date of every file that is here already, and compare them too.
    """

    def bring(file: ArchiveFile) -> Built:
        listed = files[file]

        def is_outdated(built: Built) -> bool:
            changed = _is_other_edition(listed, built) or (refresh and not archive.state(file).is_that_of(built.about))
            if changed:
                get_run_logger().info("%s changed in the archive since it came: fetched again", file)
            return changed

        def fetch_to(path: Path) -> dict[str, Value]:
            return archive.fetch(file, path, arrived.came) | ({"listed": listed} if listed else {})

        built = store.build(file.ref, None, [], fetch_to, is_outdated)
        arrived.file_done()
        return built

    return attempt(files, bring)


@product_task(in_worker=False)
def fetch_stars(
    output: ProductRef, order: int, pixel: int, catalogue: ReferenceCatalogue, recipe: ReferenceRecipe, store: Store
) -> Built:
    """Bring the reference stars of one HEALPix pixel."""
    return store.build(output, recipe, [], lambda path: catalogue.fetch(order, pixel, path))


def fetch_all(wanted: ArchiveFiles, archive: Archive, store: Store, *, refresh: bool = False) -> Outcome:
    """Bring the files of many exposures, showing how far it has come.  Refresh as for `fetch`."""
    files_of = {exposure: {file: wanted.versions.get(file, "") for file in files} for exposure, files in wanted.items()}
    with arrivals("download", sum(map(len, files_of.values()))) as arrived:
        brought = collect(
            launch(fetch, exposure, files, archive, store, arrived, refresh) for exposure, files in files_of.items()
        )
    return brought + Outcome(set_aside=map(_not_listed, wanted.skipped))


def _not_listed(group: Skipped) -> SetAside:
    """Entries of an archive's list that could not be used, as inputs that were set aside."""
    examples = f"; nothing is fetched for them (e.g. {'; '.join(group.examples)})" if group.examples else ""
    return SetAside(group.label, f"BadData: {group.reason}{examples}")


def reference_for(
    wanted: ArchiveFiles, location: str | None, recipe: ReferenceRecipe | None
) -> ReferenceCatalogue | None:
    """The reference catalogue, opened and checked before anything is fetched; None where no image needs its stars."""
    images = {Kind.HEADER, Kind.SCIENCE}
    needed = any(file.kind in images for files in wanted.values() for file in files)
    return open_reference(location, recipe) if needed and location is not None and recipe is not None else None


@query_task
def open_reference(location: str, recipe: ReferenceRecipe) -> ReferenceCatalogue:
    """Find a reference catalogue, and look whether its columns, places and epoch are those expected."""
    return ReferenceCatalogue.open(location, epoch=recipe.epoch)


def fetch_stars_around(
    places: Collection[Cone], catalogue: ReferenceCatalogue | None, recipe: ReferenceRecipe | None, store: Store
) -> Outcome:
    """Bring the partitions of a reference catalogue, if there is one, that touch some circles."""
    if not places or catalogue is None or recipe is None:
        return Outcome()
    touched = sorted({pixel for circle in places for pixel in catalogue.partitions(*circle)})
    if not touched:
        ra, dec, _ = next(iter(places))
        reason = f"no stars around RA {ra:.3f}, Dec {dec:.3f} deg or any other image; is it of this part of the sky?"
        return Outcome(set_aside=[SetAside(catalogue.location, reason)])
    brought = collect(
        launch(fetch_stars, reference_ref(recipe, *pixel), *pixel, catalogue, recipe, store) for pixel in touched
    )
    for reason, meaning in DROPPED.items():
        counts = [int(count) for built in brought.built if (count := built.about.get(reason))]
        if counts:
            get_run_logger().info(
                "reference stars: %d rows in %d of %d partitions dropped: %s",
                sum(counts),
                len(counts),
                len(touched),
                meaning,
            )
    return brought
