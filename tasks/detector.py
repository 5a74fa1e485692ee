"""The detector's page of a period: measured on its own exposures, beside what its calibrations say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.inputs.calibrations import Calibrations, calibrations_of, read_pockets
from tasks.inputs.images import detrend
from tasks.inputs.jobs import CcdJob, ccd_jobs
from tasks.inputs.selection import spread
from tasks.inputs.verdicts import unfit_quadrants
from tasks.pages.drawing import make_page, picture_of, sketches
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.verdicts import GOOD
from ztf_in2p3.errors import BadData
from ztf_in2p3.figures.detector import detector_checks
from ztf_in2p3.figures.detector_numbers import DETECTOR, detector_table
from ztf_in2p3.figures.page import ProductCount, Report, Table
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    ccdid_of,
    detector_page_ref,
    part_of,
    sensor_figure_ref,
)
from ztf_in2p3.recipes import DetectorRecipe, LinearityRecipe, QuadrantRecipe, digest
from ztf_in2p3.sensor.fringe_amplitudes import FRINGE_AMPLITUDES
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import opened
from ztf_in2p3.tables import schema_of

_SINGLE = ("pocket", "pocket-residuals", "linearity", "fringes")
"""Figures of single CCDs that other flows left, which come after those of the page."""
MOST_SINGLE = 3
"""Most pictures of each name that the page shows: all are in the store."""


@product_task
def measure_detector(
    output: ProductRef, jobs: Sequence[CcdJob], camera: Camera, recipe: DetectorRecipe, store: Store
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
    return Outcome([store.build(output, recipe, inputs, make)], aside)


def look_at(job: CcdJob, camera: Camera, recipe: QuadrantRecipe, store: Store) -> pa.Table:
    """Numbers of one CCD exposure."""
    images = {qid: image for qid, (image, _) in detrend(job, camera, recipe, store).items()}
    pockets = read_pockets(store, job.calibration.pocket)
    with (
        opened(store, [job.raw, job.calibration.bias.built]) as (raw, bias_path),
        CcdMaster.open(bias_path, camera) as bias,
    ):
        return detector_table(raw, job.ccd, bias, images, camera, recipe.sensor, pockets=pockets)


def detector_jobs(
    store: Store, period: Period, recipe: DetectorRecipe, **which: Any
) -> tuple[dict[int, list[CcdJob]], list[SetAside]]:
    """Some exposures of each CCD; ``which``: filters and ccdids."""
    ready, aside = ccd_jobs(store, period, recipe.quadrant, **which)
    jobs = [job for of_exposure in ready.values() for job in of_exposure]
    ccdids = sorted({job.ccd.ccdid for job in jobs})
    return {ccdid: spread([job for job in jobs if job.ccd.ccdid == ccdid], recipe.exposures) for ccdid in ccdids}, aside


@dataclass(frozen=True, slots=True)
class DetectorPage:
    """Contents of the page on the detector in a period."""

    period: Period
    camera: Camera
    figures: Sequence[Built]
    single: Sequence[Built]
    """Figures of single CCDs."""
    numbers: Sequence[Built]
    fringes: Sequence[Built]
    """Tables of what the fringe maps left."""
    calibrations: Sequence[Built]
    """Verdicts on the masters, and maps of bad pixels."""

    @property
    def inputs(self) -> list[Built]:
        """All that is shown."""
        return [*self.figures, *self.single, *self.numbers, *self.fringes, *self.calibrations]

    def report(self, store: Store) -> Report:
        """What the page shows."""
        verdicts = [product for product in self.calibrations if product.ref.kind is Kind.QUALITY]
        maps = [product for product in self.calibrations if product.ref.kind is Kind.BAD_PIXELS]
        suspects = [master for master in verdicts if master.about.get("quality") != GOOD or unfit_quadrants(master)]
        checks = detector_checks(
            joined(store, self.numbers, DETECTOR),
            suspects=len(suspects),
            masters=len(verdicts),
            bad_share=max((float(product.about.get("share") or 0) for product in maps), default=float("nan")),
            fringes=joined(store, self.fringes, FRINGE_AMPLITUDES) if self.fringes else None,
        )
        tables = []
        if verdicts:
            rows = [_verdict(product) for product in verdicts]
            tables.append(Table("Masters against those before them", _VERDICT, rows))
        if maps:
            rows = [[part_of(bad.ref), *map(_word, (bad.about.get(k) for k in _BAD.values()))] for bad in maps]
            tables.append(Table("Bad pixels", ["Filter and CCD", *_BAD], rows))
        pictures = [picture_of(figure, store) for figure in (*self.figures, *self.single)]
        first, last = self.period.first, self.period.last
        dates = f"{first:%Y-%m-%d}" + (f" to {last:%Y-%m-%d}" if last > first else "")
        shown = (*self.numbers, *self.figures, *self.single, *self.fringes, *self.calibrations)
        counts = [ProductCount(str(kind), n) for kind, n in Counter(product.ref.kind for product in shown).items()]
        return Report(first, self.camera.name, checks, pictures, counts, tables=tables, subject=f"detector, {dates}")


def draw_detector_page(
    period: Period, camera: Camera, recipe: DetectorRecipe, store: Store, numbers: Sequence[Built]
) -> Outcome:
    """Figures and page of a period from its numbers and its calibrations, in the store and as an artifact."""
    quadrant = recipe.quadrant
    known = calibrations_of(store, quadrant)
    measured_ccds = {ccdid_of(product.ref) for product in numbers}
    biases = [bias for bias in known.masters(Kind.BIAS) if ccdid_of(bias.ref) in measured_ccds]
    drawn = collect(
        sketch.launch(recipe, store, camera, None)
        for sketch in sketches(
            "detector", [*numbers, *biases], lambda name: sensor_figure_ref(recipe, period, f"detector-{name}")
        )
    )
    single, calibrations = single_figures(store, quadrant, period), judged(known, period)
    fringes = store.list(Kind.SUMMARY, digest(quadrant.fringe_maps), prefix=f"{period}/")
    page = DetectorPage(period, camera, drawn.built, single, numbers, fringes, calibrations)
    return drawn + make_page(detector_page_ref(recipe, period), page, recipe, store, f"detector-{camera.name}")


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


def judged(known: Calibrations, period: Period) -> list[Built]:
    """Verdicts on the masters of a period and its maps of bad pixels."""
    verdicts = [verdict for kind in (Kind.BIAS, Kind.FLAT) for verdict in known.verdicts(kind).of_period(period)]
    return [*verdicts, *known.of_period(Kind.BAD_PIXELS, period)]


def single_figures(store: Store, recipe: QuadrantRecipe, period: Period) -> list[Built]:
    """Pictures of single CCDs that other flows drew of the period."""
    recipes = [recipe.pocket, LinearityRecipe(recipe), recipe.fringe_maps]
    drawn = [figure for of in recipes for figure in store.list(Kind.FIGURE, digest(of), prefix=f"{period}/")]
    return [
        figure
        for name in _SINGLE
        for figure in [figure for figure in drawn if part_of(figure.ref).rpartition("-c")[0] == name][:MOST_SINGLE]
    ]


def joined(store: Store, products: Sequence[Built], columns: tuple) -> pa.Table:
    """Their rows in one table; none if there are no products."""
    with opened(store, products) as paths:
        return pa.concat_tables([schema_of(columns).empty_table(), *map(read_table, paths)])


def _word(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
