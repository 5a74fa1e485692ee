"""From exposures of a target to its light curve: PSFs and stamps, exposure by exposure; then one fit of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from lib.camera import Camera
from lib.catalogue.reference import stars_within
from lib.catalogue.star_table import pixels_touched
from lib.catalogue.starflat import StarflatMap
from lib.catalogue.stars import Stars, cone, reference_stars, wcs_of
from lib.products import (
    NO_RECIPE,
    Built,
    Kind,
    ProductRef,
    Value,
    curve_stars_ref,
    exposure_of,
    psf_catalogue_ref,
    psf_ref,
    scene_ref,
    stamp_ref,
)
from lib.recipes import LightCurveRecipe, PsfCatalogueRecipe
from lib.scene.catalogue import (
    MeasuredStars,
    Origin,
    measure_exposure,
    psf_catalogue,
    psf_of,
    psf_table,
    stamp_of_table,
    stamp_table,
)
from lib.scene.curve import Assembled, Measured, SurveyStars, assemble, star_repeatability
from lib.scene.curve_table import Unused, light_curve_table, scene_planes, summary_of
from lib.scene.fit import fit_scene
from lib.scene.inputs import Exposure, matrix_at, stamp_of
from lib.scene.model import SceneFit
from lib.scene.target import Target
from lib.store import Store
from lib.store.fits import write_fits
from lib.store.parquet import read_table, write_table
from tasks.outcome import Outcome
from tasks.policies import product_task
from tasks.reading import opened
from tasks.reduction import PROPER_MOTION_ARCSEC
from tasks.scene_jobs import Sight


@product_task
def measure_stamps(target: Sight, camera: Camera, recipe: PsfCatalogueRecipe, store: Store) -> Outcome:
    """PSF of an exposure, its stars measured with it, and its targets cut out; read only if one of them is missing."""
    look = _Look(target, camera, recipe, store)
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
        made = lambda spool: write_table(spool, stamp_table(stamp_of(look.exposure, one, recipe.side)))  # noqa: E731
        return store.build(ref, recipe, [*target.inputs, place], made)

    return Outcome(
        [
            store.build(psf_ref(recipe, target.image), recipe, inputs, write_psf),
            store.build(psf_catalogue_ref(recipe, target.image), recipe, inputs, write_catalogue),
            *map(cut_out, target.targets),
        ]
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one exposure what its part in a light curve needs."""

    psf: Built
    catalogue: Built
    stamp: Built
    starflat: Built | None = None

    @property
    def inputs(self) -> list[Built]:
        return [one for one in (self.psf, self.catalogue, self.stamp, self.starflat) if one is not None]


class _Look:
    """What is read and measured of an exposure, once, and only if it is asked for."""

    def __init__(self, sight: Sight, camera: Camera, recipe: PsfCatalogueRecipe, store: Store) -> None:
        self.sight, self.camera, self.recipe, self.store = sight, camera, recipe, store

    @cached_property
    def exposure(self) -> Exposure:
        image, self.header = self.sight.read(self.camera, self.recipe.quadrant, self.store)
        return Exposure.of(image, self.header, wcs_of(self.header, self.sight.label), self.sight.label)

    @cached_property
    def measured(self) -> MeasuredStars:
        exposure = self.exposure
        rows, columns = exposure.image.data.shape
        ra, dec = (float(w) for w in exposure.wcs.all_pix2world((columns - 1) / 2, (rows - 1) / 2, 0))
        scale = float(abs(_determinant(matrix_at(exposure.wcs, ra, dec))) ** -0.5)
        return measure_exposure(exposure, self._stars_around(scale), scale, self.recipe)

    def _stars_around(self, scale: float) -> Stars:
        exposure, recipe, shape = self.exposure, self.recipe, self.exposure.image.data.shape
        beyond = PROPER_MOTION_ARCSEC + recipe.isolation_arcsec + recipe.side * scale
        around = cone([exposure.wcs], shape, beyond_arcsec=beyond)
        with opened(self.store, self.sight.stars) as paths:
            table = pa.concat_tables(stars_within(read_table(path), *around) for path in paths)
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


