"""The steps of the flow `scene`: which exposures, what is made of each, which of them make a light curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.archive import fetch_stars_around, open_reference
from tasks.inputs.recipes import recipe_of_masters
from tasks.inputs.references import circle_around
from tasks.inputs.targets import (
    Curve,
    TargetExposure,
    exposures_of_images,
    exposures_of_survey,
    import_images,
    with_reference,
)
from tasks.psf import measure_quadrants, measure_stamps
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, launch
from tasks.runtime.progress import shown
from tasks.scene import Parts, fit_light_curve
from tasks.star_table import nearest
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import (
    Built,
    Kind,
    exposure_of,
    filter_of,
    light_curve_ref,
    psf_catalogue_ref,
    psf_ref,
    stamp_ref,
)
from ztf_in2p3.recipes import LightCurveRecipe, PhotometryRecipe, PsfCatalogueRecipe, QuadrantRecipe
from ztf_in2p3.scene.curve_table import Unused
from ztf_in2p3.scene.errors import NothingToFit
from ztf_in2p3.scene.target import Target, read_targets
from ztf_in2p3.store import Store


def targets_of(path: Path, names: Iterable[str] | None) -> list[Target]:
    """Targets of a file, or some of them.  ValueError if the file does not have one of these."""
    targets = read_targets(path)
    known = {target.name for target in targets}
    strange = sorted(set(names or ()) - known)
    if strange:
        raise ValueError(f"names: {', '.join(strange)}; {path} has {', '.join(sorted(known))}")
    return [target for target in targets if names is None or target.name in set(names)]


def recipe_for(images: str | None, recipe: LightCurveRecipe, store: Store) -> LightCurveRecipe:
    """The recipe, with that of the store's masters; images from elsewhere come detrended, by no recipe of ours.

    Raises
    ------
    MissingProduct
        As `tasks.inputs.recipes.recipe_of_masters`.
    """
    if images is not None:
        return replace(recipe, stars=replace(recipe.stars, quadrant=None))
    return replace(recipe, stars=with_masters(store, recipe.stars))


def with_masters(store: Store, recipe: PsfCatalogueRecipe) -> PsfCatalogueRecipe:
    """The same recipe on images detrended with the masters that the store has: `recipe_of_masters`."""
    return replace(recipe, quadrant=recipe_of_masters(store, recipe.quadrant or QuadrantRecipe()))


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
            _leave_out(unused, target_exposure, target_exposure.targets, starless[target_exposure.image])
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
    maps = _required(store, Kind.STARFLAT_MAP, recipe.starflat, "starflat")
    surveys = _required(store, Kind.MEAN_STARS, recipe.survey, "ubercal")
    left_out = {curve: list(exclusions) for curve, exclusions in unused.items()}
    under_way, aside = [], []
    curves = [(target, band) for target in targets for band in target.bands]
    for target, band in curves:
        try:
            of_band = _of_band(maps, band, recipe.starflat, "starflat")
            survey = _of_band(surveys, band, recipe.survey, "survey")[-1:]
            parts = _parts(target, band, target_exposures, measured, of_band, left_out, recipe)
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
            _leave_out(
                left_out, target_exposure, [target], reasons.get(target_exposure.label, "it could not be measured")
            )
    return parts


def _required(store: Store, kind: Kind, recipe: str, flow: str) -> list[Built]:
    """Products of a recipe, known by its digest; none if there is no digest."""
    products = store.list(kind, recipe) if recipe else []
    if recipe and not products:
        raise MissingProduct(f"no {kind} of recipe {recipe} in the store; run the flow {flow}, or name another recipe")
    return products


def _of_band(products: Sequence[Built], band: str, recipe: str, what: str) -> list[Built]:
    """Products in order of time.  MissingProduct if some were asked for, and none is of the band."""
    of_band = [product for product in products if filter_of(product.ref) == band]
    if recipe and not of_band:
        raise MissingProduct(f"no {band} {what} of recipe {recipe} in the store; make it, or name another recipe")
    return of_band


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


def _leave_out(
    unused: dict[Curve, list[Unused]], target_exposure: TargetExposure, targets: Iterable[Target], reason: str
) -> None:
    for target in targets:
        unused.setdefault((target, target_exposure.band), []).append(
            Unused(target_exposure.image, target_exposure.mjd, reason)
        )
