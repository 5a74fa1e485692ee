"""The star table: measurements of a period, star by star, in partitions of the sky."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.inputs.selection import frames
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.star_table import columns_of, may_hold, pixels_of_order, pixels_touched, star_table
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    exposure_of,
    filter_of,
    period_of,
    star_index_ref,
    star_table_ref,
)
from ztf_in2p3.recipes import StarTableRecipe, digest
from ztf_in2p3.starflat.correction import StarflatMap
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.tables import STAR_TABLE_INDEX, schema_of

Corrected = tuple[Built, Built | None]
"""A catalogue, and the starflat that corrects it."""

NO_CUTS = ("pixel", "kept", "stars", "found", "filter")
"""What the manifest of a partition says besides how many measurements each cut took away."""


@product_task
def make_partition(
    output: ProductRef,
    catalogues: Sequence[Corrected],
    pixel: int,
    camera: Camera,
    recipe: StarTableRecipe,
    store: Store,
) -> Built:
    """Gather the measurements of the stars in one pixel of the sky, catalogue by catalogue."""
    maps = {starflat.ref: starflat for _, starflat in catalogues if starflat}

    def make(path: Path) -> Mapping[str, Value]:
        names = columns_of(recipe)
        corrections = {
            ref: StarflatMap.of_table(_columns(store, starflat), camera).of_catalogue for ref, starflat in maps.items()
        }
        read = (
            (_columns(store, catalogue, names), corrections[starflat.ref] if starflat else None)
            for catalogue, starflat in catalogues
        )
        table, counts = star_table(read, recipe, pixel)
        write_table(path, table, {"filter": str(exposure_of(catalogues[0][0].ref).filter)})
        return {"pixel": pixel, **counts}

    return store.build(output, recipe, [*(catalogue for catalogue, _ in catalogues), *maps.values()], make)


@product_task
def make_index(output: ProductRef, partitions: Sequence[Built], recipe: StarTableRecipe, store: Store) -> Built:
    """List the partitions of a star table; the sums of their counts go into the manifest."""

    def make(path: Path) -> Mapping[str, Value]:
        return write_index(path, partitions)

    return store.build(output, recipe, partitions, make)


def write_index(path: Path, partitions: Sequence[Built]) -> dict[str, Value]:
    """The list of partitions of a star table; returns the sums of their counts."""
    rows = [_row(partition) for partition in partitions]
    write_table(path, pa.Table.from_pylist(rows, schema=schema_of(STAR_TABLE_INDEX)))
    return _summed(partitions)


def make_star_table(
    period: Period, filter: Filter, catalogues: Sequence[Built], camera: Camera, recipe: StarTableRecipe, store: Store
) -> Outcome:
    """All partitions of a filter, and their index."""
    maps = starflats(filter, recipe, store)
    if recipe.starflat and not maps:
        error = MissingProduct(
            f"no good {filter} starflat of recipe {recipe.starflat} in the store; run the flow starflat on dithered "
            "exposures"
        )
        return Outcome(set_aside=[SetAside.because(f"star table {filter} {period}", error)])
    common: dict[str, Any] = {"camera": camera, "recipe": recipe, "store": store}
    partitions = collect(
        launch(
            make_partition,
            star_table_ref(recipe, period, filter, f"n{recipe.order}_{pixel}"),
            [(product, nearest(maps, exposure_of(product.ref).night)) for product in of_pixel],
            pixel,
            **common,
        )
        for pixel, of_pixel in by_pixel(catalogues, recipe, store).items()
    )
    return partitions + listed(period, filter, partitions, recipe, store)


def starflats(filter: Filter, recipe: StarTableRecipe, store: Store) -> list[Built]:
    """Maps that may correct the magnitudes of a filter, in order of time; those that are no good are left out."""
    maps = store.list(Kind.STARFLAT_MAP, recipe.starflat) if recipe.starflat else []
    return [product for product in maps if filter_of(product.ref) == filter and product.about.get("good", True)]


def nearest(maps: Sequence[Built], night: date) -> Built | None:
    """The starflat nearest in time; of several as near that of the shortest period, then the earliest."""

    def order(product: Built) -> tuple[int, int]:
        period = period_of(product.ref)
        return period.distance(night), (period.last - period.first).days

    return min(maps, key=order, default=None)


def listed(period: Period, filter: Filter, outcome: Outcome, recipe: StarTableRecipe, store: Store) -> Outcome:
    """The index of partitions; none if one could not be made, for a fit would not know what it lacks."""
    if outcome.set_aside or not outcome.built:
        return Outcome()
    partitions = sorted(
        outcome.of(Kind.STAR_TABLE), key=lambda partition: (len(partition.ref.data_id), partition.ref.data_id)
    )
    return collect([launch(make_index, star_index_ref(recipe, period, filter), partitions, recipe=recipe, store=store)])


def catalogues_of(store: Store, period: Period, recipe: StarTableRecipe, **which: Any) -> dict[Filter, list[Built]]:
    """Catalogues of a period, by apertures or by the PSF, of each filter.

    ``which``: filters, ccdids, fields and exposures, as for `tasks.inputs.selection.frames`.
    """
    by_filter: dict[Filter, list[Built]] = defaultdict(list)
    kind = Kind.PSF_CATALOGUE if recipe.psf else Kind.CATALOGUE
    for catalogue in frames(store, kind, period, recipe=digest(recipe.measured), **which):
        by_filter[exposure_of(catalogue.ref).filter].append(catalogue)
    return dict(sorted(by_filter.items()))


def by_pixel(catalogues: Iterable[Built], recipe: StarTableRecipe, store: Store) -> dict[int, list[Built]]:
    """Catalogues with stars in each pixel of the recipe's order that its region may touch."""
    by_number: dict[int, list[Built]] = defaultdict(list)
    for product in catalogues:
        if recipe.fields and exposure_of(product.ref).field not in recipe.fields:
            continue
        noted = product.about.get("pixels")
        touched = str(noted) if noted is not None else pixels_touched(_columns(store, product, ["star_id"])["star_id"])
        for pixel in pixels_of_order(touched, recipe.order):
            by_number[pixel].append(product)
    return {pixel: by_number[pixel] for pixel in sorted(by_number) if may_hold(recipe.region, recipe.order, pixel)}


def partitions_of(index: Built, store: Store) -> list[Built]:
    """What an index lists, in the order of star_id."""
    return list(store.manifest(index.ref).inputs)


def _columns(store: Store, product: Built, names: Sequence[str] | None = None) -> pa.Table:
    with store.open(product) as path:
        return read_table(path, names)


def _row(partition: Built) -> dict[str, Value]:
    about = partition.about
    cut = {name: n for name, n in about.items() if name not in NO_CUTS}
    return {
        "partition": partition.ref.data_id.rpartition("/")[2],
        "address": partition.ref.address,
        "sha256": partition.sha256,
        "rows": about["kept"],
        "stars": about["stars"],
        "cut": json.dumps(cut, sort_keys=True),
    }


def _summed(partitions: Sequence[Built]) -> dict[str, Value]:
    names = dict.fromkeys(name for partition in partitions for name in partition.about if name != "pixel")
    return {
        "partitions": len(partitions),
        **{name: sum(int(partition.about.get(name) or 0) for partition in partitions) for name in names},
    }
