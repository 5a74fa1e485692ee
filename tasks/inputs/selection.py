"""Which frames of the store belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from tasks.runtime.outcome import SetAside
from ztf_in2p3.detrend.verdicts import Rejection
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.identifiers import Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import NO_RECIPE, Built, Kind, ProductRef, ccd_of, ccdid_of, exposure_of, filter_of, led_of
from ztf_in2p3.store import Store

T = TypeVar("T")


def frames(
    store: Store,
    kind: Kind,
    period: Period,
    image_type: ImageType = ImageType.OBJECT,
    *,
    filters: Collection[Filter] | None = None,
    ccdids: Collection[int] | None = None,
    fields: Collection[int] | None = None,
    exposures: ExposureList | None = None,
    recipe: str | None = NO_RECIPE,
) -> list[Built]:
    """What the store holds of some nights, exposure by exposure in order of time.

    The archive's files, or what a recipe (its digest) made of them; only of some filters, CCDs, fields, or of the
    exposures of an `ExposureList`.
    """
    nights = [period.first + timedelta(days=day) for day in range((period.last - period.first).days + 1)]
    return [
        built
        for night in nights
        for built in sorted(store.list(kind, recipe, prefix=f"{night:%Y%m%d}"), key=lambda built: built.ref)
        for exposure in [exposure_of(built.ref)]
        if exposure.image_type is image_type
        and (filters is None or exposure.filter in filters)
        and (ccdids is None or ccdid_of(built.ref) in ccdids)
        and (fields is None or exposure.field in fields)
        and (exposures is None or ccd_of(built.ref) in exposures)
    ]


def lacking(frames_of: Mapping[str, Collection[Built]], period: Period) -> tuple[SetAside, ...]:
    """Which sorts of calibration frames a period has none of."""
    error = MissingProduct("the store has no such frames; run the flow download, or rely on another period's masters")
    return tuple(
        SetAside.because(f"{sort} frames of {period}", error) for sort, products in frames_of.items() if not products
    )


def absent(
    listed: ExposureList | None, period: Period | None, exposures: Iterable[Exposure], place: str
) -> tuple[SetAside, ...]:
    """Exposures of a list, if there is one, for a period or all nights, that are not among those found at a place."""
    known = {exposure.filefracday for exposure in exposures}
    error = MissingProduct(
        f"the list has it, but {place} has no such science exposure of these filters, CCDs and fields"
    )
    names = listed.names(period) if listed is not None else []
    return tuple(SetAside.because(f"exposure {name}", error) for name in names if name not in known)


def absent_from_store(
    store: Store, period: Period, exposures: ExposureList | None = None, **which: Any
) -> tuple[SetAside, ...]:
    """Exposures of a list of which the store has no raw frame; ``which`` as for `frames`."""
    if exposures is None:
        return ()
    raws = frames(store, Kind.RAW, period, exposures=exposures, **which)
    return absent(exposures, period, (exposure_of(raw.ref) for raw in raws), "the store")


def spread(items: Sequence[T], most: int) -> list[T]:
    """So many of the items at most, evenly chosen, the first and the last included."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(most - 1, 1))] for i in range(most)]


def grouped(products: Iterable[Built], *keys: Callable[[ProductRef], Any]) -> dict[tuple[Any, ...], list[Built]]:
    """Products by what their addresses say."""
    groups: dict[tuple[Any, ...], list[Built]] = defaultdict(list)
    for product in products:
        groups[tuple(key(product.ref) for key in keys)].append(product)
    return dict(sorted(groups.items()))


def by_ccd(raws: Iterable[Built], *, last_of_night: int = 0) -> dict[int, list[Built]]:
    """Raw frames of each CCD; only the last ones of each night unless 0."""
    nights: dict[int, dict[object, list[Built]]] = defaultdict(lambda: defaultdict(list))
    for raw in raws:
        nights[ccdid_of(raw.ref)][exposure_of(raw.ref).night].append(raw)
    return {
        ccdid: [raw for of_night in by_night.values() for raw in (of_night[-last_of_night:])]
        for ccdid, by_night in sorted(nights.items())
    }


def by_filter_and_ccd(raws: Iterable[Built]) -> dict[tuple[Filter, int], list[Built]]:
    """Raw frames of each filter and CCD."""
    groups: dict[tuple[Filter, int], list[Built]] = defaultdict(list)
    for raw in raws:
        groups[exposure_of(raw.ref).filter, ccdid_of(raw.ref)].append(raw)
    return dict(groups)


def by_led(raws: Iterable[Built]) -> dict[tuple[Filter, int, int], list[Built]]:
    """Flat frames of each (filter, LED, CCD); the LED is what the file's own header said when it arrived.

    Flats without LED number are in none of them: see `without_led`.
    """
    grouped: dict[tuple[Filter, int, int], list[Built]] = defaultdict(list)
    for raw in raws:
        if led := int(raw.about.get("led") or 0):
            grouped[exposure_of(raw.ref).filter, led, ccdid_of(raw.ref)].append(raw)
    return dict(sorted(grouped.items()))


def lacking_leds(
    flat_frames: Mapping[tuple[Filter, int, int], Sequence[Built]], flats: Iterable[Built], filter: Filter, ccdid: int
) -> dict[int, list[Built]]:
    """Frames by LED of which a CCD has no flat, although there are frames of it: of the CCD itself, else of others."""
    done = {led_of(flat.ref) for flat in flats}
    lacking_frames: dict[int, list[Built]] = {}
    for (of_filter, led, of_ccd), raws in flat_frames.items():
        if of_filter == filter and led not in done and (of_ccd == ccdid or led not in lacking_frames):
            lacking_frames[led] = list(raws)
    return lacking_frames


def without_led(raws: Iterable[Built]) -> list[SetAside]:
    """Flats that belong to no LED, since nothing says which lit them."""
    error = BadData("no LED number in ILUM_LED, so nothing says what lit it; it is in no flat")
    return [SetAside.because(raw.ref.file_name, error) for raw in raws if not int(raw.about.get("led") or 0)]


def without_rejected(raws: Iterable[Built], rejections: Sequence[Rejection]) -> tuple[list[Built], list[SetAside]]:
    """Frames that no operator rejected, and those that were, with the reason."""
    kept, aside = [], []
    for raw in raws:
        rejection = next((ruling for ruling in rejections if ruling.is_about(ccd_of(raw.ref))), None)
        if rejection is None:
            kept.append(raw)
        else:
            aside.append(SetAside(raw.ref.file_name, f"rejected by the operator: {rejection.reason}"))
    return kept, aside


def products_of_recipe(store: Store, kind: Kind, recipe: str, flow: str) -> list[Built]:
    """Products of a recipe, known by its digest; none if there is no digest."""
    products = store.list(kind, recipe) if recipe else []
    if recipe and not products:
        raise MissingProduct(f"no {kind} of recipe {recipe} in the store; run the flow {flow}, or name another recipe")
    return products


def of_band(products: Sequence[Built], band: str, recipe: str, what: str) -> list[Built]:
    """Products of a band, in order of time.  MissingProduct if some were asked for, and none is of the band."""
    chosen = [product for product in products if filter_of(product.ref) == band]
    if recipe and not chosen:
        raise MissingProduct(f"no {band} {what} of recipe {recipe} in the store; make it, or name another recipe")
    return chosen
