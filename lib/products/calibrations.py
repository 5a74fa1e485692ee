"""Products that are made of the frames of a period."""

from __future__ import annotations

from lib import recipes
from lib.identifiers import Filter
from lib.periods import Period
from lib.products.address import Kind, ProductRef


def bias_ref(recipe: recipes.BiasRecipe, period: Period, ccdid: int) -> ProductRef:
    return _master(Kind.BIAS, recipe, period, f"c{ccdid:02d}", f"{Filter.BIAS}_c{ccdid:02d}_bias.fits")


def led_flat_ref(recipe: recipes.LedFlatRecipe, period: Period, filter: Filter, led: int, ccdid: int) -> ProductRef:
    part = f"{filter}/l{led:02d}/c{ccdid:02d}"
    return _master(Kind.LED_FLAT, recipe, period, part, f"{filter}_c{ccdid:02d}_l{led:02d}_flat.fits")


def flat_ref(recipe: recipes.FlatRecipe, period: Period, filter: Filter, ccdid: int) -> ProductRef:
    part = f"{filter}/c{ccdid:02d}"
    return _master(Kind.FLAT, recipe, period, part, f"{filter}_c{ccdid:02d}_l00_flat.fits")


def focal_plane_ref(recipe: recipes.FocalPlaneRecipe, period: Period, filter: Filter) -> ProductRef:
    return _master(Kind.FOCAL_PLANE, recipe, period, str(filter), f"{filter}_focalplane.parquet")


def _master(kind: Kind, recipe: object, period: Period, part: str, name: str) -> ProductRef:
    days = str(period).replace("_", "") if period.first != period.last else f"{period.first:%Y%m%d}"
    return ProductRef(kind, recipes.digest(recipe), f"{period}/{part}", f"ztfin2p3_{days}_000000_{name}")
