"""Master calibrations of a period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tasks.inputs.calibrations import Calibrations, Chosen, read_pockets
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.bad_pixels import bad_pixel_masks, write_masks
from ztf_in2p3.detrend.calibrations import Entry, calibrations
from ztf_in2p3.detrend.focal_plane import FlatLevel, focal_plane
from ztf_in2p3.detrend.hot_pixels import mark_hot_pixels
from ztf_in2p3.detrend.masters import CcdMaster, combine_leds, led_flat, master_bias
from ztf_in2p3.detrend.verdicts import GOOD
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    calibrations_ref,
    ccdid_of,
    exposure_of,
    filter_of,
    led_of,
    period_of,
)
from ztf_in2p3.recipes import (
    BadPixelMapRecipe,
    BiasRecipe,
    CalibrationsRecipe,
    FlatRecipe,
    FocalPlaneRecipe,
    LedFlatRecipe,
    QuadrantRecipe,
)
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.store.reading import opened

_FIRST, _LAST = "DATE-OBS", "DATE-END"


@product_task
def make_bias(output: ProductRef, raws: Sequence[Built], camera: Camera, recipe: BiasRecipe, store: Store) -> Built:
    """Combine the bias frames of one CCD."""

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, raws) as paths:
            master = master_bias(paths, camera, ccdid_of(output), recipe, cards=cards)
        master.write(path)
        return master.summary

    cards = card(output, recipe.version, store) | dates(raws)
    return store.build(output, recipe, raws, make)


@product_task
def make_led_flat(
    output: ProductRef,
    raws: Sequence[Built],
    bias: Built,
    pocket: Chosen | None,
    camera: Camera,
    recipe: LedFlatRecipe,
    store: Store,
) -> Built:
    """Combine the flat frames of one CCD and LED; `pocket`: measured, if the recipe asks for it."""

    def make(path: Path) -> Mapping[str, Value]:
        with (
            opened(store, raws) as paths,
            opened(store, [bias]) as (bias_path,),
            CcdMaster.open(bias_path, camera) as bias_master,
        ):
            pockets = read_pockets(store, pocket)
            led_master = led_flat(paths, bias_master, camera, ccdid_of(output), recipe, pockets=pockets, cards=cards)
            led_master.write(path)
        return led_master.summary

    cards = card(output, recipe.version, store) | dates(raws)
    cards |= pocket.cards("POCK", "pocket calibration", period_of(output).first) if pocket else {}
    return store.build(output, recipe, [*raws, bias, *(pocket.inputs if pocket else [])], make)


@product_task
def make_flat(
    output: ProductRef,
    leds: Sequence[Built],
    lacking: Mapping[int, Sequence[Built]],
    camera: Camera,
    recipe: FlatRecipe,
    store: Store,
) -> Built:
    """Average the LEDs of one CCD and filter; `lacking`: frames of LEDs of which no flat could be made."""

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, leds) as paths, ExitStack() as stack:
            of_led = [stack.enter_context(CcdMaster.open(led_path, camera)) for led_path in paths]
            used = [led for led in lacking if weight(led)]
            cards = card(output, recipe.version, store) | dates_of_leds(of_led)
            flat_master = combine_leds(of_led, recipe, cards=cards, lacking=used)
        flat_master.write(path)
        return flat_master.summary

    def weight(led: int) -> float:
        return dict(recipe.weights).get(led, 1.0)

    unused = [raw for led, raws in sorted(lacking.items()) if weight(led) for raw in raws]
    return store.build(output, recipe, [*leds, *unused], make)


@product_task
def make_focal_plane(
    output: ProductRef, flats: Sequence[tuple[Built, bool]], recipe: FocalPlaneRecipe, store: Store
) -> Built:
    """Compare the levels of the CCDs' flats of one filter; each flat with whether it counts in the common level."""

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, products) as paths:
            write_table(path, focal_plane([FlatLevel.read(flat_path) for flat_path in paths], suspects))
        return {"n_ccd": len(flats) - len(suspects)}

    products = [flat for flat, _ in flats]
    suspects = [ccdid_of(flat.ref) for flat, counts in flats if not counts]
    return store.build(output, recipe, products, make)


