"""Ubercal: zero points and mean stars of a survey, from its star table."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.inputs.selection import grouped
from tasks.pages.drawing import FigurePage, draw_pages, sketches
from tasks.runtime.engine import scheduler
from tasks.runtime.outcome import Outcome, outcome_of
from tasks.runtime.policies import collect, computed_by, launch, product_task, query_task, tell_where
from tasks.runtime.settings import scratch
from tasks.star_table import partitions_of
from ztf_in2p3.camera import Camera
from ztf_in2p3.catalogue.hats import write_hats
from ztf_in2p3.errors import Mistyped, TransientError
from ztf_in2p3.figures.sheet import sequence_name
from ztf_in2p3.fit.checkpoint import Checkpoint
from ztf_in2p3.fit.external import External
from ztf_in2p3.fit.parameter_table import parameter_table
from ztf_in2p3.fit.solver import Progress
from ztf_in2p3.fit.sources import ParquetSource
from ztf_in2p3.fit.table import Build, build_model
from ztf_in2p3.fit.workers import distributed
from ztf_in2p3.products import Built, Kind, ProductRef, Value, filter_of, period_of, survey_figure_ref, survey_ref
from ztf_in2p3.recipes import SurveyRecipe, digest
from ztf_in2p3.simulate.truth import PLAN
from ztf_in2p3.store import JointProduct, Store
from ztf_in2p3.store.parquet import read_parts, read_table, write_parts, write_table
from ztf_in2p3.store.reading import file_as_input, opened
from ztf_in2p3.tables import schema_of
from ztf_in2p3.ubercal.lack_of_fit import lack_of_fit
from ztf_in2p3.ubercal.model import Ubercal, fit_ubercal
from ztf_in2p3.ubercal.tables import (
    MEAN_STARS,
    external_levels,
    focal_plane_map,
    mean_stars,
    repeatability_table,
    sky_map,
    summary,
    zero_point_table,
)

IN_MEMORY = 50_000_000
"""Measurements up to which a fit keeps them in memory: 2 GB."""

LEAST_CHI2, MOST_CHI2, MANY = 0.5, 2.0, 100
"""Chi2 per degree of freedom of a fit that is good, of so many degrees of freedom or more."""

HATS_ORDER = 3
"""HEALPix order of the files of mean stars, where they are not too long: 7 degrees."""

MADE = (Kind.ZERO_POINTS, Kind.UBERCAL, Kind.MEAN_STARS, Kind.REPEATABILITY, Kind.RESIDUAL_MAP, Kind.SKY_MAP)


@product_task
def fit_survey(
    output: ProductRef,
    index: Built,
    camera: Camera,
    recipe: SurveyRecipe,
    external: str | None,
    scheduler: str | None,
    store: Store,
) -> Outcome:
    """Fit the zero points of a star table: they, the parameters, mean stars, repeatability, residual maps."""
    inputs = [*partitions_of(index, store), *([file_as_input(external)] if external else [])]

    def product_of(kind: Kind, folder: Path) -> JointProduct[dict[str, Value]]:
        def copy_product(path: Path, about: dict[str, Value]) -> Mapping[str, Value] | None:
            shutil.copyfile(folder / kind, path)
            return about if kind is output.kind else None

        return JointProduct(survey_ref(kind, recipe, period_of(output), filter_of(output)), copy_product)

    with TemporaryDirectory(dir=scratch()) as folder:
        built = store.build_all(
            [product_of(kind, Path(folder)) for kind in MADE],
            recipe,
            inputs,
            lambda: solve(inputs, camera, recipe, external, scheduler, store, Path(folder)),
        )
    return outcome_of(built, output.label)


def solve(
    inputs: Sequence[Built],
    camera: Camera,
    recipe: SurveyRecipe,
    external: str | None,
    scheduler: str | None,
    store: Store,
    folder: Path,
) -> dict[str, Value]:
    """Write all products of a fit into a folder, named by their kinds; an interrupted fit goes on where it was."""
    reference = External(read_table(Path(external)), recipe.match_arcsec) if external else None
    name = f"ubercal-{key_of(recipe, inputs)}"
    tables = [product for product in inputs if product.ref.kind is Kind.STAR_TABLE]
    with opened(store, tables) as paths, mine(name) as kept, place(folder / "measurements", scheduler) as build:
        source = ParquetSource(paths)
        solved = fit_ubercal(
            source,
            camera,
            recipe.fit,
            anchors=reference.anchors(source) if reference and recipe.anchored else None,
            progress=tell(name),
            build=build,
            checkpoint=Checkpoint(kept, name) if kept else None,
        )
        about = {"period": str(period_of(tables[0].ref)), "filter": str(filter_of(tables[0].ref))}
        about |= {"recipe": digest(recipe)}
        facts = write_products(solved, source, reference, camera, recipe, folder, about)
        shutil.rmtree(folder / "measurements", ignore_errors=True)
        if kept:
            shutil.rmtree(kept, ignore_errors=True)
        return facts


@contextmanager
def place(folder: Path, scheduler: str | None) -> Iterator[Build]:
    """Place for the measurements: the workers of a cluster, else memory or, if they are many, the disk."""
    if scheduler is None:
        yield lambda source, reading: build_model(source, reading, folder if source.n_row > IN_MEMORY else None)
        return
    from distributed import Client  # an extra of the installation

    try:
        client = Client(scheduler)  # the default one: actors look for it
    except OSError as error:
        raise TransientError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        yield distributed(client)


def write_products(
    solved: Ubercal,
    source: ParquetSource,
    external: External | None,
    camera: Camera,
    recipe: SurveyRecipe,
    folder: Path,
    about: Mapping[str, str],
) -> dict[str, Value]:
    """Write all products of a fit into a folder, named by their kinds; returns its summary, which asks the workers."""
    metadata = {"gauge": solved.fit.parameters["zero_point"].gauge, "camera": camera.name, **about}
    facts = summary(solved, lack_of_fit(solved, source))
    write_table(folder / Kind.ZERO_POINTS, zero_point_table(solved), metadata)
    write_table(folder / Kind.REPEATABILITY, repeatability_table(solved), metadata)
    stars = folder / Kind.MEAN_STARS
    write_parts(stars, mean_stars(solved, source, external), schema_of(MEAN_STARS).with_metadata(metadata))
    levels = external_levels(read_parts(stars)) if external else {}
    applying = {"colour_centre": repr(solved.known.colour_centre), "levels": json.dumps(levels)}
    write_table(folder / Kind.UBERCAL, parameter_table(solved.fit, facts), {**about, **applying})
    over_camera = focal_plane_map(solved, source, mean_stars(solved, source, external), levels, camera, recipe.cells)
    write_table(folder / Kind.RESIDUAL_MAP, over_camera, metadata)
    write_table(folder / Kind.SKY_MAP, sky_map(read_parts(stars), levels, recipe.sky_order), metadata)
    return dict(facts)


def fit_surveys(
    indices: Sequence[Built],
    camera: Camera,
    recipe: SurveyRecipe,
    store: Store,
    *,
    external: str | None = None,
) -> Outcome:
    """One fit for each star table, given by its index; on a cluster its workers keep the measurements of all."""
    if recipe.anchored and external is None:
        raise Mistyped(
            "the recipe is anchored, but no external catalogue is given: give a file with --external, or leave "
            "SurveyRecipe.anchored out"
        )
    fit = product_task(in_worker=False)(computed_by(fit_survey)) if scheduler() else fit_survey
    fitted = collect(
        launch(
            fit,
            survey_ref(Kind.ZERO_POINTS, recipe, period_of(index.ref), filter_of(index.ref)),
            index,
            camera=camera,
            recipe=recipe,
            external=external,
            scheduler=scheduler(),
            store=store,
        )
        for index in indices
    )
    failures = "; ".join(filter(None, map(failure_of, fitted.of(Kind.ZERO_POINTS))))
    return Outcome(fitted.built, fitted.set_aside, fitted.expected, fitted.note, failures or fitted.failure)


def failure_of(zero_points: Built) -> str:
    """Why zero points are not good, from the summary of their fit; empty if they are."""
    about: Mapping[str, Any] = zero_points.about
    name = f"{filter_of(zero_points.ref)} {period_of(zero_points.ref)}"
    if about.get("converged") is False:
        return f"zero points {name}: the fit did not converge"
    chi2, dof = float(about.get("chi2_per_dof", 1.0)), int(about.get("dof", 0))
    if dof >= MANY and not LEAST_CHI2 < chi2 < MOST_CHI2:
        return f"zero points {name}: chi2 {chi2} per degree of freedom: errors of the measurements are not understood"
    return ""


@query_task
def lay_out(stars: Built, folder: str, store: Store) -> int:
    """Write mean stars as a HATS catalogue, for programs of others; returns how many."""
    filter = filter_of(stars.ref)
    with store.open(stars) as path:
        return write_hats(read_parts(path), Path(folder) / filter, name=f"ztf_in2p3_{filter}", order=HATS_ORDER)


def key_of(recipe: SurveyRecipe, inputs: Sequence[Built]) -> str:
    """Short name of a fit: a digest of its inputs and its recipe."""
    text = "\n".join([str(recipe), *(product.sha256 for product in inputs)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def mine(name: str) -> Iterator[Path | None]:
    """A folder for one fit's state; None if another process is at the same fit just now."""
    folder = scratch() / name
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield folder
            if not folder.exists():
                folder.with_suffix(".lock").unlink(missing_ok=True)


