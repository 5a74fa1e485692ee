"""Which exposures have a target on them, where their pixels come from, and why others are left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.io import fits

from tasks.inputs.images import detrend
from tasks.inputs.jobs import CcdJob, ccd_jobs
from tasks.inputs.references import StarPartitions
from tasks.inputs.selection import absent
from tasks.runtime.outcome import SetAside
from ztf_in2p3.astrometry import image_shape
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.directions import unit_vectors
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.hdus import read_header
from ztf_in2p3.identifiers import CcdExposure, Exposure, Quadrant
from ztf_in2p3.image import Image
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    NO_RECIPE,
    Built,
    Kind,
    Value,
    ccd_of,
    exposure_of,
    quadrant_of,
)
from ztf_in2p3.recipes import LightCurveRecipe, PhotometryRecipe, PsfCatalogueRecipe, QuadrantRecipe
from ztf_in2p3.scene.curve_table import Unused
from ztf_in2p3.scene.images import read_image
from ztf_in2p3.scene.inputs import how_far_inside, why_not
from ztf_in2p3.scene.target import Target
from ztf_in2p3.store import Store
from ztf_in2p3.store.reading import opened

Curve = tuple[Target, str]
"""A target in one band."""


@dataclass(frozen=True, slots=True)
class TargetExposure:
    """A quadrant exposure, or an image from elsewhere, that targets are seen on."""

    image: str
    """Name of the image within the data ids of the products made of it."""
    band: str
    about: Built
    """Product that holds the header: the header itself, or the image."""
    source: CcdJob | tuple[Built, ...]
    """Raw frame and masters of this quadrant alone; or an image and its mask, if it has one."""
    targets: tuple[Target, ...] = ()
    stars: tuple[Built, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """Name of the image for people."""
        return self.image.removeprefix("image_").replace("/", " ")

    @property
    def mjd(self) -> float:
        """Date of the exposure as the header has it, MJD (UTC)."""
        return _number(self.about.about, "mjd")

    @property
    def quadrant(self) -> Quadrant | None:
        """Quadrant of the camera; None for an image from elsewhere."""
        return quadrant_of(self.about.ref) if isinstance(self.source, CcdJob) else None

    @property
    def inputs(self) -> list[Built]:
        """Products that the pixels are read from."""
        return self.source.inputs if isinstance(self.source, CcdJob) else list(self.source)

    def read(self, camera: Camera, recipe: PsfCatalogueRecipe, store: Store) -> tuple[Image, fits.Header]:
        """Pixels and header of the image, detrended on the fly where that is still to be done."""
        if isinstance(self.source, CcdJob):
            ((_, image),) = detrend(self.source, camera, recipe.quadrant or QuadrantRecipe(), store).items()
            return image
        with opened(store, self.source) as paths:
            return read_image(paths[0], paths[1] if len(paths) > 1 else None, recipe.bad_bits)


def exposures_of_survey(
    store: Store, targets: Sequence[Target], recipe: LightCurveRecipe, **which: Any
) -> tuple[list[TargetExposure], dict[Curve, list[Unused]]]:
    """Quadrant exposures of the store that have a target on them; and those that do, but are not used.

    ``which``: fields and exposures that may be used, as for `tasks.inputs.selection.frames`.
    """
    near = [
        (header, targets_near)
        for header in store.list(Kind.HEADER, NO_RECIPE)
        if _wanted(header, **which)
        and (
            targets_near := [
                target
                for target in near_targets(header.about, targets)
                if exposure_of(header.ref).filter in target.bands
            ]
        )
    ]
    jobs, aside = _jobs([header for header, _ in near], store, recipe.stars.quadrant or QuadrantRecipe())
    candidates = []
    for header, targets_near in near:
        ccd, qid = ccd_of(header.ref), quadrant_of(header.ref).qid
        job = jobs.get(str(ccd))
        reason = aside.get(str(ccd), "MissingProduct: its raw frame is not in the store; run the flow download")
        target_exposure = (
            _of_quadrant(job, qid) if job else TargetExposure(header.ref.data_id, str(ccd.exposure.filter), header, ())
        )
        candidates.append((target_exposure, tuple(targets_near), "" if job else reason))
    return choose(candidates, store, recipe)


def absent_from_survey(
    store: Store, exposures: ExposureList | None = None, fields: Collection[int] | None = None
) -> tuple[SetAside, ...]:
    """Exposures of a list, if there is one, of which the store has no science header, in those fields."""
    if exposures is None:
        return ()
    headers = [header for header in store.list(Kind.HEADER, NO_RECIPE) if _wanted(header, fields, exposures)]
    return absent(exposures, None, (exposure_of(header.ref) for header in headers), "the store")


def _wanted(header: Built, fields: Collection[int] | None = None, exposures: Collection | None = None) -> bool:
    ccd = ccd_of(header.ref)
    return (fields is None or ccd.exposure.field in fields) and (exposures is None or ccd in exposures)


def exposures_of_period(
    store: Store, period: Period, recipe: PsfCatalogueRecipe, **which: Any
) -> tuple[dict[CcdExposure, list[TargetExposure]], list[SetAside]]:
    """Every quadrant exposure of a period, with the stars around it and no target; and what cannot be measured.

    ``which``: filters, ccdids, fields and exposures, as for `tasks.inputs.selection.frames`.
    """
    ready, aside = ccd_jobs(store, period, recipe.quadrant or QuadrantRecipe(), **which)
    frames, starless = quadrants_of(ready, store, recipe)
    return frames, [*aside, *starless]


def quadrants_of(
    ready: Mapping[Exposure, Sequence[CcdJob]], store: Store, recipe: PsfCatalogueRecipe
) -> tuple[dict[CcdExposure, list[TargetExposure]], list[SetAside]]:
    """Quadrant exposures of CCD exposures, with the stars around each; and those around which there are none."""
    target_exposures = [
        _of_quadrant(job, qid) for jobs in ready.values() for job in jobs for qid in sorted(job.headers)
    ]
    complete, starless = with_reference(target_exposures, store, recipe)
    frames: dict[CcdExposure, list[TargetExposure]] = defaultdict(list)
    for target_exposure in complete:
        frames[ccd_of(target_exposure.about.ref)].append(target_exposure)
    return dict(frames), [SetAside(image, why) for image, why in starless.items()]


def merge_quadrants(target_exposures: Sequence[TargetExposure]) -> CcdJob:
    """Inputs that detrend all these quadrants of one CCD exposure in a single pass."""
    jobs = [
        target_exposure.source for target_exposure in target_exposures if isinstance(target_exposure.source, CcdJob)
    ]
    headers = {qid: product for job in jobs for qid, product in job.headers.items()}
    masks = {qid: product for job in jobs for qid, product in job.masks.items()}
    return replace(jobs[0], headers=headers, masks=masks)


def _of_quadrant(job: CcdJob, qid: int) -> TargetExposure:
    header = job.headers[qid]
    masks = {qid: job.masks[qid]} if qid in job.masks else {}
    filter = str(job.ccd.exposure.filter)
    return TargetExposure(header.ref.data_id, filter, header, replace(job, headers={qid: header}, masks=masks))


def choose(
    candidates: Iterable[tuple[TargetExposure, tuple[Target, ...], str]], store: Store, recipe: LightCurveRecipe
) -> tuple[list[TargetExposure], dict[Curve, list[Unused]]]:
    """Exposures with the targets they serve; a reason for every other target that is on their pixels."""
    target_exposures, unused = [], defaultdict(list)
    for target_exposure, near, missing in candidates:
        served = []
        for target, inside in _inside(target_exposure, near, store, recipe.stars.side):
            reason = why_not(target_exposure.about.about, target_exposure.mjd, target, recipe) or missing
            if inside < recipe.margin:
                reason = reason or f"the target's stamp reaches {recipe.margin - inside:.1f} pixels too far to the edge"
            if reason:
                unused[target, target_exposure.band].append(Unused(target_exposure.image, target_exposure.mjd, reason))
            else:
                served.append(target)
        if served:
            target_exposures.append(replace(target_exposure, targets=tuple(served)))
    return target_exposures, dict(unused)


def _inside(
    target_exposure: TargetExposure, near: Sequence[Target], store: Store, side: int
) -> list[tuple[Target, float]]:
    """Targets on the pixels of an image, and how far their stamps are from its edge (pixels)."""
    if not near:
        return []
    with opened(store, [target_exposure.about]) as (path,):
        header = read_header(path)
    try:
        wcs, shape = wcs_of(header, target_exposure.label), image_shape(header)
    except BadData:
        return [(target, 0.0) for target in near]  # `why_not` tells what is wrong with it
    far = [(target, how_far_inside(wcs, shape or (0, 0), target)) for target in near]
    return [(target, inside - side / 2) for target, inside in far if inside > 0]


def near_targets(about: Mapping[str, Value], targets: Sequence[Target]) -> list[Target]:
    """Targets within the circle around an image; none if nothing tells where and when it is of."""
    if not about.get("wcs", True) or about.get("mjd") is None:
        return []
    centre = unit_vectors(np.array(_number(about, "ra")), np.array(_number(about, "dec")))
    places = unit_vectors(np.array([target.ra for target in targets]), np.array([target.dec for target in targets]))
    chord = np.linalg.norm(places - centre, axis=-1)
    max_chord = 2 * np.sin(np.deg2rad(_number(about, "radius")) / 2)
    return [target for target, distance in zip(targets, chord, strict=True) if distance <= max_chord]


def _number(about: Mapping[str, Value], name: str) -> float:
    return float(about[name] or 0.0)


def _jobs(headers: Collection[Built], store: Store, recipe: QuadrantRecipe) -> tuple[dict[str, CcdJob], dict[str, str]]:
    """Inputs that detrend the CCD exposures of some headers; reasons where they cannot; by the exposure's name."""
    if not headers:
        return {}, {}
    ccds = {ccd_of(header.ref) for header in headers}
    nights = [ccd.exposure.night for ccd in ccds]
    which: dict[str, Any] = {
        "filters": {ccd.exposure.filter for ccd in ccds},
        "ccdids": {ccd.ccdid for ccd in ccds},
    }
    ready, aside = ccd_jobs(store, Period(min(nights), max(nights)), recipe, **which)
    jobs = {str(job.ccd): job for of_exposure in ready.values() for job in of_exposure}
    return jobs, {skipped.what: skipped.reason for skipped in aside}


def with_reference(
    target_exposures: Iterable[TargetExposure], store: Store, recipe: PsfCatalogueRecipe
) -> tuple[list[TargetExposure], dict[str, str]]:
    """Exposures with the partitions of the reference catalogue around them; by image, why there are none."""
    partitions = StarPartitions(store, recipe.reference, PhotometryRecipe())
    complete, missing = [], {}
    for target_exposure in target_exposures:
        try:
            complete.append(replace(target_exposure, stars=tuple(partitions.around([target_exposure.about]))))
        except MissingProduct as error:
            missing[target_exposure.image] = f"MissingProduct: {error}"
    return complete, missing


def leave_out(
    unused: dict[Curve, list[Unused]], target_exposure: TargetExposure, targets: Iterable[Target], reason: str
) -> None:
    """Note why an exposure has no part in the light curves of some targets."""
    for target in targets:
        unused.setdefault((target, target_exposure.band), []).append(
            Unused(target_exposure.image, target_exposure.mjd, reason)
        )