@product_task
def make_bad_pixels(
    output: ProductRef,
    raws: Sequence[Built],
    light: Sequence[Built],
    bias: Built,
    flat: Built,
    camera: Camera,
    recipe: BadPixelMapRecipe,
    store: Store,
) -> Built:
    """Find the bad pixels of one CCD and filter; `raws`: the bias frames, `light`: exposures of the sky."""

    def make(path: Path) -> Mapping[str, Value]:
        with (
            opened(store, raws) as paths,
            opened(store, enough) as light_paths,
            opened(store, [bias, flat]) as (bias_path, flat_path),
            CcdMaster.open(bias_path, camera) as bias_master,
            CcdMaster.open(flat_path, camera) as flat_master,
        ):
            masks = bad_pixel_masks(paths, bias_master, flat_master, camera, recipe)
            n_light = mark_hot_pixels(masks, light_paths, bias_master, flat_master, camera, recipe)
        about: dict[str, tuple[Value, str]] = {
            "CCDID": (ccdid_of(output), "CCD number"),
            "NLIGHT": (n_light, "exposures searched for hot pixels"),
        }
        return {**write_masks(path, masks, about | card(output, recipe.version, store)), "n_light": n_light}

    enough = light if len(light) >= recipe.limits.least_light else []
    return store.build(output, recipe, [*raws, *enough, bias, flat], make)


@product_task
def write_calibrations(
    output: ProductRef,
    calibrated: Sequence[tuple[Built, Built | None]],
    recipe: CalibrationsRecipe,
    store: Store,
) -> Built:
    """List calibrations, each with the verdict on it, if there is one."""

    def make(path: Path) -> None:
        entries = (Entry.of(store.manifest(master.ref), verdict) for master, verdict in calibrated)
        write_table(path, calibrations(entries))

    used = [product for pair in calibrated for product in pair if product is not None]
    return store.build(output, recipe, used, make)


def list_calibrations(period: Period, recipe: QuadrantRecipe, known: Calibrations, store: Store) -> Outcome:
    """Bring the list of a period's calibrations up to date with all that there are, whatever was made just now."""
    calibrated = [
        (master, known.verdicts(kind).of(master) if kind in (Kind.BIAS, Kind.FLAT) else None)
        for kind in known.kinds
        for master in known.of_period(kind, period)
    ]
    if not calibrated:
        return Outcome()
    output = calibrations_ref(recipe.calibrations, period)
    return collect([launch(write_calibrations, output, calibrated, recipe=recipe.calibrations, store=store)])


def flats_of_period(
    products: Sequence[Built], period: Period, known: Calibrations
) -> dict[Filter, list[tuple[Built, bool]]]:
    """Flats of all CCDs of a period, in the filters of those made just now, each with whether it counts.

    The level of the focal plane is that of all of them, whichever CCDs were asked for; suspect ones count only if no
    flat of the filter is good.
    """
    verdicts, flats_known = known.verdicts(Kind.FLAT), known.of_period(Kind.FLAT, period)
    flats = {}
    for filter in {filter_of(flat.ref) for flat in products}:
        of_filter = [flat for flat in flats_known if filter_of(flat.ref) == filter]
        good = [verdicts.quality(flat)[0] == GOOD for flat in of_filter]
        flats[filter] = [(flat, counts or not any(good)) for flat, counts in zip(of_filter, good, strict=True)]
    return flats


def card(output: ProductRef, version: int, store: Store) -> dict[str, tuple[Value, str]]:
    """What a master says of itself in its header.  No commit and no time: equal frames give equal bytes."""
    is_bias, is_of_led = output.kind is Kind.BIAS, output.kind is Kind.LED_FLAT
    return {
        "PRODUCT": (str(output.kind), "kind of product"),
        "FILTER": (str(Filter.BIAS if is_bias else filter_of(output)), "filter code"),
        **({"LED": (led_of(output), "flat-field LED")} if is_of_led else {}),
        "PERIOD": (str(period_of(output)), "nights it may be made of"),
        "RECIPE": (output.recipe, "digest of the recipe"),
        "RECVERS": (version, "version of the recipe"),
        "VERSION": (store.provenance.package, "of the package ztf-in2p3 that made it"),
    }


def dates(raws: Sequence[Built]) -> dict[str, tuple[Value, str]]:
    """First and last night of the frames."""
    nights = [exposure_of(raw.ref).night.isoformat() for raw in raws]
    return {_FIRST: (min(nights), "first night of the data"), _LAST: (max(nights), "last night of the data")}


def dates_of_leds(flats: Sequence[CcdMaster]) -> dict[str, tuple[Value, str]]:
    """First and last night of the frames of all LEDs; nothing where masters of before do not tell."""
    if not all({_FIRST, _LAST} <= flat.cards.keys() for flat in flats):
        return {}
    first, last = (sorted(str(flat.value(keyword)) for flat in flats) for keyword in (_FIRST, _LAST))
    return {_FIRST: (first[0], "first night of the data"), _LAST: (last[-1], "last night of the data")}
