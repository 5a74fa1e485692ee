"""The detector's page of a period: measured on its own exposures, beside what its calibrations say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from prefect.artifacts import create_markdown_artifact

from tasks.inputs.calibrations import read_pockets
from tasks.inputs.jobs import CcdJob, ccd_jobs
from tasks.inputs.selection import spread
from tasks.quality import unfit_quadrants
from tasks.reduction import detrend
from tasks.runtime.outcome import Outcome, SetAside, failure_of
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.verdicts import GOOD
from ztf_in2p3.errors import BadData
from ztf_in2p3.figures import detector
from ztf_in2p3.figures.detector import BiasLevel, detector_checks
from ztf_in2p3.figures.detector_numbers import DETECTOR, detector_table
from ztf_in2p3.figures.page import ProductCount, Report, Table, render_html, render_markdown
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.identifiers import N_QUADRANT, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    ccdid_of,
    detector_page_ref,
    part_of,
    period_of,
    sensor_figure_ref,
)
from ztf_in2p3.recipes import DetectorRecipe, LinearityRecipe, QuadrantRecipe, digest
from ztf_in2p3.sensor.fringe_amplitudes import FRINGE_AMPLITUDES
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import opened
from ztf_in2p3.tables import schema_of

PICTURES = ("overscan", "first-columns", "variance", "bias-noise", "bias-history")
"""Drawn for the page, in its order; pictures of single CCDs that other flows left come after them."""
_SINGLE = {"pocket": "Pocket", "pocket-residuals": "Pocket, residuals", "linearity": "Linearity", "fringes": "Fringes"}
"""Names of those, and their titles."""
MOST_SINGLE = 3
"""Most pictures of each name that the page shows: all are in the store."""


@product_task
def measure_detector(
    target: ProductRef, jobs: Sequence[CcdJob], camera: Camera, recipe: DetectorRecipe, store: Store
) -> Outcome:
    """Look at some exposures of one CCD."""
    aside: list[SetAside] = []

    def make(path: Path) -> None:
        parts = [schema_of(DETECTOR).empty_table()]
        for job in jobs:
            try:
                parts.append(look_at(job, camera, recipe.quadrant, store))
            except BadData as error:
                aside.append(SetAside.because(str(job.ccd), error))
        write_table(path, pa.concat_tables(parts))

    inputs = list(dict.fromkeys(product for job in jobs for product in job.inputs))
    return Outcome([store.build(target, recipe, inputs, make)], aside)


def look_at(job: CcdJob, camera: Camera, recipe: QuadrantRecipe, store: Store) -> pa.Table:
    """Numbers of one CCD exposure."""
    images = {qid: image for qid, (image, _) in detrend(job, camera, recipe, store).items()}
    pockets = read_pockets(store, job.calibration.pocket)
    with (
        opened(store, [job.raw, job.calibration.bias.built]) as (raw, bias_path),
        CcdMaster.open(bias_path, camera) as bias,
    ):
        return detector_table(raw, job.ccd, bias, images, camera, recipe.sensor, pockets=pockets)


@product_task
def draw_detector(
    target: ProductRef,
    name: str,
    numbers: Sequence[Built],
    biases: Sequence[Built],
    period: Period,
    camera: Camera,
    recipe: DetectorRecipe,
    store: Store,
) -> Built:
    """One of `PICTURES`."""

    def make(path: Path) -> Mapping[str, Value]:
        of_numbers = {"overscan": detector.overscan_picture, "first-columns": detector.pocket_picture}
        if name.startswith("bias"):
            levels = [level for built in biases for level in bias_levels(store, built, camera)]
            noise = partial(detector.bias_picture, camera, period=period)
            picture = noise(levels) if name == "bias-noise" else detector.history_picture(levels)
        else:
            picture = of_numbers.get(name, detector.variance_picture)(camera, joined(store, numbers, DETECTOR))
        path.write_bytes(picture.png)
        return {"title": picture.title, "caption": picture.caption}

    return store.build(target, recipe, biases if name.startswith("bias") else numbers, make)


@product_task
def write_detector_page(
    target: ProductRef,
    drawn: Sequence[Built],
    single: Sequence[Built],
    numbers: Sequence[Built],
    fringes: Sequence[Built],
    calibrations: Sequence[Built],
    camera: Camera,
    recipe: DetectorRecipe,
    store: Store,
) -> Built:
    """The page, for the store."""

    def make(spool: Path) -> Mapping[str, Value]:
        report = detector_report(period_of(target), camera, drawn, single, numbers, fringes, calibrations, store)
        spool.write_text(render_html(report), encoding="utf-8")
        return {"verdict": report.verdict, "verdict_text": report.verdict_text}

    return store.build(target, recipe, [*drawn, *single, *numbers, *fringes, *calibrations], make)


def detector_jobs(
    store: Store, period: Period, recipe: DetectorRecipe, **which: Any
) -> tuple[dict[int, list[CcdJob]], list[SetAside]]:
    """Some exposures of each CCD; ``which``: filters and ccdids."""
    ready, aside = ccd_jobs(store, period, recipe.quadrant, **which)
    jobs = [job for of_exposure in ready.values() for job in of_exposure]
    ccdids = sorted({job.ccd.ccdid for job in jobs})
    return {ccdid: spread([job for job in jobs if job.ccd.ccdid == ccdid], recipe.exposures) for ccdid in ccdids}, aside


def draw_detector_page(
    period: Period, camera: Camera, recipe: DetectorRecipe, store: Store, numbers: Sequence[Built]
) -> Outcome:
    """Figures and page of a period from its numbers and its calibrations, in the store and as an artifact."""
    quadrant = recipe.quadrant
    biases = store.list(Kind.BIAS, digest(quadrant.bias))
    measured_ccds = {ccdid_of(product.ref) for product in numbers}
    biases = [product for product in biases if ccdid_of(product.ref) in measured_ccds]
    drawn = collect(
        launch(
            draw_detector,
            sensor_figure_ref(recipe, period, f"detector-{name}"),
            name,
            numbers,
            biases,
            period,
            camera,
            recipe,
            store,
        )
        for name in PICTURES
        if biases or not name.startswith("bias")
    )
    fringes = store.list(Kind.SUMMARY, digest(quadrant.fringe_maps), prefix=f"{period}/")
    page_inputs = (single_figures(store, quadrant, period), numbers, fringes, judged(store, quadrant, period))
    page = collect(
        [
            launch(
                write_detector_page, detector_page_ref(recipe, period), drawn.built, *page_inputs, camera, recipe, store
            )
        ]
    )
    report = detector_report(period, camera, drawn.built, *page_inputs, store)
    create_markdown_artifact(
        render_markdown(report), key=f"detector-{camera.name}", description=f"{report.title}: {report.verdict_text}"
    )
    return drawn + page + Outcome(failure=failure_of(page, store))


def detector_report(
    period: Period,
    camera: Camera,
    drawn: Sequence[Built],
    single: Sequence[Built],
    numbers: Sequence[Built],
    fringes: Sequence[Built],
    calibrations: Sequence[Built],
    store: Store,
) -> Report:
    """What the page shows."""
    verdicts = [product for product in calibrations if product.ref.kind is Kind.QUALITY]
    maps = [product for product in calibrations if product.ref.kind is Kind.BAD_PIXELS]
    checks = detector_checks(
        joined(store, numbers, DETECTOR),
        suspects=sum(product.about.get("quality") != GOOD or bool(unfit_quadrants(product)) for product in verdicts),
        masters=len(verdicts),
        bad_share=max((float(product.about.get("share") or 0) for product in maps), default=float("nan")),
        fringes=joined(store, fringes, FRINGE_AMPLITUDES) if fringes else None,
    )
    tables = []
    if verdicts:
        tables.append(Table("Masters against those before them", _VERDICT, [_verdict(product) for product in verdicts]))
    if maps:
        rows = [[part_of(product.ref), *map(_word, (product.about.get(k) for k in _BAD.values()))] for product in maps]
        tables.append(Table("Bad pixels", ["Filter and CCD", *_BAD], rows))
    pictures = [*(_picture(product, store) for product in drawn), *(_picture(product, store) for product in single)]
    dates = f"{period.first:%Y-%m-%d}" + (f" to {period.last:%Y-%m-%d}" if period.last > period.first else "")
    kinds = Counter(product.ref.kind for product in (*numbers, *drawn, *single, *fringes, *calibrations))
    counts = [ProductCount(str(kind), n) for kind, n in kinds.items()]
    return Report(period.first, camera.name, checks, pictures, counts, tables=tables, subject=f"detector, {dates}")


_VERDICT = [
    "Master",
    "Quality",
    "Compared with",
    "Share moved",
    "Median shift",
    "Variance over predicted",
    "Scatter of the lamp",
    "Reason",
    "Frames left out",
]
_BAD = {
    "Dead": "n_dead",
    "Low": "n_low_response",
    "High": "n_high_response",
    "Noisy or hot": "n_noisy",
    "No data": "n_nan",
    "Share bad": "share",
}
"""Columns of the page's tables, and under which names the products note them."""


