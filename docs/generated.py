"""Pages that the code writes itself: data products, recipes, commands.  A hook of mkdocs, and of the tests."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa

from flows.cli.commands import FLOWS, TOOLS
from flows.cli.outline import Outline, is_elsewhere, outline
from tasks.runtime.form import meanings
from ztf_in2p3 import recipes, tables
from ztf_in2p3.figures.drawings import DRAWINGS
from ztf_in2p3.products import Kind
from ztf_in2p3.products.layout import LAYOUTS, Layout
from ztf_in2p3.recipes.limits import bounds_of, choices_of
from ztf_in2p3.recipes.meanings import meanings_of, summary
from ztf_in2p3.ubercal import tables as survey_tables

COLUMNS: dict[Kind, Sequence[tables.Column] | pa.Schema] = {
    Kind.REFERENCE: tables.REFERENCE,
    Kind.CATALOGUE: tables.catalogue_schema([3.0]),
    Kind.SCIENCE_CATALOGUE: tables.catalogue_schema([3.0]),
    Kind.STAR_TABLE: tables.STAR_TABLE,
    Kind.STAR_INDEX: tables.STAR_TABLE_INDEX,
    Kind.CALIBRATIONS: tables.CALIBRATIONS,
    Kind.FOCAL_PLANE: tables.FOCAL_PLANE,
    Kind.LINEARITY: tables.LINEARITY,
    Kind.POCKET: tables.POCKET,
    Kind.POCKET_PROFILES: tables.POCKET_PROFILES,
    Kind.STARFLAT: tables.PARAMETERS,
    Kind.STARFLAT_MAP: tables.STARFLAT_MAP,
    Kind.STARFLAT_RESIDUALS: tables.STARFLAT_RESIDUALS,
    Kind.UBERCAL: tables.PARAMETERS,
    Kind.ZERO_POINTS: survey_tables.ZERO_POINTS,
    Kind.MEAN_STARS: survey_tables.MEAN_STARS,
    Kind.REPEATABILITY: survey_tables.REPEATABILITY,
    Kind.RESIDUAL_MAP: survey_tables.FOCAL_PLANE,
    Kind.SKY_MAP: survey_tables.SKY,
    Kind.STAR_CURVES: [
        *tables.CURVE_OBJECTS,
        *(replace(point, name=f"lightcurve.{point.name}") for point in tables.CURVE_POINTS),
    ],
    Kind.CURVE_OBJECTS: tables.CURVE_OBJECTS,
    Kind.PSF: tables.PSF,
    Kind.PSF_CATALOGUE: tables.PSF_CATALOGUE,
    Kind.STAMP: tables.STAMP,
    Kind.LIGHT_CURVE: tables.LIGHT_CURVE,
    Kind.CURVE_STARS: tables.CURVE_STARS,
}
"""Columns of the products that are Parquet tables of one schema."""

BLANK = re.compile(r"\{(?:\w+\.)?(\w+)(?::[^}]+)?\}")
"""A blank of a layout's template, with the name of what fills it."""

