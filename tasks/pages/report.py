"""A night's report: the numbers behind its figures, and the page that shows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.inputs.jobs import CcdJob, ccd_jobs, expected_in
from tasks.inputs.selection import absent_from_store, grouped
from tasks.pages.drawing import Raws, Sketch, make_page, picture_of
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.page import Aside, Link, ProductCount, Report
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
    catalogue_ref,
    ccd_of,
    figure_ref,
    filter_of,
    period_of,
    report_ref,
    summary_ref,
)
from ztf_in2p3.recipes import CatalogueRecipe, DetectorRecipe, ReportRecipe, digest
from ztf_in2p3.simulate.truth import Truth, truth_digest
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.tables import schema_of


@product_task
def summarise_quadrants(output: ProductRef, catalogues: Sequence[Built], recipe: ReportRecipe, store: Store) -> Built:
    """One row a quadrant and exposure, from the catalogues of a night, one at a time."""

    def make(path: Path) -> None:
        write_table(path, join(quadrant_summary(table) for table in tables(store, catalogues)))

    return store.build(output, recipe, catalogues, make)


@product_task
def compare_with_truth(
    output: ProductRef, catalogues: Sequence[Built], truth: str, recipe: ReportRecipe, store: Store
) -> Built:
    """Flux residuals of the isolated stars of a simulated night."""

    def make(path: Path) -> None:
        true = Truth.load(Path(truth))
        parts = [
            residuals(table, aperture_truth(true, ccd_of(catalogue.ref), recipe.radius), radius=recipe.radius)
            for catalogue, table in zip(catalogues, tables(store, catalogues), strict=True)
        ]
        write_table(path, pa.concat_tables([schema_of(RESIDUALS).empty_table(), *parts]))

    return store.build(output, recipe, catalogues, make)


@dataclass(frozen=True, slots=True)
class NightPage:
    """Contents of a night's page."""

    night: date
    camera: Camera
    figures: Sequence[Built]
    numbers: Sequence[Built]
    """Tables of the quadrants and, of a simulated night, of the residuals."""
    detector: Sequence[Built]
    """Pages on the detector that it links."""
    outcome: Outcome
    """Products of the night, and what was set aside."""
    tolerated: float
    """Fraction of the CCD exposures that may lack a catalogue on a night that is good."""

    @property
    def inputs(self) -> list[Built]:
        """What is shown; what was set aside has no file, so its own digest stands among the inputs."""
        return [*self.figures, *self.numbers, *self.detector, self._as_input()]

    def report(self, store: Store) -> Report:
        """What the page shows."""
        quadrants, *compared = tables(store, self.numbers)
        n_made, n_aside = len(self.outcome.built), len(self.outcome.set_aside)
        summary = summarise_night(
            self.night,
            self.camera,
            quadrants,
            *compared,
            n_made=n_made,
            n_set_aside=n_aside,
            completeness=self.outcome.completeness if self.outcome.expected else None,
            tolerated=self.tolerated,
        )
        counts = {kind: len(self.outcome.of(kind)) for kind in Kind}
        return Report(
            self.night,
            self.camera.name,
            quality_checks(summary),
            [picture_of(figure, store) for figure in self.figures],
            [ProductCount(str(kind), n) for kind, n in counts.items() if n],
            [Aside(skipped.what, skipped.reason) for skipped in self.outcome.set_aside],
            links=[Link(f"Detector, {period_of(page.ref)}", f"../../../{page.ref.path}") for page in self.detector],
        )

    def _as_input(self) -> Built:
        counted = [str(built.ref.kind) for built in self.outcome.built]
        skipped = [[aside.what, aside.reason] for aside in self.outcome.set_aside]
        content = json.dumps([counted, skipped, sorted(map(str, self.outcome.expected)), self.tolerated])
        ref = ProductRef(Kind.REPORT, NO_RECIPE, f"{self.night:%Y%m%d}/outcome", "outcome.json")
        return Built(ref, hashlib.sha256(content.encode()).hexdigest(), len(content))


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
    return jobs, Outcome(products, (*absent, *aside, *missing), expected_in(store, period, **which))


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
        sketch.launch(of_report, store, camera, truth)
        for sketch in night_sketches(jobs, catalogues, numbers.built, recipe, partial(figure_ref, of_report, night))
    )
    detector = detector_pages(store, recipe, night)
    page = NightPage(night, camera, drawn.built, numbers.built, detector, outcome, tolerated)
    key = f"night-report-{camera.name}"
    return numbers + drawn + make_page(report_ref(of_report, night), page, of_report, store, key)


def night_sketches(
    jobs: Sequence[CcdJob],
    catalogues: Sequence[Built],
    numbers: Sequence[Built],
    recipe: CatalogueRecipe,
    output: Callable[[str], ProductRef],
) -> list[Sketch]:
    """Figures of a night in the order of the page; `output`: address of a figure by its name."""
    of_ccd = {catalogue.ref.data_id: catalogue for catalogue in catalogues}
    measured = [job for job in jobs if job.raw.ref.data_id in of_ccd]
    biases = sorted({job.calibration.bias.built.ref: job.calibration.bias.built for job in jobs}.items())
    flats = sorted({job.calibration.flat.built.ref: job.calibration.flat.built for job in jobs}.items())
    quadrants, *compared = numbers
    drawn: list[Sketch] = []
    if biases:
        drawn.append(Sketch(output("bias"), "night/bias", [built for _, built in biases]))
    for (filter,), of_filter in grouped([built for _, built in flats], filter_of).items():
        drawn.append(Sketch(output(f"flat-{filter}"), "night/flat", of_filter))
    if measured:
        job = measured[0]
        inputs = [*job.inputs, of_ccd[job.raw.ref.data_id]]
        drawn.append(Sketch(output("quadrant"), "night/quadrant", inputs, Raws([job], recipe.quadrant)))
    drawn += [Sketch(output(name), f"night/{name}", [quadrants]) for name in ("night", "background", "stars")]
    drawn.append(Sketch(output("growth"), "night/growth", list(catalogues)))
    for table in compared:
        drawn += [Sketch(output(name), f"night/{name}", [table]) for name in ("residuals", "residual-map")]
    return drawn


def detector_pages(store: Store, recipe: CatalogueRecipe, night: date) -> list[Built]:
    """Pages on the detector for the periods that the night belongs to."""
    pages = store.list(Kind.REPORT, digest(DetectorRecipe(recipe.quadrant)))
    return [page for page in pages if night in period_of(page.ref)]


def tables(store: Store, products: Sequence[Built]) -> Iterator[pa.Table]:
    """One at a time."""
    for product in products:
        with store.open(product) as path:
            yield read_table(path)
