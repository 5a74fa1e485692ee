"""Which measurements a fit is given: our catalogues, a star table in the store, or a table of another program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.imported_table import import_star_table
from tasks.inputs.recipes import noted_recipe
from tasks.inputs.selection import absent, frames
from tasks.runtime.locations import IN_STORE
from tasks.runtime.outcome import Outcome, SetAside, total
from tasks.runtime.parameters import Scope
from tasks.star_table import catalogues_of, make_star_table
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, exposure_of, filter_of, period_of
from ztf_in2p3.recipes import CatalogueRecipe, StarTableRecipe, digest
from ztf_in2p3.store import Store


def star_tables(
    scope: Scope,
    store: Store,
    recipe: StarTableRecipe,
    table: str | None = None,
    columns: str = "auto",
    *,
    by_night: bool = False,
) -> tuple[Outcome, StarTableRecipe]:
    """The star tables that a fit reads, made or found, and the recipe that they are of.

    Parameters
    ----------
    table
        File or folder of another program's measurements; or a star table in the store, by its address or its recipe's
        digest; None: of the catalogues in the store, or of the only imported table that it has of the period.
    by_night
        One for each night: a sequence.
    """
    address = None if table is None or Path(table).expanduser().exists() else IN_STORE.fullmatch(table)
    if address:
        return _of_store(scope, store, address[1])
    if table is not None:
        return import_star_table(table, columns, scope, recipe, store, by_night=by_night)
    if recipe.imported is not None:
        return _of_store(scope, store, digest(recipe))
    catalogues = catalogues_of(store, scope.period, recipe, **scope.which)
    if not catalogues and recipe.psf is None and recipe.catalogue == CatalogueRecipe():
        imported = _imported(scope, store)
        measured = other_catalogues(store, scope)
        if len(imported) + len(measured) > 1:
            known = [f"imported table {name} (--table {name})" for name in imported]
            known += [f"catalogues of recipe {name}" for name in measured]
            error = MissingProduct(
                f"the store has no catalogues of the default recipe, but {', '.join(known)}: say which in the recipe"
            )
            return Outcome(set_aside=[SetAside.because(f"star tables of {scope.period}", error)]), recipe
        if imported:
            get_run_logger().info("no catalogues in the store, but the imported table %s: it is taken", imported[0])
            return _of_store(scope, store, imported[0])
        for catalogue in measured.values():
            get_run_logger().info("catalogues of the only recipe in the store are taken: %s", digest(catalogue))
            recipe = with_catalogue(recipe, catalogue)
            catalogues = catalogues_of(store, scope.period, recipe, **scope.which)
    groups = (
        sequences(catalogues)
        if by_night
        else {(scope.period, filter): of_group for filter, of_group in catalogues.items()}
    )
    outcome = total(
        make_star_table(period, filter, of_group, scope.camera, recipe, store)
        for (period, filter), of_group in groups.items()
    )
    listed = (exposure_of(catalogue.ref) for of_filter in catalogues.values() for catalogue in of_filter)
    missing = absent(scope.exposures, scope.period, listed, "the store, among its catalogues,")
    return outcome + Outcome(set_aside=missing), recipe


def sequences(catalogues: Mapping[Filter, Sequence[Built]]) -> dict[tuple[Period, Filter], list[Built]]:
    """The catalogues of each night and filter."""
    nights: dict[tuple[date, Filter], list[Built]] = {}
    for filter, of_filter in catalogues.items():
        for catalogue in of_filter:
            nights.setdefault((exposure_of(catalogue.ref).night, filter), []).append(catalogue)
    return {(Period.of(night), filter): of_filter for (night, filter), of_filter in sorted(nights.items())}


def with_catalogue(recipe: StarTableRecipe, catalogue: CatalogueRecipe) -> StarTableRecipe:
    """The same star table of other catalogues; of the aperture nearest in size, if they do not have the same."""
    radius = min(catalogue.photometry.radii, key=lambda radius: abs(radius - recipe.radius))
    return replace(recipe, catalogue=catalogue, radius=radius)


def other_catalogues(store: Store, scope: Scope) -> dict[str, CatalogueRecipe]:
    """Recipes of the catalogues that the store has of a scope, by digest."""
    catalogues = frames(store, Kind.CATALOGUE, scope.period, recipe=None, **scope.which)
    first = {catalogue.ref.recipe: catalogue.ref for catalogue in catalogues}
    recipes = {name: noted_recipe(store, ref, CatalogueRecipe) for name, ref in sorted(first.items())}
    return {name: recipe for name, recipe in recipes.items() if recipe is not None}


def _imported(scope: Scope, store: Store) -> list[str]:
    """Digests of the recipes of the imported tables that the store has of a scope."""
    indices = [index for index in store.list(Kind.STAR_INDEX) if _overlaps(index, scope)]
    first = {index.ref.recipe: index.ref for index in indices}
    recipes = {name: noted_recipe(store, ref, StarTableRecipe) for name, ref in sorted(first.items())}
    return [name for name, recipe in recipes.items() if recipe is not None and recipe.imported is not None]


def _of_store(scope: Scope, store: Store, recipe_digest: str) -> tuple[Outcome, StarTableRecipe]:
    """Star tables that are in the store."""
    indices = [index for index in store.list(Kind.STAR_INDEX, recipe_digest) if _overlaps(index, scope)]
    recipe = noted_recipe(store, indices[0].ref, StarTableRecipe) if indices else None
    if recipe is None:
        error = MissingProduct(
            f"the store has none of recipe {recipe_digest} for these filters; run the flow import-table or stars, "
            "or give a file"
        )
        return Outcome(set_aside=[SetAside.because(f"star tables of {scope.period}", error)]), StarTableRecipe()
    return Outcome(indices), recipe


def _overlaps(index: Built, scope: Scope) -> bool:
    period = period_of(index.ref)
    return (
        filter_of(index.ref) in scope.filters
        and scope.period.first <= period.first
        and period.last <= scope.period.last
    )
