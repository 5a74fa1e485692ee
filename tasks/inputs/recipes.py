"""Recipes that a store's own products were made by, for flows that are given none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TypeVar

from prefect.logging import get_run_logger

from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.products import Kind, ProductRef
from ztf_in2p3.recipes import (
    CalibrationsRecipe,
    LightCurveRecipe,
    PsfCatalogueRecipe,
    QuadrantRecipe,
    canonical,
    digest,
    recipe_from,
)
from ztf_in2p3.store import Store

R = TypeVar("R")


def noted_recipe(store: Store, ref: ProductRef, kind: type[R]) -> R | None:
    """The recipe of a product, from its manifest; None if today's recipes of the kind are others."""
    text = store.manifest(ref).recipe
    try:
        recipe = recipe_from(kind, json.loads(text)[1]) if text else None
    except (TypeError, ValueError):
        return None
    return recipe if recipe is not None and canonical(recipe) == text else None


def recipe_of_masters(store: Store, recipe: QuadrantRecipe) -> QuadrantRecipe:
    """The recipe to detrend by: as given, or that of the store's only masters where it has none of the default one.

    Raises
    ------
    MissingProduct
        It has masters of several recipes, and none of the one given; or of others than the one that was asked for.
    """
    if store.list(Kind.FOCAL_PLANE, digest(recipe.focal_plane)):
        return recipe
    calibrated = calibrated_recipes(store)
    if not calibrated:
        return recipe
    if len(calibrated) == 1 and recipe == QuadrantRecipe():
        ((name, masters),) = calibrated.items()
        get_run_logger().info("masters of the only recipe in the store are taken: calibrations of %s", name)
        return masters
    raise MissingProduct(
        f"the store has no masters of recipe {digest(recipe)}, but of {', '.join(calibrated)} (their numbers "
        f"stand in the manifests of calibrations/{next(iter(calibrated))}); give the recipe that calibrate was given "
        "(--recipe, its table [quadrant]), or run the flow calibrate with this one"
    )


def calibrated_recipes(store: Store) -> dict[str, QuadrantRecipe]:
    """Recipes of the masters in the store, by the digest under which `calibrate` keeps its lists of calibrations."""
    first = {built.ref.recipe: built.ref for built in store.list(Kind.CALIBRATIONS)}
    recipes = {name: noted_recipe(store, ref, CalibrationsRecipe) for name, ref in sorted(first.items())}
    return {
        name: recipe.quadrant
        for name, recipe in recipes.items()
        if recipe is not None and store.list(Kind.FOCAL_PLANE, digest(recipe.quadrant.focal_plane))
    }


def recipe_for(images: str | None, recipe: LightCurveRecipe, store: Store) -> LightCurveRecipe:
    """The recipe, with that of the store's masters; images from elsewhere come detrended, by no recipe of ours.

    Raises
    ------
    MissingProduct
        As `recipe_of_masters`.
    """
    if images is not None:
        return replace(recipe, stars=replace(recipe.stars, quadrant=None))
    return replace(recipe, stars=with_masters(store, recipe.stars))


def with_masters(store: Store, recipe: PsfCatalogueRecipe) -> PsfCatalogueRecipe:
    """The same recipe on images detrended with the masters that the store has: `recipe_of_masters`."""
    return replace(recipe, quadrant=recipe_of_masters(store, recipe.quadrant or QuadrantRecipe()))
