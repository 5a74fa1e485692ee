"""Pictures of fitted surveys, in the store and among the orchestrator's artifacts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from prefect.artifacts import create_markdown_artifact

from tasks.inputs.selection import grouped
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.style import png
from ztf_in2p3.figures.ubercal import (
    CAPTIONS,
    plot_external,
    plot_repeatability,
    plot_residual_map,
    plot_sky,
    plot_zero_points,
)
from ztf_in2p3.products import Built, Kind, ProductRef, Value, filter_of, period_of, survey_figure_ref
from ztf_in2p3.recipes import SurveyRecipe
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.ubercal.tables import external_levels

SHOWN = {
    "zero-points": Kind.ZERO_POINTS,
    "repeatability": Kind.REPEATABILITY,
    "focal-plane": Kind.RESIDUAL_MAP,
    "sky": Kind.SKY_MAP,
    "external": Kind.MEAN_STARS,
}
"""Pictures, and what each shows."""


@product_task
def draw_survey(
    output: ProductRef, product: Built, name: str, camera: Camera, recipe: SurveyRecipe, store: Store
) -> Built:
    """One of the pictures of a survey."""

    def make(path: Path) -> Mapping[str, Value]:
        path.write_bytes(png(draw(name, product, camera, store)))
        return {"title": name.replace("-", " "), "caption": CAPTIONS[name]}

    return store.build(output, recipe, [product], make)


def draw(name: str, product: Built, camera: Camera, store: Store) -> Figure:
    """One picture of fitted zero points by its name."""
    title = f"{filter_of(product.ref)}, {period_of(product.ref)}"
    with store.open(product) as path:
        table = read_table(path)
    match name:
        case "zero-points":
            return plot_zero_points(table, title=title)
        case "repeatability":
            return plot_repeatability(table, title=title)
        case "focal-plane":
            return plot_residual_map(table, camera)
        case "sky":
            return plot_sky(table, title=title)
    return plot_external(table, external_levels([table]), title=title)


def draw_surveys(
    fitted: Outcome, camera: Camera, recipe: SurveyRecipe, store: Store, *, external: bool = False
) -> Outcome:
    """Draw every fit; an artifact shows each with its numbers.  `external`: there was a catalogue to compare with."""
    common: dict[str, Any] = {"camera": camera, "recipe": recipe, "store": store}
    fits = grouped(fitted.of(*SHOWN.values()), period_of, filter_of)
    under_way = [
        (
            products,
            [
                launch(draw_survey, survey_figure_ref(recipe, period, filter, name), product, name, **common)
                for name, kind in SHOWN.items()
                for product in products
                if product.ref.kind is kind and (external or name != "external")
            ],
        )
        for (period, filter), products in fits.items()
    ]
    drawn = Outcome()
    for products, pictures in under_way:
        drawn_pictures = collect(pictures)
        for product in products:
            if product.ref.kind is Kind.ZERO_POINTS:
                show_survey(product, drawn_pictures.built, store)
        drawn += drawn_pictures
    return drawn


def show_survey(zero_points: Built, pictures: Sequence[Built], store: Store) -> None:
    """An artifact, its key the filter's: fits of longer and longer periods form a history."""
    filter, period = filter_of(zero_points.ref), period_of(zero_points.ref)
    facts = [f"| {key.replace('_', ' ')} | {value} |" for key, value in zero_points.about.items()]
    text = [f"# Zero points of {filter}, {period}", "", "| | |", "|---|---|", *facts, ""]
    for picture in pictures:
        with store.open(picture) as path:
            content = base64.b64encode(path.read_bytes()).decode()
        text += [
            f"## {picture.about['title']}",
            f"![{picture.about['title']}](data:image/png;base64,{content})",
            "",
            str(picture.about["caption"]),
            "",
            f"`{store.uri(picture.ref)}`",
            "",
        ]
    create_markdown_artifact(
        "\n".join(text),
        key=f"ubercal-{filter}",
        description=f"{zero_points.about['zero_points']} zero points, {period}",
    )
