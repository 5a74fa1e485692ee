"""The pictures of a night, each drawn by a worker from the products it shows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.inputs.jobs import CcdJob
from tasks.reduction import detrend
from tasks.runtime.policies import product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.masters import CcdMaster
from ztf_in2p3.figures import pictures
from ztf_in2p3.figures.night_growth import ccd_growth, exposure_growth
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.simulated import growth_truth
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Built, ProductRef, Value, ccdid_of, exposure_of, filter_of, period_of
from ztf_in2p3.recipes import CatalogueRecipe, ReportRecipe
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table

Draw = Callable[[Store, Sequence[Built], Camera, Truth | None], Picture]
"""One of the functions below, or what functools.partial makes of one; pickled by name."""

Planes = Mapping[int, Any]


@product_task
def draw_figure(
    output: ProductRef,
    inputs: Sequence[Built],
    draw: Draw,
    camera: Camera,
    recipe: ReportRecipe,
    store: Store,
    truth: str | None,
) -> Built:
    """Draw one picture; its words are kept in the manifest, for the page."""

    def make(path: Path) -> Mapping[str, Value]:
        picture = draw(store, inputs, camera, Truth.load(Path(truth)) if truth else None)
        path.write_bytes(picture.png)
        return {"title": picture.title, "caption": picture.caption}

    return store.build(output, recipe, inputs, make)


def bias(store: Store, biases: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Master biases of the camera."""
    ccdids = [ccdid_of(built.ref) for built in biases]
    true = None if truth is None else ((ccdid, _quadrants(truth.bias, ccdid)) for ccdid in ccdids)
    period = str(period_of(biases[0].ref))
    return pictures.bias_picture(camera, _masters(store, biases, camera), period=period, truth=true)


def flat(store: Store, flats: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Master flats of the camera in one filter."""
    filter, period = filter_of(flats[0].ref), str(period_of(flats[0].ref))
    ccdids = [ccdid_of(built.ref) for built in flats]
    true = (
        None
        if truth is None
        else ((ccdid, _quadrants(functools.partial(truth.flat, filter), ccdid)) for ccdid in ccdids)
    )
    return pictures.flat_picture(camera, _masters(store, flats, camera), filter=str(filter), period=period, truth=true)


def quadrant(
    store: Store,
    inputs: Sequence[Built],
    camera: Camera,
    truth: Truth | None,
    *,
    job: CcdJob,
    recipe: CatalogueRecipe,
) -> Picture:
    """The first quadrant of a CCD exposure, whose catalogue is the last input."""
    detrended = detrend(job, camera, recipe.quadrant, store)
    qid, (image, _) = next(iter(detrended.items()))
    with store.open(inputs[-1]) as path:
        stars = read_table(path)
    return pictures.quadrant_picture(
        image,
        stars.filter(pc.equal(stars["qid"], qid)),
        None if truth is None else truth.detrended(job.ccd, qid),
        name=f"{job.ccd}_q{qid}",
    )


def night(store: Store, inputs: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Numbers of a night, exposure by exposure."""
    return pictures.night_picture(camera, _table(store, inputs))


def background(store: Store, inputs: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Background of the quadrants over the focal plane."""
    return pictures.background_picture(camera, _table(store, inputs))


def stars(store: Store, inputs: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Stars of the quadrants over the focal plane."""
    return pictures.stars_picture(camera, _table(store, inputs))


def residuals(store: Store, inputs: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Measured against true fluxes of simulated stars."""
    return pictures.residual_picture(_table(store, inputs))


def residual_map(store: Store, inputs: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Measured against true fluxes of simulated stars over the focal plane."""
    return pictures.residual_map_picture(camera, _table(store, inputs))


def growth(store: Store, catalogues: Sequence[Built], camera: Camera, truth: Truth | None) -> Picture:
    """Growth curves of the exposures of a night."""
    curves = exposure_growth(ccd_growth(_table(store, [built])) for built in catalogues)
    exposures = {int(exposure.filefracday): exposure for exposure in (exposure_of(built.ref) for built in catalogues)}
    true = None
    if truth is not None:
        true = {
            curve.exposure: (radii, growth_truth(truth, exposures[curve.exposure], radii))
            for curve in curves
            for radii in [curve.curve.diameter / 2]
        }
    return pictures.growth_picture(curves, camera, true)


# --- small parts


def _masters(store: Store, masters: Sequence[Built], camera: Camera) -> Iterator[tuple[int, Planes]]:
    """One CCD at a time."""
    for master in masters:
        with store.open(master) as path:
            yield ccdid_of(master.ref), CcdMaster.read(path, camera).data


def _quadrants(plane: Callable[[int, int], Any], ccdid: int) -> Planes:
    return {qid: plane(ccdid, qid) for qid in range(1, N_QUADRANT + 1)}


def _table(store: Store, inputs: Sequence[Built]) -> pa.Table:
    with store.open(inputs[0]) as path:
        return read_table(path)
