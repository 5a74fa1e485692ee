"""Light curve of a target from the PSFs, stars and stamps of its exposures: one fit of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from tasks.drawing import FigurePage, draw_pages, sketches
from tasks.runtime.outcome import Outcome, SetAside, outcome_of
from tasks.runtime.policies import product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.drawings import DRAWINGS
from ztf_in2p3.products import Built, Kind, ProductRef, Value, curve_stars_ref, scene_figure_ref, scene_ref
from ztf_in2p3.recipes import LightCurveRecipe
from ztf_in2p3.scene.catalogue import psf_of, stamp_of_table
from ztf_in2p3.scene.curve import Assembled, Measured, SurveyStars, assemble, star_repeatability
from ztf_in2p3.scene.curve_table import Unused, light_curve_table, scene_planes, summary_of
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
