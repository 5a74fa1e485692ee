"""Pictures of starflats, in the store and among the orchestrator's artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact

from tasks.inputs.selection import grouped
from tasks.report import truth_digest
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.figures import starflat
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.starflat_truth import truth_pictures
from ztf_in2p3.figures.summary_page import render_summary_page
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, Value, filter_of, period_of, starflat_figure_ref
from ztf_in2p3.recipes import SequenceRecipe, SequenceReportRecipe
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import opened

Products = Mapping[Kind, Built]
"""Products of one sequence, by kind."""

NEEDS = {
    "map": (Kind.STARFLAT_MAP,),
    "quadrants": (Kind.STARFLAT_MAP,),
    "gains": (Kind.STARFLAT,),
    "residuals": (Kind.STARFLAT_RESIDUALS,),
    "chi2": (Kind.STARFLAT_RESIDUALS,),
    "truth": (Kind.STARFLAT_MAP, Kind.STARFLAT),
    "pulls": (Kind.STARFLAT_MAP, Kind.STARFLAT),
}
"""Pictures of a sequence in the order of the page, and the products that each shows."""


@product_task
def draw_starflat(
    output: ProductRef,
    products: Sequence[Built],
    name: str,
    camera: Camera,
    recipe: SequenceReportRecipe,
    store: Store,
    truth: str | None,
) -> Built:
    """One picture of a sequence, or of several compared."""

    def make(path: Path) -> Mapping[str, Value]:
        picture = draw(name, products, camera, recipe.sequence, store, truth)
        path.write_bytes(picture.png)
        return {"title": picture.title, "caption": picture.caption}

    return store.build(output, recipe, products, make)


def draw(
    name: str, products: Sequence[Built], camera: Camera, recipe: SequenceRecipe, store: Store, truth: str | None
) -> Picture:
    """One picture of a starflat by its name."""
    with opened(store, products) as paths:
        tables = [read_table(path) for path in paths]
    of = called(products[0])
    match name:
        case "map":
            return starflat.map_picture(camera, tables[0], of)
        case "quadrants":
            return starflat.quadrant_picture(camera, tables[0], of)
        case "gains":
            return starflat.gain_picture(camera, tables[0], of)
        case "residuals":
            return starflat.residual_picture(camera, tables[0], of)
        case "chi2":
            return starflat.chi2_picture(camera, tables[0], of, recipe.fit.superpixels)
        case "comparison":
            return starflat.comparison_picture(camera, dict(zip(map(called, products), tables, strict=True)))
    if truth is None:
        raise ValueError(f"the picture {name!r} needs the truth of a simulated survey")
    filter, radius = filter_of(products[0].ref), recipe.stars.radius
    maps, pulls, _ = truth_pictures(camera, tables[0], tables[1], Truth.load(Path(truth)), filter, radius, of)
    return next(picture for picture in (maps, pulls) if picture.name == name)


def draw_starflats(
    fitted: Outcome, camera: Camera, recipe: SequenceRecipe, store: Store, truth: str | None = None
) -> Outcome:
    """Draw every sequence, and all of a filter beside one another; an artifact shows each filter's.

    Parameters
    ----------
    truth
        Folder of a simulated survey to compare with.
    """
    of_report = SequenceReportRecipe(recipe, truth_digest(truth))
    common: dict[str, Any] = {"camera": camera, "recipe": of_report, "store": store, "truth": truth}
    kinds = (Kind.STARFLAT, Kind.STARFLAT_MAP, Kind.STARFLAT_RESIDUALS)
    sequences = grouped(fitted.of(*kinds), filter_of, period_of)
    under_way = {
        (filter, period): [
            launch(draw_starflat, starflat_figure_ref(of_report, period, filter, name), drawn_products, name, **common)
            for name, drawn_products in sketches({product.ref.kind: product for product in products}, recipe, truth)
        ]
        for (filter, period), products in sequences.items()
    }
    for (filter,), maps in grouped(fitted.of(Kind.STARFLAT_MAP), filter_of).items():
        if len(maps) > 1:
            period = Period(period_of(maps[0].ref).first, period_of(maps[-1].ref).last)
            output = starflat_figure_ref(of_report, period, filter, "comparison")
            under_way[filter, period] = [launch(draw_starflat, output, maps, "comparison", **common)]
    drawn = Outcome()
    for (filter, period), launched in under_way.items():
        pictures = collect(launched)
        parameters = [product for product in sequences.get((filter, period), ()) if product.ref.kind is Kind.STARFLAT]
        show_starflat(filter, period, parameters, pictures.built, store)
        drawn += pictures
    return drawn


def sketches(products: Products, recipe: SequenceRecipe, truth: str | None) -> list[tuple[str, list[Built]]]:
    """Name and inputs of each picture that can be drawn of a sequence."""
    unwanted = {"gains"} if not recipe.fit.gain else set()
    unwanted |= {"truth", "pulls"} if truth is None else set()
    return [
        (name, [products[kind] for kind in needed])
        for name, needed in NEEDS.items()
        if name not in unwanted and set(needed) <= set(products)
    ]


def show_starflat(
    filter: Filter, period: Period, parameters: Sequence[Built], pictures: Sequence[Built], store: Store
) -> None:
    """An artifact, its key the filter's: the sequences form a history."""
    facts = {name.replace("_", " "): str(value) for product in parameters for name, value in product.about.items()}
    read = [picture_of(product, store) for product in pictures]
    what = called(pictures[0]) if pictures else f"{filter}, {period}"
    create_markdown_artifact(
        render_summary_page(f"Starflat {what}", facts, read), key=f"starflat-{filter}", description=f"Starflat {what}"
    )


def picture_of(figure: Built, store: Store) -> Picture:
    """A figure and its words, back from the store."""
    with store.open(figure) as path:
        return Picture(figure.ref.data_id, str(figure.about["title"]), str(figure.about["caption"]), path.read_bytes())


def called(product: Built) -> str:
    """Filter and night, or nights, of a sequence."""
    period = period_of(product.ref)
    nights = f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"
    return f"{filter_of(product.ref)}, {nights}"
