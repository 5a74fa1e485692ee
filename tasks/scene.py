"""Light curve of a target from the PSFs, stars and stamps of its exposures: one fit of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from tasks.inputs.selection import of_band, products_of_recipe
from tasks.inputs.targets import Curve, TargetExposure, leave_out
from tasks.pages.drawing import FigurePage, draw_pages, sketches
from tasks.runtime.outcome import Outcome, SetAside, outcome_of
from tasks.runtime.policies import collect, launch, product_task
from tasks.star_table import nearest
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.figures.drawings import DRAWINGS
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    curve_stars_ref,
    exposure_of,
    light_curve_ref,
    psf_catalogue_ref,
    psf_ref,
    scene_figure_ref,
    scene_ref,
    stamp_ref,
)
from ztf_in2p3.recipes import LightCurveRecipe
from ztf_in2p3.scene.catalogue import psf_of, stamp_of_table
from ztf_in2p3.scene.curve import Assembled, Measured, SurveyStars, assemble, star_repeatability
from ztf_in2p3.scene.curve_table import Unused, light_curve_table, scene_planes, summary_of
from ztf_in2p3.scene.errors import NothingToFit
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import SceneFit
from ztf_in2p3.scene.target import Target
from ztf_in2p3.simulate.truth import truth_digest
from ztf_in2p3.starflat.correction import StarflatMap
from ztf_in2p3.store import JointProduct, Once, Store
from ztf_in2p3.store.fits import write_fits
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import as_input, opened


@dataclass(frozen=True, slots=True)
class Parts:
    """Products of one exposure that its point of a light curve needs."""

    psf: Built
    catalogue: Built
    stamp: Built
    starflat: Built | None = None

    @property
    def inputs(self) -> list[Built]:
        """The products that there are."""
        return [product for product in (self.psf, self.catalogue, self.stamp, self.starflat) if product is not None]


@product_task
def fit_light_curve(
    target: ProductRef,
    of: Target,
    band: str,
    parts: Sequence[Parts],
    unused: Sequence[Unused],
    survey: Built | None,
    camera: Camera,
    recipe: LightCurveRecipe,
    store: Store,
) -> Outcome:
    """The light curve of a target in one band, its stars, and its pixels beside their model.

    Parameters
    ----------
    parts
        Products of each exposure.
    unused
        Exposures that are left out, for the record.
    survey
        Mean stars that set the zero point, if not Gaia's magnitudes.
    """
    choices = [of.ra, of.dec, str(of.shines), [[image.name, image.mjd, image.reason] for image in unused]]
    inputs = [
        *(product for part in parts for product in part.inputs),
        *filter(None, [survey]),
        as_input(target, choices),
    ]

    def write_curve(path: Path, fit: _Fit) -> Mapping[str, Value]:
        table = light_curve_table(fit.assembled(), fit.scene(), of, band, unused, recipe)
        write_table(path, table)
        return summary_of(fit.scene(), table, fit.stars())

    def write_stars(path: Path, fit: _Fit) -> None:
        write_table(path, fit.stars())

    def write_scene(path: Path, fit: _Fit) -> None:
        write_fits(path, scene_planes(fit.assembled(), fit.scene()), {"OBJECT": of.name, "FILTER": band})

    products = [
        JointProduct(target, write_curve),
        JointProduct(curve_stars_ref(recipe, of.name, band), write_stars),
        JointProduct(scene_ref(recipe, of.name, band), write_scene),
    ]
    fit = _Fit(of, band, parts, survey, camera, recipe, store)
    outcome = outcome_of(store.build_all(products, recipe, inputs, lambda: fit), target.label)
    return outcome + Outcome(
        set_aside=[unusable(curve, of, band) for curve in outcome.built if curve.about.get("fails")]
    )


def unusable(curve: Built, of: Target, band: str) -> SetAside:
    """Line of a light curve whose fit says itself that it failed."""
    reason = f"BadData: its fit is {curve.about['flags']}: fluxes and errors are not to be used as they are"
    return SetAside(f"{of.name} {band}", f"{reason}; look at the flags of its exposures, and leave some out")


class _Fit:
    """What is fitted to the exposures of a target, each part once, and only if a product needs it."""

    def __init__(
        self,
        of: Target,
        band: str,
        parts: Sequence[Parts],
        survey: Built | None,
        camera: Camera,
        recipe: LightCurveRecipe,
        store: Store,
    ) -> None:
        self.of, self.band, self.parts, self.survey, self.camera = of, band, parts, survey, camera
        self.recipe, self.store = recipe, store
        self._maps: dict[ProductRef, StarflatMap] = {}
        self.assembled, self.scene, self.stars = Once(self._assembled), Once(self._scene), Once(self._stars)

    def _assembled(self) -> Assembled:
        return assemble(
            [self._read(part) for part in self.parts], self.of, self.band, self.recipe, self._survey_stars()
        )

    def _scene(self) -> SceneFit:
        return fit_scene(self.assembled().series, self.recipe.scene)

    def _stars(self) -> pa.Table:
        return star_repeatability(self.assembled(), self.recipe)

    def _read(self, part: Parts) -> Measured:
        with opened(self.store, (part.psf, part.catalogue, part.stamp)) as paths:
            of_psf, stars, of_stamp = (read_table(path) for path in paths)
        name = part.psf.ref.data_id
        return Measured(name, stamp_of_table(of_stamp), psf_of(of_psf), stars, self._map(part.starflat))

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


def fit_curves(
    targets: Sequence[Target],
    target_exposures: Sequence[TargetExposure],
    unused: Mapping[Curve, Sequence[Unused]],
    measured: Outcome,
    camera: Camera,
    recipe: LightCurveRecipe,
    store: Store,
) -> Outcome:
    """The light curve of each target in each band; a target without any exposure is set aside, and why.

    Raises
    ------
    MissingProduct
        The recipe names starflats or a survey of which the store has nothing.
    """
    maps = products_of_recipe(store, Kind.STARFLAT_MAP, recipe.starflat, "starflat")
    surveys = products_of_recipe(store, Kind.MEAN_STARS, recipe.survey, "ubercal")
    left_out = {curve: list(exclusions) for curve, exclusions in unused.items()}
    under_way, aside = [], []
    curves = [(target, band) for target in targets for band in target.bands]
    for target, band in curves:
        try:
            maps_of_band = of_band(maps, band, recipe.starflat, "starflat")
            survey = of_band(surveys, band, recipe.survey, "survey")[-1:]
            parts = _parts(target, band, target_exposures, measured, maps_of_band, left_out, recipe)
            excluded = left_out.get((target, band), [])
            if not parts:
                raise nothing_to_fit(target, band, excluded)
        except (MissingProduct, NothingToFit) as error:
            aside.append(SetAside.because(f"{target.name} {band}", error))
        else:
            ref, of_survey = light_curve_ref(recipe, target.name, band), survey[0] if survey else None
            under_way.append(
                launch(fit_light_curve, ref, target, band, parts, excluded, of_survey, camera, recipe, store)
            )
    return collect(under_way) + Outcome(set_aside=aside)


def _parts(
    target: Target,
    band: str,
    target_exposures: Sequence[TargetExposure],
    measured: Outcome,
    starflats: Sequence[Built],
    left_out: dict[Curve, list[Unused]],
    recipe: LightCurveRecipe,
) -> list[Parts]:
    """What was made of each exposure of a target; to `left_out` comes what could not be measured."""
    products = {built.ref: built for built in measured.built}
    reasons = {aside.what: aside.reason for aside in measured.set_aside}
    parts = []
    for target_exposure in target_exposures:
        if target_exposure.band != band or target not in target_exposure.targets:
            continue
        refs = (
            psf_ref(recipe.stars, target_exposure.image),
            psf_catalogue_ref(recipe.stars, target_exposure.image),
            stamp_ref(recipe.stars, target_exposure.image, target.name),
        )
        if all(ref in products for ref in refs):
            psf, catalogue, stamp = (products[ref] for ref in refs)
            parts.append(Parts(psf, catalogue, stamp, _starflat(target_exposure, starflats)))
        else:
            leave_out(
                left_out, target_exposure, [target], reasons.get(target_exposure.label, "it could not be measured")
            )
    return parts


def _starflat(target_exposure: TargetExposure, maps: Sequence[Built]) -> Built | None:
    """The map nearest in time; none for images that do not come from a quadrant's raw frame."""
    return None if target_exposure.quadrant is None else nearest(maps, exposure_of(target_exposure.about.ref).night)