GENERATED = ("products.md", "figures.md", "recipes.md", "commands.md")


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages (mkdocs calls this)."""
    from mkdocs.structure.files import File

    for name, page in zip(GENERATED, (products_page, figures_page, recipes_page, commands_page), strict=True):
        files.append(File.generated(config, name, content=page()))
    return files


def products_page() -> str:
    """Every kind of product, what it is, and the columns of those that are tables."""
    meaning = kinds()
    layouts = [(kind, layout) for kind in Kind for layout in LAYOUTS[kind]]
    spellings = [
        (f"`{kind}`", f"`{spelled(layout.data_id)}`", f"`{spelled(layout.file_name)}`") for kind, layout in layouts
    ]
    parts = [
        "# Data products",
        "In the store a product is at `kind/recipe/data/file`, its manifest beside it. A recipe of `-` means "
        "that it was not computed here. In the names of files `{dates}` is the night, or the first and the last; "
        "`{made}` is the name of the raw frame with `ztfin2p3_` for `ztf_`. `ztf.open_store(folder)` lists, reads and "
        "explains them in Python.",
        table(["kind", "made by", "what it is"], [made_by(kind, layout, meaning[kind]) for kind, layout in layouts]),
        table(["kind", "data", "file"], spellings),
        "Columns of the tables follow. In aperture catalogues, `k` counts the radii of the recipe from 0.",
    ]
    for kind, columns in COLUMNS.items():
        parts += [f"## {kind}", meaning[kind], table(["column", "type", "unit", "meaning"], rows_of(columns))]
    return "\n\n".join(parts) + "\n"


def figures_page() -> str:
    """Every figure, page by page, what it is drawn of, and what one should see in it."""
    parts = [
        "# Figures",
        "What the figures of the pages show, and what would be wrong. Each is a product with its own address; "
        "what compares with a truth is drawn of simulated surveys only. In braces: words and numbers of the figure.",
    ]
    for page, drawings in itertools.groupby(DRAWINGS.values(), lambda drawing: drawing.page):
        rows = [
            (
                drawing.stem,
                ", ".join(f"`{kind}`" for kind in drawing.needs),
                spelled(drawing.title),
                spelled(drawing.caption + (drawing.without_truth or drawing.beside_truth)),
            )
            for drawing in drawings
        ]
        parts += [f"## {page}", table(["name", "drawn of", "title", "caption"], rows)]
    return "\n\n".join(parts) + "\n"


def kinds() -> dict[Kind, str]:
    """What the docstring of each kind says."""
    (defined,) = ast.parse(inspect.getsource(Kind)).body
    described = {
        Kind(member.value.value): " ".join(docstring.value.value.split())
        for member, docstring in pairwise(defined.body)  # type: ignore[attr-defined]
        if isinstance(member, ast.Assign) and isinstance(docstring, ast.Expr)
    }
    return {kind: described.get(kind, "") for kind in Kind}


def made_by(kind: Kind, layout: Layout, meaning: str) -> tuple[str, str, str]:
    """A kind, the recipes that make it, and what it is; several rows for kinds of several things."""
    recipes_of_row = ", ".join(f"`{name.removeprefix('recipes.')}`" for name in (layout.recipe or "-").split(" | "))
    return f"`{kind}`", recipes_of_row, meaning if len(LAYOUTS[kind]) == 1 else layout.meaning


def spelled(template: str) -> str:
    """A template with the bare names of its blanks."""
    return BLANK.sub(r"{\1}", template)


def rows_of(columns: Sequence[tables.Column] | pa.Schema) -> list[tuple[str, ...]]:
    """Name, type, unit and meaning of each column."""
    schema = columns if isinstance(columns, pa.Schema) else tables.schema_of(columns)
    rows = []
    for field in schema:
        about = {key.decode(): value.decode() for key, value in field.metadata.items()}
        rows.append((f"`{field.name}`", str(field.type), about["unit"], about["description"]))
    return rows


def recipes_page() -> str:
    """Every recipe with its fields, their defaults and limits."""
    parts = [
        "# Recipes",
        "Every number that a product depends on. A file (`--recipe FILE`) or a form names those that differ; "
        "tables of a TOML file are nested recipes. Another number makes another product, beside the old one.",
    ]
    for name in sorted(recipes.__all__):
        if is_dataclass(kind := getattr(recipes, name)):
            rows = [
                (f"`{field.name}`", default_of(field), limits_text(kind, field.name), meanings_of(kind)[field.name])
                for field in fields(kind)
            ]
            parts += [f"## {name}", summary(kind), table(["field", "default", "may be", "meaning"], rows)]
    return "\n\n".join(parts) + "\n"


def default_of(field: Any) -> str:
    """Default of a recipe's field; a nested recipe by its name."""
    if isinstance(field.default, (int, float, str, tuple, bool, type(None))):
        return f"`{field.default!r}`"
    factory = getattr(field.default_factory, "__name__", "")
    name = factory or type(field.default).__name__
    return f"[{name}](#{name.lower()})" if name in recipes.__all__ else ""


def limits_text(kind: type, name: str) -> str:
    """Words or numbers that a field may have."""
    return ", ".join(choices_of(kind, name)) or str(bounds_of(kind, name) or "")


def commands_page() -> str:
    """Every command with its parameters."""
    parts = [
        "# Commands",
        "`ztf COMMAND --help` says the same. Period or night come first and the store second, with or without "
        "their names (`--store`). Numbers and words that a command takes several of follow one another: `--ccds 3 4`.",
    ]
    for name in FLOWS:
        of_flow = outline(name)
        text = of_flow.documentation.partition("Parameters\n----------\n")[0].strip()
        parts += [
            f"## ztf {name.replace('_', '-')}",
            escaped(text),
            table(["parameter", "default", "meaning"], parameters(of_flow)),
        ]
    for name, (_, line) in TOOLS.items():
        parts += [f"## ztf {name}", f"{line} See `ztf {name} --help`."]
    return "\n\n".join(parts) + "\n"


def parameters(of_flow: Outline) -> list[tuple[str, ...]]:
    """Name, default and meaning of each parameter of a command."""
    meaning = meanings(of_flow.documentation)
    rows = []
    for parameter in of_flow.signature.parameters.values():
        default = "required" if parameter.default is parameter.empty else f"`{parameter.default}`"
        hidden = parameter.default is None or is_elsewhere(parameter.default) or parameter.name == "recipe"
        shown = "" if hidden else default
        rows.append((f"`--{parameter.name.replace('_', '-')}`", shown, meaning[parameter.name]))
    return rows


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown of a table."""
    lines = [titles, ["---"] * len(titles), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Text that cannot end its cell."""
    return escaped(text).replace("|", "\\|").replace("\n", " ")


def escaped(text: str) -> str:
    """Text without the beginnings of HTML."""
    return text.replace("<", "&lt;")
