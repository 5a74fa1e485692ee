"""All that makes the products of one CCD exposure: its files, its masters, its stars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, TypeVar

from tasks.inputs.calibrations import Calibration, Calibrations, calibrations_of
from tasks.inputs.references import StarPartitions
from tasks.inputs.selection import frames, without_rejected
from tasks.runtime.outcome import SetAside
from tasks.runtime.settings import operators_rejections
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.identifiers import N_CCD, N_QUADRANT, CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ccd_of, ccdid_of, exposure_of, quadrant_of
from ztf_in2p3.recipes import QuadrantRecipe
from ztf_in2p3.store import Store

ByQuadrant = dict[int, Built]
"""Products by qid."""


@dataclass(frozen=True, slots=True)
class CcdJob:
    """A raw frame with what detrends it and what is measured on it."""

    ccd: CcdExposure
    raw: Built
    headers: ByQuadrant
    masks: ByQuadrant
    calibration: Calibration
    stars: list[Built] = field(default_factory=list)

    @property
    def placed(self) -> ByQuadrant:
        """Products whose headers say where on the sky the quadrants are."""
        return self.headers

    @property
    def inputs(self) -> list[Built]:
        """Inputs of the detrended image; the stars come on top for a catalogue."""
        return [self.raw, *self.headers.values(), *self.masks.values(), *self.calibration.inputs]


@dataclass(frozen=True, slots=True)
class ScienceJob:
    """The archive's own science images of a CCD exposure."""

    ccd: CcdExposure
    images: ByQuadrant
    masks: ByQuadrant
    stars: list[Built] = field(default_factory=list)

    @property
    def placed(self) -> ByQuadrant:
        """Products whose headers say where on the sky the quadrants are."""
        return self.images

    @property
    def inputs(self) -> list[Built]:
        """Images and masks."""
        return [*self.images.values(), *self.masks.values()]


Job = TypeVar("Job", CcdJob, ScienceJob)


def ccd_jobs(
    store: Store, period: Period, recipe: QuadrantRecipe, **which: Any
) -> tuple[dict[Exposure, list[CcdJob]], list[SetAside]]:
    """Exposures of a period that can be detrended, and what cannot, with the reason.

    ``which``: filters, ccdids, fields and exposures, as for `tasks.inputs.selection.frames`.
    """
    calibrations = calibrations_of(store, recipe)
    files = frames(store, Kind.HEADER, period, **which)
    headers, aside = placed(files)
    known = by_quadrant(files)
    masks = by_quadrant(frames(store, Kind.MASK, period, **which))
    ready: dict[Exposure, list[CcdJob]] = defaultdict(list)
    choose = chosen_once(calibrations)
    raws, rejected = without_rejected(frames(store, Kind.RAW, period, **which), operators_rejections())
    aside += rejected
    for raw in raws:
        ccd = ccd_of(raw.ref)
        try:
            if ccd not in headers:
                raise BadData(
                    f"{ccd}: no science header with a WCS for any of its quadrants; "
                    "run the flow download again, or leave the exposure out"
                )
            job = CcdJob(ccd, raw, headers[ccd], masks.get(ccd, {}), choose(ccd))
        except (BadData, MissingProduct) as error:
            aside.append(SetAside.because(str(ccd), error))
        else:
            ready[ccd.exposure].append(job)
            aside += without_header(ccd, known[ccd])
    return dict(ready), aside


def chosen_once(calibrations: Calibrations) -> Callable[[CcdExposure], Calibration]:
    """`Calibrations.of`, which looks at all periods, asked once for all exposures of a night, filter and CCD."""
    chosen: dict[tuple[date, Filter, int], Calibration] = {}

    def choose(ccd: CcdExposure) -> Calibration:
        key = ccd.exposure.night, ccd.exposure.filter, ccd.ccdid
        if key not in chosen:
            chosen[key] = calibrations.of(ccd)
        return chosen[key]

    return choose