@product_task
def fit_light_curve(
    target: ProductRef,
    of: Target,
    band: str,
    made: Sequence[Parts],
    unused: Sequence[Unused],
    survey: Built | None,
    camera: Camera,
    recipe: LightCurveRecipe,
    store: Store,
) -> Outcome:
    """The light curve of a target in one band, its stars, and its pixels beside their model.

    Parameters
    ----------
    made
        Of each exposure.
    unused
        Exposures that are left out, for the record.
    survey
        Mean stars that set the zero point, if not Gaia's magnitudes.
    """
    asked = [of.ra, of.dec, str(of.shines), [[one.name, one.mjd, one.reason] for one in unused]]
    inputs = [*(one for each in made for one in each.inputs), *filter(None, [survey]), as_input(target, asked)]
    fit = _Fit(of, band, made, survey, camera, recipe, store)

    def write_curve(spool: Path) -> Mapping[str, Value]:
        table = light_curve_table(fit.assembled, fit.scene, of, band, unused, recipe)
        write_table(spool, table)
        return summary_of(fit.scene, table, fit.stars)

    return Outcome(
        [
            store.build(target, recipe, inputs, write_curve),
            store.build(curve_stars_ref(recipe, of.name, band), recipe, inputs, lambda to: write_table(to, fit.stars)),
            store.build(
                scene_ref(recipe, of.name, band), recipe, inputs,
                lambda to: write_fits(to, scene_planes(fit.assembled, fit.scene), {"OBJECT": of.name, "FILTER": band}),
            ),
        ]
    )  # fmt: skip


class _Fit:
    """What is fitted to the exposures of a target, once, and only if it is asked for."""

    def __init__(
        self, of: Target, band: str, made: Sequence[Parts], survey: Built | None, camera: Camera,
        recipe: LightCurveRecipe, store: Store,
    ) -> None:  # fmt: skip
        self.of, self.band, self.made, self.survey, self.camera = of, band, made, survey, camera
        self.recipe, self.store = recipe, store
        self._maps: dict[ProductRef, StarflatMap] = {}

    @cached_property
    def assembled(self) -> Assembled:
        return assemble([self._read(one) for one in self.made], self.of, self.band, self.recipe, self._survey_stars())

    @cached_property
    def scene(self) -> SceneFit:
        return fit_scene(self.assembled.series, self.recipe.scene)

    @cached_property
    def stars(self) -> pa.Table:
        return star_repeatability(self.assembled, self.recipe)

    def _read(self, one: Parts) -> Measured:
        with opened(self.store, (one.psf, one.catalogue, one.stamp)) as paths:
            of_psf, stars, of_stamp = (read_table(path) for path in paths)
        name = one.psf.ref.data_id
        return Measured(name, stamp_of_table(of_stamp), psf_of(of_psf), stars, self._map(one.starflat))

    def _map(self, starflat: Built | None) -> StarflatMap | None:
        if starflat is None:
            return None
        if starflat.ref not in self._maps:
            with opened(self.store, [starflat]) as (path,):
                self._maps[starflat.ref] = StarflatMap.of_table(read_table(path), self.camera)
        return self._maps[starflat.ref]

    def _survey_stars(self) -> SurveyStars | None:
        if self.survey is None:
            return None
        with opened(self.store, [self.survey]) as (path,):
            table = read_table(path, ["star_id", "mag"]).sort_by("star_id")
        return SurveyStars(table["star_id"].to_numpy(), table["mag"].to_numpy())


def as_input(ref: ProductRef, told: object) -> Built:
    """What an operator told, which has no file, as an input of a product: another word makes another product."""
    text = json.dumps(told)
    told_ref = ProductRef(Kind.SUMMARY, NO_RECIPE, f"{ref.data_id}/told", "told.json")
    return Built(told_ref, hashlib.sha256(text.encode()).hexdigest(), len(text))


def _determinant(matrix: object) -> float:
    (a, b), (c, d) = matrix  # type: ignore[misc,attr-defined]
    return float(a * d - b * c)
