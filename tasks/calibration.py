"""Master calibrations of a period."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.camera import Camera
from lib.detrend.focal_plane import FlatLevel, focal_plane
from lib.detrend.masters import CcdMaster, combine_leds, led_flat, master_bias
from lib.products import Built, ProductRef, Value, ccdid_of, period_of
from lib.recipes import BiasRecipe, FlatRecipe, FocalPlaneRecipe, LedFlatRecipe
from lib.store import Store
from lib.store.parquet import write_table
from tasks.policies import product_task
from tasks.reading import opened


@product_task
def make_bias(target: ProductRef, raws: Sequence[Built], camera: Camera, recipe: BiasRecipe, store: Store) -> Built:
    """Combine the bias frames of one CCD."""

    def make(spool: Path) -> None:
        with opened(store, raws) as paths:
            master_bias(paths, camera, ccdid_of(target), recipe, cards=card(target)).write(spool)

    return store.build(target, recipe, raws, make)


@product_task
def make_led_flat(
    target: ProductRef, raws: Sequence[Built], bias: Built, camera: Camera, recipe: LedFlatRecipe, store: Store
) -> Built:
    """Combine the flat frames of one CCD and LED."""

    def make(spool: Path) -> None:
        with opened(store, raws) as paths, opened(store, [bias]) as (bias_path,):
            master = CcdMaster.read(bias_path, camera)
            led_flat(paths, master, camera, ccdid_of(target), recipe, cards=card(target)).write(spool)

    return store.build(target, recipe, [*raws, bias], make)


@product_task
def make_flat(target: ProductRef, leds: Sequence[Built], camera: Camera, recipe: FlatRecipe, store: Store) -> Built:
    """Average the LEDs of one CCD and filter."""

    def make(spool: Path) -> None:
        with opened(store, leds) as paths:
            leds_one_by_one = (CcdMaster.read(path, camera) for path in paths)
            combine_leds(leds_one_by_one, recipe, cards=card(target)).write(spool)

    return store.build(target, recipe, leds, make)


@product_task
def make_focal_plane(target: ProductRef, flats: Sequence[Built], recipe: FocalPlaneRecipe, store: Store) -> Built:
    """Compare the levels of the CCDs' flats of one filter."""

    def make(spool: Path) -> None:
        with opened(store, flats) as paths:
            write_table(spool, focal_plane(FlatLevel.read(path) for path in paths))

    return store.build(target, recipe, flats, make)


def card(target: ProductRef) -> dict[str, tuple[Value, str]]:
    """What a master says of itself in its header."""
    return {
        "PERIOD": (str(period_of(target)), "nights it is made of"),
        "RECIPE": (target.recipe, "digest of the recipe"),
    }