def nothing_to_fit(target: Target, band: str, unused: Sequence[Unused]) -> NothingToFit:
    """Error of a target without usable exposures, with the reasons of some of them."""
    if not unused:
        return NothingToFit(
            f"target {target.name}, {band}: no exposure has ra {target.ra:.5f}, dec {target.dec:.5f} on its pixels; "
            "check the place, or run the flow download for its nights"
        )
    reasons = "; ".join(f"{exclusion.name}: {exclusion.reason}" for exclusion in unused[:3])
    more = f"; and {len(unused) - 3} others" if len(unused) > 3 else ""
    return NothingToFit(f"target {target.name}, {band}: none of {len(unused)} exposures can be used: {reasons}{more}")


def draw_curves(
    curves: Outcome, measured: Outcome, recipe: LightCurveRecipe, store: Store, truth: str | None
) -> Outcome:
    """Draw every light curve; an artifact, its key the target's and band's, shows each with what it says."""
    psf_of = {built.ref.data_id: built for built in measured.of(Kind.PSF)}
    pages = []
    for curve in curves_of(curves):
        name, band = curve[0].ref.data_id.removeprefix("target_").split("/")
        psfs = [psf_of[image] for image in used_images(curve[0], store) if image in psf_of]
        figures = [
            sketch
            if Kind.PSF in DRAWINGS[sketch.drawing].needs
            else replace(sketch, inputs=[*sketch.inputs, as_input(sketch.output, truth_digest(truth))])
            for sketch in sketches("curve", [*curve, *psfs], partial(scene_figure_ref, recipe, name, band))
        ]
        key = "light-curve-" + "".join(c if c.isalnum() else "-" for c in f"{name} {band}".lower()).strip("-")
        facts = {**curve[0].about, "the table": store.uri(curve[0].ref)}
        pages.append(FigurePage(key, f"Light curve of {name} {band}", figures, facts))
    return draw_pages(pages, recipe, store, truth=truth)


def used_images(light_curve: Built, store: Store) -> list[str]:
    """Data ids of the exposures that a light curve was measured on."""
    with opened(store, [light_curve]) as (path,):
        table = read_table(path, ["exposure", "reason"])
    rows = zip(table["exposure"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return [image for image, reason in rows if not reason]


def curves_of(fitted: Outcome) -> list[list[Built]]:
    """Light curve, stars and scene of each curve that has all three."""
    kinds = (Kind.LIGHT_CURVE, Kind.CURVE_STARS, Kind.SCENE)
    by_curve: dict[str, dict[Kind, Built]] = {}
    for built in fitted.of(*kinds):
        by_curve.setdefault(built.ref.data_id, {})[built.ref.kind] = built
    return [[of_curve[kind] for kind in kinds] for of_curve in by_curve.values() if len(of_curve) == len(kinds)]
