"""A night's report: the numbers behind its figures, and the page that shows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect.artifacts import create_markdown_artifact

from tasks import figures
from tasks.figures import draw_figure
from tasks.inputs.jobs import CcdJob, asked_in, ccd_jobs
from tasks.inputs.selection import absent_from_store, grouped
from tasks.runtime.outcome import Outcome, SetAside, failure_of
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.figures.page import Aside, Link, ProductCount, Report, render_html, render_markdown
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.quality import MAX_SET_ASIDE, quality_checks, summarise_night
from ztf_in2p3.figures.residuals import RESIDUALS, residuals
from ztf_in2p3.figures.simulated import aperture_truth
from ztf_in2p3.figures.summary import join, quadrant_summary
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    NO_RECIPE,
    Built,
    Kind,
    ProductRef,
    Value,
    catalogue_ref,
    ccd_of,
    figure_ref,
    filter_of,
    period_of,
    report_ref,
    summary_ref,
)
from ztf_in2p3.recipes import CatalogueRecipe, DetectorRecipe, ReportRecipe, digest
from ztf_in2p3.simulate.truth import PLAN, Truth
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.tables import schema_of


@product_task
def summarise_quadrants(target: ProductRef, catalogues: Sequence[Built], recipe: ReportRecipe, store: Store) -> Built:
    """One row a quadrant and exposure, from the catalogues of a night, one at a time."""

    def make(spool: Path) -> None:
        write_table(spool, join(quadrant_summary(table) for table in tables(store, catalogues)))

    return store.build(target, recipe, catalogues, make)


@product_task
def compare_with_truth(
    target: ProductRef, catalogues: Sequence[Built], truth: str, recipe: ReportRecipe, store: Store
) -> Built:
    """Flux residuals of the isolated stars of a simulated night."""

    def make(path: Path) -> None:
        true = Truth.load(Path(truth))
        parts = [
            residuals(table, aperture_truth(true, ccd_of(catalogue.ref), recipe.radius), radius=recipe.radius)
            for catalogue, table in zip(catalogues, tables(store, catalogues), strict=True)
        ]
        write_table(path, pa.concat_tables([schema_of(RESIDUALS).empty_table(), *parts]))

    return store.build(target, recipe, catalogues, make)


@product_task
def write_page(
    target: ProductRef,
    drawn: Sequence[Built],
    numbers: Sequence[Built],
    night: date,
    camera: Camera,
    outcome: Outcome,
    detector: Sequence[Built],
    tolerated: float,
    recipe: ReportRecipe,
    store: Store,
) -> Built:
    """The page of a night, for the store.

    What was set aside is on the page and has no file, so its own digest stands among the inputs.
    """

    def make(spool: Path) -> Mapping[str, Value]:
        report = report_of(drawn, numbers, night, camera, outcome, detector, tolerated, store)
        spool.write_text(render_html(report), encoding="utf-8")
        return {"verdict": report.verdict, "verdict_text": report.verdict_text}

    return store.build(target, recipe, [*drawn, *numbers, *detector, _as_input(target, outcome, tolerated)], make)


def in_store(store: Store, period: Period, recipe: CatalogueRecipe, **which: Any) -> tuple[list[CcdJob], Outcome]:
    """CCD exposures of a night with the masters chosen for them; products of the night and what is missing."""
    ready, aside = ccd_jobs(store, period, recipe.quadrant, **which)
    jobs = [job for jobs in ready.values() for job in jobs]
    catalogues = [store.find(catalogue_ref(recipe, job.ccd)) for job in jobs]
    missing = [
        SetAside(str(job.ccd), "MissingProduct: no catalogue of it in the store; run the flow catalogue")
        for job, catalogue in zip(jobs, catalogues, strict=True)
        if catalogue is None
    ]
    used = {built.ref: built for job in jobs for built in (*job.inputs, *job.stars)}
    products = (*used.values(), *(catalogue for catalogue in catalogues if catalogue))
    absent = absent_from_store(store, period, **which)
    return jobs, Outcome(products, (*absent, *aside, *missing), asked_in(store, period, **which))


def draw_report(
    night: date,
    camera: Camera,
    recipe: CatalogueRecipe,
    store: Store,
    jobs: Sequence[CcdJob],
    outcome: Outcome,
    truth: str | None = None,
    *,
    tolerated: float = MAX_SET_ASIDE,
) -> Outcome:
    """Numbers, figures and page of a night, in the store and among the orchestrator's artifacts.

    Parameters
    ----------
    jobs
        CCD exposures of the night, with the masters that were chosen for them.
    outcome
        Products of the night, its catalogues among them, and what was set aside.
    truth
        Folder of a simulated survey to compare with.
    tolerated
        Fraction of the CCD exposures that may lack a catalogue on a night that is good.
    """
    of_report = ReportRecipe(recipe, truth_digest(truth))
    catalogues = sorted(outcome.of(Kind.CATALOGUE), key=lambda built: built.ref)
    common: dict[str, Any] = {"recipe": of_report, "store": store}
    launched = [launch(summarise_quadrants, summary_ref(of_report, night, "quadrants"), catalogues, **common)]
    if truth:
        launched.append(
            launch(compare_with_truth, summary_ref(of_report, night, "residuals"), catalogues, truth, **common)
        )
    numbers = collect(launched)
    if numbers.set_aside:  # half of the numbers make no page; the reason is among them
        return numbers
    drawn = collect(
        launch(draw_figure, figure_ref(of_report, night, name), inputs, draw, camera=camera, truth=truth, **common)
        for name, inputs, draw in sketches(jobs, catalogues, numbers.built, recipe)
    )
    page_inputs = (drawn.built, numbers.built, night, camera, outcome, detector_pages(store, recipe, night), tolerated)
    page = collect([launch(write_page, report_ref(of_report, night), *page_inputs, of_report, store)])
    try:
        show_page(report_of(*page_inputs, store))
    except MissingProduct as error:  # a figure was damaged since it was drawn: the next run draws it again
        page += Outcome(set_aside=[SetAside.because("the night's report", error)])
    return numbers + drawn + page + Outcome(failure=failure_of(page, store))


def show_page(report: Report) -> None:
    """The same page as an artifact: one key, so that the nights form a history."""
    create_markdown_artifact(
        render_markdown(report),
        key=f"night-report-{report.camera}",
        description=f"{report.title}: {report.verdict_text}",
    )


def sketches(
    jobs: Sequence[CcdJob], catalogues: Sequence[Built], numbers: Sequence[Built], recipe: CatalogueRecipe
) -> list[tuple[str, list[Built], figures.Draw]]:
    """Name, inputs and way of drawing of each figure, in the order of the page."""
    of_ccd = {catalogue.ref.data_id: catalogue for catalogue in catalogues}
    measured = [job for job in jobs if job.raw.ref.data_id in of_ccd]
    biases = sorted({job.calibration.bias.built.ref: job.calibration.bias.built for job in jobs}.items())
    flats = sorted({job.calibration.flat.built.ref: job.calibration.flat.built for job in jobs}.items())
    quadrants, *compared = numbers
    drawings: list[tuple[str, list[Built], figures.Draw]] = []
    if biases:
        drawings.append(("bias", [built for _, built in biases], figures.bias))
    for (filter,), of_filter in grouped([built for _, built in flats], filter_of).items():
        drawings.append((f"flat-{filter}", of_filter, figures.flat))
    if measured:
        job = measured[0]
        inputs = [*job.inputs, of_ccd[job.raw.ref.data_id]]
        drawings.append(("quadrant", inputs, partial(figures.quadrant, job=job, recipe=recipe)))
    for name in ("night", "background", "stars"):
        drawings.append((name, [quadrants], getattr(figures, name)))
    drawings.append(("growth", list(catalogues), figures.growth))
    for table in compared:
        drawings += [("residuals", [table], figures.residuals), ("residual-map", [table], figures.residual_map)]
    return drawings


def detector_pages(store: Store, recipe: CatalogueRecipe, night: date) -> list[Built]:
    """Pages on the detector for the periods that the night belongs to."""
    pages = store.list(Kind.REPORT, digest(DetectorRecipe(recipe.quadrant)))
    return [page for page in pages if night in period_of(page.ref)]


def report_of(
    drawn: Sequence[Built],
    numbers: Sequence[Built],
    night: date,
    camera: Camera,
    outcome: Outcome,
    detector: Sequence[Built],
    tolerated: float,
    store: Store,
) -> Report:
    """What the page shows."""
    quadrants, *compared = tables(store, numbers)
    n_made, n_aside = len(outcome.built), len(outcome.set_aside)
    summary = summarise_night(
        night,
        camera,
        quadrants,
        *compared,
        n_made=n_made,
        n_set_aside=n_aside,
        completeness=outcome.completeness if outcome.asked else None,
        tolerated=tolerated,
    )
    counts = {kind: len(outcome.of(kind)) for kind in Kind}
    return Report(
        night,
        camera.name,
        quality_checks(summary),
        [picture_of(figure, store) for figure in drawn],
        [ProductCount(str(kind), n) for kind, n in counts.items() if n],
        [Aside(skipped.what, skipped.reason) for skipped in outcome.set_aside],
        links=[Link(f"Detector, {period_of(page.ref)}", f"../../../{page.ref.path}") for page in detector],
    )


def picture_of(figure: Built, store: Store) -> Picture:
    """A figure and its words, back from the store."""
    name = figure.ref.data_id.split("/")[1]
    with store.open(figure) as path:
        return Picture(name, str(figure.about["title"]), str(figure.about["caption"]), path.read_bytes())


def tables(store: Store, products: Sequence[Built]) -> Iterator[pa.Table]:
    """One at a time."""
    for product in products:
        with store.open(product) as path:
            yield read_table(path)


def truth_digest(truth: str | None) -> str:
    """Digest of the plan of a simulated survey; empty for none."""
    return hashlib.sha256((Path(truth) / PLAN).read_bytes()).hexdigest()[:10] if truth else ""


def _as_input(target: ProductRef, outcome: Outcome, tolerated: float) -> Built:
    counted = [str(built.ref.kind) for built in outcome.built], [[a.what, a.reason] for a in outcome.set_aside]
    content = json.dumps([*counted, sorted(map(str, outcome.asked)), tolerated])
    ref = ProductRef(Kind.REPORT, NO_RECIPE, f"{target.data_id}/outcome", "outcome.json")
    return Built(ref, hashlib.sha256(content.encode()).hexdigest(), len(content))
