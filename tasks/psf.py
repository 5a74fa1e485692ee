"""From exposures to their PSFs: stars measured with them, targets cut out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.io import fits

from tasks.inputs.targets import Sight, whole
from tasks.reduction import PROPER_MOTION_ARCSEC, Images, Reasons, detrend
from tasks.runtime.outcome import Outcome, SetAside, total
from tasks.runtime.policies import product_task
from tasks.runtime.reading import as_input, opened
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.reference import stars_around
from ztf_in2p3.catalogue.star_table import pixels_touched
from ztf_in2p3.catalogue.stars import Stars, cone, reference_stars, wcs_of
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.image import Image
from ztf_in2p3.products import Built, Value, exposure_of, psf_catalogue_ref, psf_ref, quadrant_of, stamp_ref
from ztf_in2p3.recipes import PsfCatalogueRecipe, QuadrantRecipe
from ztf_in2p3.scene.catalogue import MeasuredStars, Origin, measure_exposure, psf_catalogue, psf_table, stamp_table
from ztf_in2p3.scene.inputs import Exposure, matrix_at, stamp_of
from ztf_in2p3.scene.target import Target
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table


@product_task
def measure_stamps(target: Sight, camera: Camera, recipe: PsfCatalogueRecipe, store: Store) -> Outcome:
    """PSF of an exposure, its stars measured with it, and its targets cut out; read only if one of them is missing."""
    return _measure(_Look(target, camera, recipe, store, lambda: target.read(camera, recipe.quadrant, store)))


@product_task
def measure_quadrants(
    target: CcdExposure, sights: Sequence[Sight], camera: Camera, recipe: PsfCatalogueRecipe, store: Store
) -> Outcome:
    """The same of the quadrants of a CCD exposure, whose frame is then read once; a bad quadrant is set aside."""
    detrended: Images = {}
    failed: Reasons = {}

    def read(sight: Sight) -> tuple[Image, fits.Header]:
        if not detrended and not failed:
            detrended.update(detrend(whole(sights), camera, recipe.quadrant or QuadrantRecipe(), store, failed))
        qid = quadrant_of(sight.about.ref).qid
        if qid not in detrended:
            raise BadData(failed[qid])
        return detrended[qid]

    def measure(sight: Sight) -> Outcome:
        try:
            return _measure(_Look(sight, camera, recipe, store, lambda: read(sight)))
        except (BadData, MissingProduct) as error:
            return Outcome(set_aside=[SetAside.because(sight.label, error)])

    return total(map(measure, sights))


def _measure(look: _Look) -> Outcome:
    target, recipe, store = look.sight, look.recipe, look.store
    inputs = [*target.inputs, *target.stars]

    def write_psf(spool: Path) -> Mapping[str, Value]:
        table = psf_table(look.measured, look.exposure.mjd)
        write_table(spool, table)
        return {"n_star": table["n_star"][0].as_py(), "fwhm": round(table["fwhm"][0].as_py(), 4)}

    def write_catalogue(spool: Path) -> Mapping[str, Value]:
        table = look.catalogue()
        write_table(spool, table, {"image": target.image, "band": target.band})
        return {"n_stars": table.num_rows, "pixels": pixels_touched(table["star_id"])}

    def cut_out(one: Target) -> Built:
        ref = stamp_ref(recipe, target.image, one.name)
        place = as_input(ref, [one.ra, one.dec])

        def write_stamp(spool: Path) -> None:
            write_table(spool, stamp_table(stamp_of(look.exposure, one, recipe.side)))

        return store.build(ref, recipe, [*target.inputs, place], write_stamp)

    return Outcome(
        [
            store.build(psf_ref(recipe, target.image), recipe, inputs, write_psf),
            store.build(psf_catalogue_ref(recipe, target.image), recipe, inputs, write_catalogue),
            *map(cut_out, target.targets),
        ]
    )


class _Look:
    """What is read and measured of an exposure, once, and only if it is asked for."""

    def __init__(
        self, sight: Sight, camera: Camera, recipe: PsfCatalogueRecipe, store: Store,
        read: Callable[[], tuple[Image, fits.Header]],
    ) -> None:  # fmt: skip
        self.sight, self.camera, self.recipe, self.store, self._read = sight, camera, recipe, store, read

    @cached_property
    def exposure(self) -> Exposure:
        image, header = self._read()
        return Exposure.of(image, header, wcs_of(header, self.sight.label), self.sight.label)

    @cached_property
    def measured(self) -> MeasuredStars:
        exposure = self.exposure
        rows, columns = exposure.image.data.shape
        ra, dec = (float(w) for w in exposure.wcs.all_pix2world((columns - 1) / 2, (rows - 1) / 2, 0))
        scale = float(abs(np.linalg.det(matrix_at(exposure.wcs, ra, dec))) ** -0.5)
        return measure_exposure(exposure, self._stars_around(scale), scale, self.recipe)

    def _stars_around(self, scale: float) -> Stars:
        exposure, recipe, shape = self.exposure, self.recipe, self.exposure.image.data.shape
        beyond = PROPER_MOTION_ARCSEC + recipe.isolation_arcsec + recipe.side * scale
        around = cone([exposure.wcs], shape, beyond_arcsec=beyond)
        with opened(self.store, self.sight.stars) as paths:
            table = stars_around(map(read_table, paths), *around)
        years = 2000.0 + (exposure.mjd - 51544.5) / 365.25 - recipe.reference.epoch
        return reference_stars(
            table, exposure.wcs, shape, years=years, isolation_arcsec=recipe.isolation_arcsec,
            margin=recipe.isolation_arcsec / scale,
        )  # fmt: skip

    def catalogue(self) -> pa.Table:
        sight = self.sight
        opening = exposure_of(sight.about.ref) if sight.quadrant else None
        origin = Origin(sight.band, opening, sight.quadrant, self.camera if sight.quadrant else None)
        measured, about = self.measured, sight.about.about
        return psf_catalogue(
            measured, self.exposure, origin, exptime=float(about.get("exptime") or 0.0),
            seeing=float(about.get("seeing") or "nan"), infobits=int(about.get("infobits") or 0),
        )  # fmt: skip