def _verdict(verdict: Built) -> list[str]:
    """Row of the table of masters; one without a predecessor was compared with nothing."""
    about, before = verdict.about, str(verdict.about.get("before") or "").split("/")
    comparison = (
        [before[2], _word(about.get("moved")), _word(about.get("shift"))] if len(before) > 2 else ["none", "", ""]
    )
    unfit = "; ".join(f"q{qid}: {why}" for qid, why in unfit_quadrants(verdict).items())
    quality = f"{_word(about.get('quality'))}{' but for quadrants' if unfit and about.get('quality') == GOOD else ''}"
    frames = [_word(about.get("excess")), _word(about.get("lamp_scatter"))]
    reasons = [_word(about.get("reason")) or unfit, _word(about.get("left_out"))]
    return [part_of(verdict.ref), quality, *comparison, *frames, *reasons]


def judged(store: Store, recipe: QuadrantRecipe, period: Period) -> list[Built]:
    """Verdicts on the masters of a period and its maps of bad pixels."""
    of_period = f"{period}/"
    return [
        *store.list(Kind.QUALITY, digest(recipe.bias_verdict), prefix=of_period),
        *store.list(Kind.QUALITY, digest(recipe.flat_verdict), prefix=of_period),
        *store.list(Kind.BAD_PIXELS, digest(recipe.bad_pixel_map), prefix=of_period),
    ]


