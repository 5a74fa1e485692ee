"""Figures of the table of drawings, the pages that show them, and their artifacts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Protocol

from tasks.inputs.images import detrend
from tasks.inputs.jobs import CcdJob
from tasks.runtime.outcome import Outcome, SetAside, failure_of
from tasks.runtime.policies import Launched, collect, launch, product_task
from tasks.runtime.presentation import show_markdown
from ztf_in2p3.camera import ZTF, Camera
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.figures.drawings import DRAWINGS, drawings_of
from ztf_in2p3.figures.page import Report, render_html, render_markdown
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.style import png
from ztf_in2p3.figures.summary_page import render_summary_page
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.image import Image
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    ccd_of,
    ccdid_of,
    figure_ref,
    part_of,
    period_of,
    quadrant_of,
    sensor_figure_ref,
)
from ztf_in2p3.recipes import (
    FringeRecipe,
    LinearityRecipe,
    PocketRecipe,
    PsfCatalogueRecipe,
    QuadrantRecipe,
    ScienceCatalogueRecipe,
)
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store import Store

SensorRecipe = PocketRecipe | LinearityRecipe | FringeRecipe


@dataclass(frozen=True, slots=True)
class Raws:
    """CCD exposures that a drawing shows detrended."""

    jobs: Sequence[CcdJob]
    recipe: QuadrantRecipe


@product_task
def draw_figure(
    output: ProductRef,
    drawing: str,
    inputs: Sequence[Built],
    recipe: object,
    store: Store,
    camera: Camera = ZTF,
    truth: str | None = None,
    raws: Raws | None = None,
) -> Built:
    """Draw a figure of the table; its words are kept in the manifest, for the page.

    Parameters
    ----------
    drawing
        Name in `ztf_in2p3.figures.drawings.DRAWINGS`.
    inputs
        Products that are shown, those that detrend `raws` among them.
    truth
        Folder of a simulated survey to compare with.
    raws
        Raw frames that it detrends.
    """

    def images(ccd: CcdExposure) -> Mapping[int, Image]:
        [(job, quadrant)] = [(job, raws.recipe) for job in raws.jobs if job.ccd == ccd] if raws else []
        return {qid: image for qid, (image, _) in detrend(job, camera, quadrant, store).items()}

    def make(path: Path) -> Mapping[str, Value]:
        known = Truth.load(Path(truth)) if truth else None
        exposures = [job.ccd for job in raws.jobs] if raws else []
        sheet = Sheet(output, inputs, store, recipe, camera, known, exposures, images)
        result = DRAWINGS[drawing].draw(sheet)
        drawn = result if isinstance(result, Drawn) else Drawn(result)
        path.write_bytes(png(drawn.figure))
        title, caption = DRAWINGS[drawing].words(sheet, drawn)
        return {"title": title, "caption": caption, **drawn.about}

    return store.build(output, recipe, inputs, make)


@dataclass(frozen=True, slots=True)
class Sketch:
    """A figure that is to be drawn."""

    output: ProductRef
    drawing: str
    inputs: Sequence[Built]
    raws: Raws | None = None

    def launch(self, recipe: object, store: Store, camera: Camera = ZTF, truth: str | None = None) -> Launched:
        """Start to draw it."""
        return launch(draw_figure, self.output, self.drawing, self.inputs, recipe, store, camera, truth, self.raws)


def sketches(
    page: str,
    products: Sequence[Built],
    output: Callable[[str], ProductRef],
    *,
    truth: str | None = None,
    without: Collection[str] = (),
) -> list[Sketch]:
    """Figures of a page that can be drawn of some products; `output`: address of a figure by its name on the page."""
    return [
        Sketch(output(drawing.stem), drawing.name, inputs)
        for drawing in drawings_of(page, truth=truth, without=without)
        if (inputs := drawing.inputs(products))
    ]


def ccd_sketches(products: Sequence[Built], recipe: SensorRecipe, raws: Raws | None = None) -> list[Sketch]:
    """Figures of what was measured of one CCD over a period: those of the first product.

    Parameters
    ----------
    raws
        Raw frames that the figures detrend, whose files are then among their inputs.
    """
    first = products[0].ref
    files = [product for job in raws.jobs for product in job.inputs] if raws else []

    def output(name: str) -> ProductRef:
        return sensor_figure_ref(recipe, period_of(first), f"{name}-c{ccdid_of(first):02d}")

    return [
        replace(sketch, inputs=list(dict.fromkeys([*sketch.inputs, *files])), raws=raws)
        for sketch in sketches("ccd", products, output)
    ]


def image_sketches(
    name: str, measured: Outcome, night: date, recipe: ScienceCatalogueRecipe | PsfCatalogueRecipe
) -> list[Sketch]:
    """A drawing of each of the archive's images of which there is a catalogue; `name`: the drawing's on its page."""
    catalogues = {ccd_of(catalogue.ref): catalogue for catalogue in measured.of(Kind.SCIENCE_CATALOGUE)}
    masks = {mask.ref.data_id: mask for mask in measured.of(Kind.MASK)}
    drawing = DRAWINGS[f"image/{name}"]
    return [
        Sketch(figure_ref(recipe, night, f"{name}-{quadrant_of(image.ref)}"), drawing.name, drawing.inputs(products))
        for image in measured.of(Kind.SCIENCE)
        if ccd_of(image.ref) in catalogues
        for products in [[catalogues[ccd_of(image.ref)], image, masks[image.ref.data_id]]]
    ]


@dataclass(frozen=True, slots=True)
class FigurePage:
    """Figures that an artifact shows together, with what is said above them."""

    key: str
    """Key of the artifact: pages of one key form a history."""
    title: str
    figures: Sequence[Sketch]
    facts: Mapping[str, Value] = field(default_factory=dict)


def draw_pages(
    pages: Iterable[FigurePage], recipe: object, store: Store, camera: Camera = ZTF, truth: str | None = None
) -> Outcome:
    """Draw the figures of all pages, and leave an artifact of each page."""
    under_way = [(page, [sketch.launch(recipe, store, camera, truth) for sketch in page.figures]) for page in pages]
    drawn = Outcome()
    for page, launched in under_way:
        figures = collect(launched)
        facts = {name.replace("_", " "): str(value) for name, value in page.facts.items()}
        pictures = [picture_of(figure, store) for figure in figures.built]
        show_markdown(page.key, render_summary_page(page.title, facts, pictures), page.title)
        drawn += figures
    return drawn


class PageContents(Protocol):
    """What a page of the store is made of."""

    @property
    def inputs(self) -> Sequence[Built]:
        """Products that it shows."""

    def report(self, store: Store) -> Report:
        """What it shows."""


@product_task
def write_page(output: ProductRef, contents: PageContents, recipe: object, store: Store) -> Built:
    """Write a page for the store; the manifest keeps its verdict."""

    def make(path: Path) -> Mapping[str, Value]:
        report = contents.report(store)
        path.write_text(render_html(report), encoding="utf-8")
        return {"verdict": report.verdict, "verdict_text": report.verdict_text}

    return store.build(output, recipe, contents.inputs, make)


def make_page(output: ProductRef, contents: PageContents, recipe: object, store: Store, key: str) -> Outcome:
    """A page in the store, and the same as an artifact: one key, so that the pages form a history."""
    page = collect([launch(write_page, output, contents, recipe, store)])
    try:
        report = contents.report(store)
    except MissingProduct as error:  # a figure was damaged since it was drawn: the next run draws it again
        page += Outcome(set_aside=[SetAside.because(output.label, error)])
    else:
        show_markdown(key, render_markdown(report), f"{report.title}: {report.verdict_text}")
    return page + Outcome(failure=failure_of(page, store))


def picture_of(figure: Built, store: Store) -> Picture:
    """A figure and its words, back from the store."""
    name = part_of(figure.ref)
    title, caption = str(figure.about.get("title") or name), str(figure.about.get("caption") or "")
    with store.open(figure) as path:
        return Picture(name, title, caption, path.read_bytes())