def tell(name: str) -> Callable[[Progress], None]:
    """How far a fit is, on the worker's standard error: the first and every tenth iteration of each round."""
    began = time.monotonic()

    def show(progress: Progress) -> None:
        if progress.iteration % 10 == 1:
            moved = f", zero points move by {1e3 * progress.change:.1e} mmag" if math.isfinite(progress.change) else ""
            sys.stderr.write(
                f"{name}: {time.monotonic() - began:.0f} s, round {progress.round}, iteration {progress.iteration}, "
                f"residual {progress.residual:.1e}{moved}\n"
            )

    return show


def draw_surveys(
    fitted: Outcome, camera: Camera, recipe: SurveyRecipe, store: Store, *, external: bool = False
) -> Outcome:
    """Draw every fit; an artifact shows each with its numbers.  `external`: there was a catalogue to compare with."""
    without = () if external else ("external",)
    pages = []
    for (period, filter), products in grouped(fitted.of(*MADE), period_of, filter_of).items():
        facts = [product.about for product in products if product.ref.kind is Kind.ZERO_POINTS]
        figures = sketches("survey", products, partial(survey_figure_ref, recipe, period, filter), without=without)
        pages.append(FigurePage(f"ubercal-{filter}", f"Zero points of {filter}, {period}", figures, dict(*facts)))
    return draw_pages(pages, recipe, store, camera)


def compare_surveys(fitted: Outcome, recipe: SurveyRecipe, store: Store, truth: str) -> Outcome:
    """One picture for each fit, and an artifact with it.

    Parameters
    ----------
    truth
        Folder of the simulated survey.
    """
    plan = file_as_input(str(Path(truth) / PLAN))
    pages = []
    for product in fitted.of(Kind.ZERO_POINTS):
        output = partial(survey_figure_ref, recipe, period_of(product.ref), filter_of(product.ref))
        figures = [
            replace(sketch, inputs=[*sketch.inputs, plan])
            for sketch in sketches("survey-truth", [product], output, truth=truth)
        ]
        title = f"Zero points {sequence_name(product.ref)} beside the truth"
        pages.append(FigurePage(f"ubercal-truth-{filter_of(product.ref)}", title, figures))
    drawn = draw_pages(pages, recipe, store, truth=truth)
    tell_where(drawn, store)
    return drawn