def single_figures(store: Store, recipe: QuadrantRecipe, period: Period) -> list[Built]:
    """Pictures of single CCDs that other flows drew of the period."""
    recipes = [recipe.pocket, LinearityRecipe(recipe), recipe.fringe_maps]
    drawn = [figure for of in recipes for figure in store.list(Kind.FIGURE, digest(of), prefix=f"{period}/")]
    return [
        figure
        for name in _SINGLE
        for figure in [figure for figure in drawn if part_of(figure.ref).rpartition("-c")[0] == name][:MOST_SINGLE]
    ]


def bias_levels(store: Store, bias: Built, camera: Camera) -> Iterator[BiasLevel]:
    """Bias level and read noise of the amplifiers of one master bias."""
    with opened(store, [bias]) as (path,), CcdMaster.open(path, camera) as master:
        for qid in range(1, N_QUADRANT + 1):
            sample = master.data[qid][::4, ::4]
            if not np.isfinite(sample).any():  # its amplifier did not work
                continue
            level = float(np.nanmedian(sample))
            noise = float(master.value(f"NOISE{qid}"))  # type: ignore[arg-type]
            yield BiasLevel(period_of(bias.ref), Quadrant(master.ccdid, qid).rcid, level, noise)


def joined(store: Store, products: Sequence[Built], columns: tuple) -> pa.Table:
    """Their rows in one table; none if there are no products."""
    with opened(store, products) as paths:
        return pa.concat_tables([schema_of(columns).empty_table(), *map(read_table, paths)])


def _picture(figure: Built, store: Store) -> Picture:
    name = part_of(figure.ref)
    single = _SINGLE.get(name.rpartition("-c")[0], "")
    title = str(figure.about.get("title") or f"{single}, CCD {name[-2:]}")
    with store.open(figure) as path:
        return Picture(name, title, str(figure.about.get("caption") or ""), path.read_bytes())


def _word(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