def without_header(ccd: CcdExposure, headers: ByQuadrant) -> list[SetAside]:
    """The quadrants of a CCD exposure that are not reduced, since the store knows nothing of their astrometry."""
    reason = "MissingProduct: no science header of it in the store, so it is not reduced; run the flow download again"
    return [SetAside(f"{ccd}_q{qid}", reason) for qid in range(1, N_QUADRANT + 1) if qid not in headers]


def expected_in(store: Store, period: Period, **which: Any) -> set[CcdExposure]:
    """CCD exposures of the sky that should have a catalogue, whatever of their files is in the store.

    Every exposure counts of which the store has any file: with each CCD that was asked for by number, else with each of
    which the store has any frame of the period.
    """
    ccdids, listed = set(which.get("ccdids") or ()), which.get("exposures")
    selection = {name: values for name, values in which.items() if name != "ccdids"}
    files = [
        built
        for kind in (Kind.RAW, Kind.HEADER, Kind.MASK)
        for built in frames(store, kind, period, ccdids=ccdids or None, **selection)
    ]
    if not ccdids or len(ccdids) == N_CCD:
        ccdids = {ccdid_of(built.ref) for built in files}
        for image_type in (ImageType.BIAS, ImageType.FLAT):
            ccdids |= {ccdid_of(built.ref) for built in frames(store, Kind.RAW, period, image_type)}
    exposures = {exposure_of(built.ref) for built in files}
    expected = {CcdExposure(exposure, ccdid) for exposure in exposures for ccdid in ccdids}
    return expected if listed is None else {ccd for ccd in expected if ccd in listed}


def science_jobs(store: Store, period: Period, **which: Any) -> tuple[dict[Exposure, list[ScienceJob]], list[SetAside]]:
    """The archive's science images of a period, each with its mask."""
    images, aside = placed(frames(store, Kind.SCIENCE, period, **which))
    masks = by_quadrant(frames(store, Kind.MASK, period, **which))
    ready: dict[Exposure, list[ScienceJob]] = defaultdict(list)
    for ccd, of_ccd in images.items():
        with_mask = {qid: image for qid, image in of_ccd.items() if qid in masks.get(ccd, {})}
        aside += [
            SetAside(image.ref.file_name, "MissingProduct: its mask is not in the store; run the flow download again")
            for qid, image in of_ccd.items()
            if qid not in with_mask
        ]
        if with_mask:
            job = ScienceJob(ccd, with_mask, {qid: masks[ccd][qid] for qid in with_mask})
            ready[ccd.exposure].append(job)
    return dict(ready), aside


def with_stars(
    ready: dict[Exposure, list[Job]], partitions: StarPartitions | None
) -> tuple[dict[Exposure, list[Job]], list[SetAside]]:
    """Jobs, each with the reference stars around it, if there are any to look for."""
    if partitions is None:
        return ready, []
    complete: dict[Exposure, list[Job]] = defaultdict(list)
    aside = []
    for job in (job for jobs in ready.values() for job in jobs):
        try:
            stars = partitions.around(job.placed.values())
        except MissingProduct as error:
            aside.append(SetAside.because(str(job.ccd), error))
        else:
            complete[job.ccd.exposure].append(replace(job, stars=stars))
    return dict(complete), aside


def placed(files: Iterable[Built]) -> tuple[dict[CcdExposure, ByQuadrant], list[SetAside]]:
    """Headers or images by CCD exposure and qid, without those that cannot place a star."""
    seeing: list[Built] = []
    blind: list[Built] = []
    for file in files:
        (seeing if file.about.get("wcs", True) else blind).append(file)
    reason = "BadData: its header has no WCS (astrometry failed at the archive), so no star can be placed on it"
    return by_quadrant(seeing), [SetAside(file.ref.file_name, reason) for file in blind]


def by_quadrant(files: Iterable[Built]) -> dict[CcdExposure, ByQuadrant]:
    """Products by CCD exposure and qid."""
    quadrants: dict[CcdExposure, ByQuadrant] = defaultdict(dict)
    for file in files:
        quadrants[ccd_of(file.ref)][quadrant_of(file.ref).qid] = file
    return dict(quadrants)
