"""Fringe maps of a period, and what they take out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.calibration import card
from tasks.inputs.images import detrend
from tasks.inputs.jobs import CcdJob, ccd_jobs
from tasks.inputs.selection import grouped, spread
from tasks.pages.drawing import Raws, ccd_sketches
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, ProductRef, Value, ccdid_of, fringe_amplitudes_ref, period_of
from ztf_in2p3.recipes import FringeRecipe
from ztf_in2p3.sensor.fringe import CcdFringes
from ztf_in2p3.sensor.fringe_amplitudes import amplitude_table
from ztf_in2p3.sensor.fringe_cells import Cells, sky_cells
from ztf_in2p3.sensor.fringe_train import train_ccd
from ztf_in2p3.store import Once, Store
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.store.reading import opened

Skies = list[tuple[CcdExposure, Mapping[int, Cells]]]


def fringed_jobs(
    store: Store, period: Period, recipe: FringeRecipe, **which: Any
) -> tuple[dict[int, list[CcdJob]], list[SetAside]]:
    """The exposures of a period that show fringes, CCD by CCD: of many, some spread evenly over the period."""
    ready, aside = ccd_jobs(store, period, recipe.exposures, **which)
    of_ccd: dict[int, list[CcdJob]] = defaultdict(list)
    for job in (job for jobs in ready.values() for job in jobs):
        of_ccd[job.ccd.ccdid].append(job)
    most = recipe.exposures.fringe_fit.exposures
    return {ccdid: spread(jobs, most) for ccdid, jobs in sorted(of_ccd.items())}, aside


@product_task
def make_fringes(
    output: ProductRef, jobs: Sequence[CcdJob], camera: Camera, recipe: FringeRecipe, store: Store
) -> Outcome:
    """Detrend the exposures of one CCD, make its fringe maps, and measure the fringes of each with them."""
    inputs = list(dict.fromkeys(product for job in jobs for product in job.inputs))
    aside: list[SetAside] = []

    def look() -> Skies:
        skies, failed = skies_of(jobs, camera, recipe, store)
        aside.extend(failed)
        return skies

    skies = Once(look)

    def make(path: Path) -> Mapping[str, Value]:
        of_exposures = [cells for _, cells in skies()]
        train_ccd(
            ccdid_of(output), of_exposures, recipe.exposures.fringe_fit, cards=card(output, recipe.version, store)
        ).write(path)
        return {"n_exposures": len(skies()), "n_set_aside": len(aside)}

    fringes = store.build(output, recipe, inputs, make)

    def measure(path: Path) -> None:
        with opened(store, [fringes]) as (maps_path,):
            maps = CcdFringes.read(maps_path, camera)
        write_table(path, amplitude_table(skies(), maps, recipe.exposures.fringe_fit))

    of = fringe_amplitudes_ref(recipe, period_of(output), ccdid_of(output))
    return Outcome([fringes, store.build(of, recipe, [fringes, *inputs], measure)], aside)


def draw_fringes(
    maps: Outcome, jobs: Mapping[int, Sequence[CcdJob]], camera: Camera, recipe: FringeRecipe, store: Store
) -> Outcome:
    """One exposure of each CCD before and after, the map's components, and all exposures' amplitudes; `jobs` by CCD."""
    by_ccd = grouped(maps.of(Kind.FRINGE, Kind.SUMMARY), ccdid_of)
    return collect(
        sketch.launch(recipe, store, camera)
        for (ccdid,), products in by_ccd.items()
        for sketch in ccd_sketches(products, recipe, Raws(jobs[ccdid], recipe.exposures))
    )


def skies_of(
    jobs: Sequence[CcdJob], camera: Camera, recipe: FringeRecipe, store: Store
) -> tuple[Skies, list[SetAside]]:
    """Cells of each CCD exposure, detrended with its fringes; exposures that cannot be are set aside."""
    skies: Skies = []
    aside = []
    for job in jobs:
        try:
            skies.append((job.ccd, _sky_of(job, camera, recipe, store)))
        except BadData as error:
            aside.append(SetAside.because(str(job.ccd), error))
    return skies, aside


def _sky_of(job: CcdJob, camera: Camera, recipe: FringeRecipe, store: Store) -> Mapping[int, Cells]:
    """Cells of a CCD exposure by qid.  The images are gone when the next exposure is detrended."""
    images = detrend(job, camera, recipe.exposures, store)
    return {qid: sky_cells(image, recipe.exposures.fringe_fit.cell) for qid, (image, _) in images.items()}
