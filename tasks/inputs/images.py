"""Detrended images of a CCD exposure, from its job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from astropy.io import fits

from tasks.inputs.calibrations import read_pockets
from tasks.inputs.jobs import CcdJob
from tasks.runtime.settings import decoded_masters
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.science_image import read_mask
from ztf_in2p3.detrend.focal_plane import level_for, n_ccd_of
from ztf_in2p3.detrend.quadrant import detrend_quadrants as detrend_one_by_one
from ztf_in2p3.errors import BadData
from ztf_in2p3.hdus import read_header, read_primary
from ztf_in2p3.identifiers import N_CCD
from ztf_in2p3.image import Image
from ztf_in2p3.recipes import (
    QuadrantRecipe,
)
from ztf_in2p3.sensor.fringe import CcdFringes
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import opened, opened_file

Input = TypeVar("Input")
Output = TypeVar("Output")
Reasons = dict[int, str]
"""Why a quadrant cannot be used, by qid."""
Images = dict[int, tuple[Image, fits.Header]]
"""Image and header by qid."""


@dataclass(frozen=True, slots=True)
class Detrended:
    """Quadrants of a CCD exposure that could be detrended, and why the others could not."""

    images: Images
    failed: Reasons

    def quadrant(self, qid: int) -> tuple[Image, fits.Header]:
        """Image and header of a quadrant; BadData if it cannot be used."""
        if qid not in self.images:
            raise BadData(self.failed[qid])
        return self.images[qid]


PROPER_MOTION_ARCSEC = 120.0
"""Distance beyond which no star can come into the picture: the fastest known, 10.4" a year, over a decade."""


def each_quadrant(inputs: Mapping[int, Input], make: Callable[[Input], Output], failed: Reasons) -> dict[int, Output]:
    """What is made of each quadrant, by qid; the reason of those that cannot be used goes to `failed`."""
    outputs: dict[int, Output] = {}
    for qid, value in inputs.items():
        try:
            outputs[qid] = make(value)
        except BadData as error:
            failed[qid] = str(error)
    return outputs


def detrend(job: CcdJob, camera: Camera, recipe: QuadrantRecipe, store: Store, failed: Reasons | None = None) -> Images:
    """Image and header of the quadrants of a CCD exposure that can be used, by qid.

    Parameters
    ----------
    failed
        Gets the reason of each quadrant that cannot.

    Raises
    ------
    BadData
        None of them can.
    """
    detrended = detrend_quadrants(job, camera, recipe, store)
    if failed is not None:
        failed.update(detrended.failed)
    if not detrended.images:
        raise BadData(no_quadrant(detrended.failed))
    return detrended.images


def detrend_quadrants(job: CcdJob, camera: Camera, recipe: QuadrantRecipe, store: Store) -> Detrended:
    """The quadrants of a CCD exposure, all in a single pass."""
    with detrending(job, camera, recipe, store) as stream:
        images = {qid: (image, header) for qid, image, header in stream.quadrants}
    return Detrended(images, stream.failed)


@dataclass(frozen=True, slots=True, eq=False)
class QuadrantStream:
    """Quadrants of a CCD exposure that are detrended when they are taken: one is in memory, not four."""

    headers: Mapping[int, fits.Header]
    """The archive's, by qid, of those that will be tried."""
    quadrants: Iterator[tuple[int, Image, fits.Header]]
    failed: Reasons
    """Grows while they are taken."""


@contextmanager
def detrending(job: CcdJob, camera: Camera, recipe: QuadrantRecipe, store: Store) -> Iterator[QuadrantStream]:
    """The quadrants of a CCD exposure, to be taken within the context."""
    chosen = job.calibration
    masters, pockets = decoded_masters(), read_pockets(store, chosen.pocket)
    reasons: Reasons = {}
    with (
        opened(store, [job.raw]) as (raw,),
        opened(store, [chosen.focal_plane]) as (levels,),
        opened(store, chosen.fringe_maps) as fringes,
        masters.master(chosen.bias.built.sha256, partial(opened_file, store, chosen.bias.built), camera) as bias,
        masters.master(chosen.flat.built.sha256, partial(opened_file, store, chosen.flat.built), camera) as flat,
        opened(store, job.headers.values()) as header_paths,
        opened(store, job.masks.values()) as mask_paths,
    ):
        reasons.update({qid: reason for qid, reason in chosen.unfit.items() if qid in job.headers})
        headers = each_quadrant(dict(zip(job.headers, header_paths, strict=True)), read_header, reasons)
        masks = each_quadrant(dict(zip(job.masks, mask_paths, strict=True)), read_mask, reasons)
        level_table = read_table(levels)
        usable = {qid: header for qid, header in headers.items() if qid not in reasons}
        quadrants = detrend_one_by_one(
            raw,
            bias,
            flat,
            level_for(level_table, job.ccd.ccdid),
            usable,
            masks,
            camera,
            recipe,
            bad_pixels=[masters.masks(map_.sha256, partial(opened_file, store, map_), camera) for map_ in chosen.maps],
            fringes=next((CcdFringes.read(path, camera) for path in fringes), None),
            pockets=pockets,
            cards=chosen.cards(job.ccd.exposure.night)
            | {"N_CCD": (n_ccd_of(level_table), f"of {N_CCD} CCDs: their flats set FLTNORM_FP")}
            | (pockets.cards(read_primary(raw)) if pockets else {}),
            failed=reasons,
        )
        yield QuadrantStream(usable, quadrants, reasons)


def no_quadrant(failed: Reasons) -> str:
    """Why nothing of a CCD exposure can be used."""
    return "no quadrant can be used: " + "; ".join(f"q{qid}: {reason}" for qid, reason in sorted(failed.items()))
