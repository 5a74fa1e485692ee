"""Star tables that other programs made, taken into the store."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pyarrow.parquet as pq
from prefect.logging import get_run_logger
from pydantic import BeforeValidator

from tasks.runtime.outcome import Outcome, SetAside, attempt
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch, product_task
from tasks.runtime.presentation import show_markdown
from tasks.runtime.settings import scratch
from tasks.star_table import NO_CUTS, write_index
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.column_maps import COLUMN_MAPS
from ztf_in2p3.catalogue.imported_file import columns_for, table_files
from ztf_in2p3.catalogue.imported_rows import Group, Wanted
from ztf_in2p3.catalogue.imported_table import Scattered, scatter, sorted_partition
from ztf_in2p3.catalogue.numbering import names_table
from ztf_in2p3.errors import BadData, Mistyped
from ztf_in2p3.figures.page import markdown_table, plain
from ztf_in2p3.products import Built, Kind, Value, filter_of, star_index_ref, star_names_ref, star_table_ref
from ztf_in2p3.recipes import ImportedColumns, StarTableRecipe, recipe_from
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.store.reading import file_as_input
from ztf_in2p3.tables.files import arrow_of


def as_path(table: Any) -> Any:
    """A table in memory (pandas, astropy, Arrow) as a file, which is what travels to a worker; texts as they are."""
    if isinstance(table, str) or table is None:
        return table
    if isinstance(table, Path):
        return str(table)
    folder = Path(tempfile.mkdtemp(prefix="ztf-table-", dir=scratch()))
    pq.write_table(arrow_of(table), folder / "table.parquet")
    return str(folder / "table.parquet")


TablePath = Annotated[str, BeforeValidator(as_path)]
"""A file or folder; in Python also a table in memory."""


def with_columns(recipe: StarTableRecipe, table: str, columns: str) -> StarTableRecipe:
    """The recipe with the map of an imported table's columns.

    Parameters
    ----------
    columns
        Name of a map, a TOML file, or ``auto``: the recipe's own if it has any, else guessed from the first file.

    Raises
    ------
    BadData
        There is no such table, or nothing fits its columns.
    Mistyped
        There is no such map.
    """
    if columns in COLUMN_MAPS:
        return replace(recipe, imported=COLUMN_MAPS[columns])
    if columns != "auto":
        path = Path(columns).expanduser()
        if not path.is_file():
            raise Mistyped(
                f"columns: {columns!r} is no map of columns; known: auto, {', '.join(COLUMN_MAPS)}, or a TOML file"
            )
        try:
            text = path.read_text()
            if not text.strip():
                raise ValueError("is empty; expected names of columns")
            return replace(recipe, imported=recipe_from(ImportedColumns, tomllib.loads(text)))
        except (OSError, ValueError, TypeError) as error:
            raise Mistyped(f"columns: {path}: {error}") from None
    if recipe.imported is not None:
        return recipe
    problems: list[str] = []
    for path in table_files(Path(table).expanduser()):
        try:
            return replace(recipe, imported=columns_for(path))
        except BadData as error:
            problems.append(str(error))
    raise BadData(problems[0])


@product_task
def import_measurements(table: str, wanted: Wanted, camera: Camera, recipe: StarTableRecipe, store: Store) -> Outcome:
    """Take an imported table: check, number, cut and sort its rows, star by star; list the partitions."""
    paths = table_files(Path(table).expanduser())
    with TemporaryDirectory(dir=scratch()) as folder:
        scattered = scatter(paths, camera, recipe, wanted, Path(folder))
        inputs = [file_as_input(str(path)) for path in paths if str(path) not in scattered.skipped]
        outcome = Outcome(set_aside=[SetAside(path, f"BadData: {why}") for path, why in scattered.skipped.items()])
        for group in scattered.parts:
            outcome += _group(table, group, scattered, inputs, recipe, store)
    return outcome


def _group(
    source: str, group: Group, scattered: Scattered, inputs: Sequence[Built], recipe: StarTableRecipe, store: Store
) -> Outcome:
    """The star table of one filter and night or period."""
    filter, period = group
    parts = scattered.parts[group]

    def make(path: Path, part: Path) -> Mapping[str, Value]:
        table, counts = sorted_partition(part, recipe)
        write_table(path, table, {"filter": str(filter)})
        return counts | (dict(scattered.counts[group]) if part == parts[0] else {"found": 0})

    outcome = attempt(
        parts,
        lambda part: store.build(
            star_table_ref(recipe, period, filter, part.stem), recipe, inputs, lambda path: make(path, part)
        ),
        name=lambda part: f"{source} {filter} {part.stem}",
    )
    if outcome.set_aside:
        return outcome
    partitions = outcome.of(Kind.STAR_TABLE)
    index = star_index_ref(recipe, period, filter)
    outcome += Outcome([store.build(index, recipe, partitions, lambda path: write_index(path, partitions))])
    if scattered.names:
        names = store.build(
            star_names_ref(recipe, period, filter),
            recipe,
            inputs,
            lambda path: write_table(path, names_table(scattered.names)),
        )
        outcome += Outcome([names])
    return outcome


def import_star_table(
    table: str, columns: str, scope: Scope, recipe: StarTableRecipe, store: Store, *, by_night: bool = False
) -> tuple[Outcome, StarTableRecipe]:
    """The star tables of an imported table, one a filter and period or night; and the recipe by which they are kept."""
    try:
        recipe = with_columns(recipe, table, columns)
    except BadData as error:
        return Outcome(set_aside=[SetAside.because(table, error)]), recipe
    wanted = Wanted(scope.period, tuple(scope.filters), by_night, tuple(scope.ccdids))
    outcome = collect([launch(import_measurements, table, wanted, scope.camera, recipe, store)])
    tell_rows(table, outcome)
    return outcome, recipe


def tell_rows(table: str, outcome: Outcome) -> None:
    """Say in the log and among the artifacts how many rows were left out, and why."""
    rows = []
    for index in outcome.of(Kind.STAR_INDEX):
        about = index.about
        cut = {reason: n for reason, n in about.items() if reason not in (*NO_CUTS, "partitions") and n}
        reasons = ", ".join(f"{reason} {n}" for reason, n in cut.items()) or "none"
        get_run_logger().info(
            "%s, %s: %s of %s measurements kept, of %s stars; left out: %s",
            table,
            index.ref.label,
            about["kept"],
            about["found"],
            about["stars"],
            reasons,
        )
        period = index.ref.data_id.split("/")[0]
        counts = [str(about[name]) for name in ("found", "kept", "stars")]
        rows.append([f"{filter_of(index.ref)} {period}", *counts, reasons])
    if rows:
        counted = markdown_table(["table", "measurements", "kept", "stars", "left out"], rows)
        show_markdown("imported-table", f"# {plain(Path(table).name)}\n\n{counted}\n", f"rows of {table}")
