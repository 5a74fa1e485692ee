"""PSFs of exposures: stars measured with them, targets cut out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits

from tasks.archive import fetch_stars_around, open_reference
from tasks.inputs.image_folder import exposures_of_images, import_images
from tasks.inputs.images import PROPER_MOTION_ARCSEC, detrend_quadrants
from tasks.inputs.references import circle_around
from tasks.inputs.selection import grouped, spread
from tasks.inputs.targets import (
    Curve,
    TargetExposure,
    exposures_of_survey,
    leave_out,
    merge_quadrants,
    with_reference,
)
from tasks.pages.drawing import FigurePage, draw_pages, sketches
from tasks.runtime.outcome import Outcome, SetAside, outcome_of, total
from tasks.runtime.policies import collect, launch, product_task
from tasks.runtime.progress import shown
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.reference import stars_around
from ztf_in2p3.catalogue.star_table import pixels_touched
from ztf_in2p3.catalogue.stars import Stars, cone, reference_stars, wcs_of
from ztf_in2p3.directions import julian_epoch
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.image import Image
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Kind,
    Value,
    exposure_of,
    filter_of,
    psf_catalogue_ref,
    psf_figure_ref,
    psf_ref,
    quadrant_of,
    stamp_ref,
)
from ztf_in2p3.recipes import LightCurveRecipe, PhotometryRecipe, PsfCatalogueRecipe, PsfReportRecipe, QuadrantRecipe
from ztf_in2p3.scene.catalogue import MeasuredStars, Origin, measure_exposure, psf_catalogue, psf_table, stamp_table
from ztf_in2p3.scene.curve_table import Unused
from ztf_in2p3.scene.inputs import ExposureImage, matrix_at, stamp_of
from ztf_in2p3.scene.target import Target
from ztf_in2p3.store import JointProduct, Once, Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import as_input, opened


@product_task
def measure_stamps(
    target_exposure: TargetExposure, camera: Camera, recipe: PsfCatalogueRecipe, store: Store
) -> Outcome:
    """PSF of an exposure, its stars measured with it, and its targets cut out; read only if one of them is missing."""
    return _measure(
        _Measurement(target_exposure, camera, recipe, store, lambda: target_exposure.read(camera, recipe, store))
    )


@product_task
def measure_quadrants(
    ccd: CcdExposure,
    target_exposures: Sequence[TargetExposure],
    camera: Camera,
    recipe: PsfCatalogueRecipe,
    store: Store,
) -> Outcome:
    """PSF, stars and target stamps of each quadrant of a CCD exposure, read once; a bad quadrant is set aside."""
    detrended = Once(
        lambda: detrend_quadrants(merge_quadrants(target_exposures), camera, recipe.quadrant or QuadrantRecipe(), store)
    )

    def measure(target_exposure: TargetExposure) -> Outcome:
        qid = quadrant_of(target_exposure.about.ref).qid
        return _measure(_Measurement(target_exposure, camera, recipe, store, lambda: detrended().quadrant(qid)))

    return total(map(measure, target_exposures))


def measure_quadrant(
    target_exposure: TargetExposure,
    image: tuple[Image, fits.Header],
    camera: Camera,
    recipe: PsfCatalogueRecipe,
    store: Store,
) -> Outcome:
    """PSF, stars and target stamps of a quadrant whose detrended image is at hand; only what is missing is made."""
    return _measure(_Measurement(target_exposure, camera, recipe, store, lambda: image))


def _measure(measurement: _Measurement) -> Outcome:
    target_exposure, recipe, store = measurement.target_exposure, measurement.recipe, measurement.store
    inputs = [*target_exposure.inputs, *target_exposure.stars]

    def write_psf(path: Path, measurement: _Measurement) -> Mapping[str, Value]:
        table = psf_table(measurement.measured(), measurement.exposure().mjd)
        write_table(path, table)
        return {"n_star": table["n_star"][0].as_py(), "fwhm": round(table["fwhm"][0].as_py(), 4)}

    def write_catalogue(path: Path, measurement: _Measurement) -> Mapping[str, Value]:
        table = measurement.catalogue()
        write_table(path, table, {"image": target_exposure.image, "band": target_exposure.band})
        return {"n_stars": table.num_rows, "pixels": pixels_touched(table["star_id"])}

    def stamp_at(target: Target) -> JointProduct[_Measurement]:
        ref = stamp_ref(recipe, target_exposure.image, target.name)
        place = as_input(ref, [target.ra, target.dec])

        def write_stamp(path: Path, measurement: _Measurement) -> None:
            write_table(path, stamp_table(stamp_of(measurement.exposure(), target, recipe.side)))

        return JointProduct(ref, write_stamp, [*target_exposure.inputs, place])

    products = [
        JointProduct(psf_ref(recipe, target_exposure.image), write_psf),
        JointProduct(psf_catalogue_ref(recipe, target_exposure.image), write_catalogue),
        *map(stamp_at, target_exposure.targets),
    ]
    label = target_exposure.label
    return outcome_of(store.build_all(products, recipe, inputs, lambda: measurement), label, lambda ref: label)


class _Measurement:
    """An exposure and the stars measured on it, each worked out once, and only if a product needs it."""

    def __init__(
        self,
        target_exposure: TargetExposure,
        camera: Camera,
        recipe: PsfCatalogueRecipe,
        store: Store,
        read: Callable[[], tuple[Image, fits.Header]],
    ) -> None:
        self.target_exposure, self.camera, self.recipe, self.store = target_exposure, camera, recipe, store
        self._read = read
        self.exposure, self.measured = Once(self._exposure), Once(self._measured)

    def _exposure(self) -> ExposureImage:
        image, header = self._read()
        return ExposureImage.of(image, header, wcs_of(header, self.target_exposure.label), self.target_exposure.label)

    def _measured(self) -> MeasuredStars:
        exposure = self.exposure()
        rows, columns = exposure.image.data.shape
        ra, dec = (float(w) for w in exposure.wcs.all_pix2world((columns - 1) / 2, (rows - 1) / 2, 0))
        scale = float(abs(np.linalg.det(matrix_at(exposure.wcs, ra, dec))) ** -0.5)
        return measure_exposure(exposure, self._stars_around(scale), scale, self.recipe)

    def _stars_around(self, scale: float) -> Stars:
        exposure, recipe = self.exposure(), self.recipe
        shape = exposure.image.data.shape
        beyond = PROPER_MOTION_ARCSEC + recipe.isolation_arcsec + recipe.side * scale
        around = cone([exposure.wcs], shape, beyond_arcsec=beyond)
        with opened(self.store, self.target_exposure.stars) as paths:
            table = stars_around(map(read_table, paths), *around)
        years = julian_epoch(exposure.mjd) - recipe.reference.epoch
        return reference_stars(
            table,
            exposure.wcs,
            shape,
            years=years,
            isolation_arcsec=recipe.isolation_arcsec,
            margin=recipe.isolation_arcsec / scale,
        )

    def catalogue(self) -> pa.Table:
        target_exposure = self.target_exposure
        exposure = exposure_of(target_exposure.about.ref) if target_exposure.quadrant else None
        origin = Origin(
            target_exposure.band, exposure, target_exposure.quadrant, self.camera if target_exposure.quadrant else None
        )
        measured, about = self.measured(), target_exposure.about.about
        return psf_catalogue(
            measured,
            self.exposure(),
            origin,
            exptime=float(about.get("exptime") or 0.0),
            seeing=float(about.get("seeing") or "nan"),
            infobits=int(about.get("infobits") or 0),
        )


def target_exposures_of(
    store: Store,
    targets: Sequence[Target],
    recipe: LightCurveRecipe,
    images: str | None,
    reference: str | None,
    **which: Any,
) -> tuple[list[TargetExposure], dict[Curve, list[Unused]], Outcome]:
    """Exposures of the targets with the stars around them, those that are left out, and what was brought for them."""
    brought = Outcome()
    catalogue = open_reference(reference, recipe.stars.reference) if reference else None
    if images is None:
        target_exposures, unused = exposures_of_survey(store, targets, recipe, **which)
    else:
        brought = import_images(Path(images), targets, store)
        target_exposures, unused = exposures_of_images(
            brought.of(Kind.IMAGE), brought.of(Kind.IMAGE_MASK), store, targets, recipe
        )
    places = [circle_around([target_exposure.about], PhotometryRecipe()) for target_exposure in target_exposures]
    brought += fetch_stars_around(places, catalogue, recipe.stars.reference, store)
    ready, starless = with_reference(target_exposures, store, recipe.stars)
    for target_exposure in target_exposures:
        if target_exposure.image in starless:
            leave_out(unused, target_exposure, target_exposure.targets, starless[target_exposure.image])
    return ready, unused, brought + Outcome(set_aside=[SetAside(image, why) for image, why in starless.items()])


def measure_all(
    target_exposures: Sequence[TargetExposure], camera: Camera, recipe: PsfCatalogueRecipe, store: Store
) -> Outcome:
    """PSF, stars and stamps of all exposures; a bar and an artifact show how far it has come."""
    under_way = [
        launch(measure_stamps, target_exposure, camera=camera, recipe=recipe, store=store)
        for target_exposure in target_exposures
    ]
    return collect(shown("scene", under_way))


def measure_frames(
    frames: Mapping[CcdExposure, Sequence[TargetExposure]], camera: Camera, recipe: PsfCatalogueRecipe, store: Store
) -> Outcome:
    """PSFs and stars of CCD exposures; the same."""
    how: dict[str, Any] = {"camera": camera, "recipe": recipe, "store": store}
    return collect(
        shown(
            "psf", [launch(measure_quadrants, ccd, target_exposures, **how) for ccd, target_exposures in frames.items()]
        )
    )


def draw_psfs(measured: Outcome, period: Period, recipe: PsfCatalogueRecipe, store: Store) -> Outcome:
    """Draw the PSFs of each filter, each with its catalogue; an artifact shows them."""
    of_report = PsfReportRecipe(recipe)
    catalogues = {catalogue.ref.data_id: catalogue for catalogue in measured.of(Kind.PSF_CATALOGUE)}
    pages = []
    for (filter,), psfs in grouped(measured.of(Kind.PSF), filter_of).items():
        pairs = [(psf, catalogues[psf.ref.data_id]) for psf in psfs if psf.ref.data_id in catalogues]
        products = [product for pair in spread(pairs, of_report.most) for product in pair]
        figures = sketches("psf", products, partial(psf_figure_ref, of_report, period, filter))
        pages.append(FigurePage(f"psf-{filter}", f"PSF of {filter}, {period}", figures))
    return draw_pages(pages, of_report, store)
