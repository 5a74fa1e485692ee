"""Calibrated light curves of the stars of a survey, partition by partition of its star table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prefect.logging import get_run_logger

from tasks.inputs.recipes import noted_recipe
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch, product_task, query_task
from ztf_in2p3.catalogue.hats import write_collection
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.light_curves.calibration import SurveyCalibration
from ztf_in2p3.light_curves.curves import FITTED, NEEDED, star_curves
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    curve_objects_ref,
    filter_of,
    period_of,
    star_curves_ref,
    survey_ref,
)
from ztf_in2p3.recipes import StarCurvesRecipe, SurveyRecipe, digest
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_parts, read_table, write_parts, write_table
from ztf_in2p3.tables import CURVE_OBJECTS, schema_of

APPLIED = (Kind.ZERO_POINTS, Kind.UBERCAL, Kind.MEAN_STARS)
"""Products of a survey that calibrate a star table."""

HATS_ORDER, HATS_ROWS = 5, 20_000
"""HEALPix order of the files of light curves, and the largest number of stars of one."""


def survey_products(
    scope: Scope, store: Store, recipe: StarCurvesRecipe
) -> tuple[list[tuple[Built, ...]], StarCurvesRecipe]:
    """The surveys of a scope, each as its products `APPLIED`; and the recipe with that of the surveys.

    Raises
    ------
    MissingProduct
        The store has no survey of the period and the filters; or none of the recipe, and of several others.
    """
    fitted = [built for built in store.list(Kind.ZERO_POINTS) if _within(built, scope)]
    wanted = [built for built in fitted if built.ref.recipe == digest(recipe.survey)]
    names = sorted({built.ref.recipe for built in fitted})
    if not wanted and len(names) == 1 and recipe.survey == SurveyRecipe():
        noted = noted_recipe(store, fitted[0].ref, SurveyRecipe)
        if noted is not None:
            get_run_logger().info("zero points of the only recipe in the store are taken: %s", names[0])
            wanted, recipe = fitted, replace(recipe, survey=noted)
    if not wanted:
        present = f"but of recipe {', '.join(names)}: name its numbers in [survey]" if names else "run the flow ubercal"
        raise MissingProduct(
            f"the store has no zero points of recipe {digest(recipe.survey)} within {scope.period} in "
            f"{', '.join(scope.filters)}; {present}"
        )
    return [_applied(zero, recipe.survey, store) for zero in wanted], recipe


def _applied(zero: Built, survey: SurveyRecipe, store: Store) -> tuple[Built, ...]:
    products = [store.find(survey_ref(kind, survey, period_of(zero.ref), filter_of(zero.ref))) for kind in APPLIED]
    present = tuple(product for product in products if product is not None)
    if len(present) < len(APPLIED):
        raise MissingProduct(f"the survey of {zero.ref.label} is not whole in the store; run the flow ubercal again")
    return present


def _within(built: Built, scope: Scope) -> bool:
    period = period_of(built.ref)
    inside = scope.period.first <= period.first and period.last <= scope.period.last
    return inside and filter_of(built.ref) in scope.filters


@product_task
def make_star_curves(
    output: ProductRef, partition: Built, survey: Sequence[Built], recipe: StarCurvesRecipe, store: Store
) -> Built:
    """Calibrate the measurements of one partition; its stars are the rows."""

    def make(path: Path) -> Mapping[str, Value]:
        with ExitStack() as stack:
            table, zero_points, parameters, stars = (
                stack.enter_context(store.open(product)) for product in (partition, *survey)
            )
            measured = read_table(table, NEEDED)
            calibration = SurveyCalibration.of_tables(read_table(zero_points), read_table(parameters))
            fitted = stars_between(stars, measured["star_id"].to_numpy())
        curves = star_curves(measured, fitted, calibration, filter_of(output), recipe)
        write_table(path, curves, {"filter": str(filter_of(output)), "level": _level(calibration)})
        flagged = int(curves["n_flagged"].to_numpy().sum())
        return {"stars": curves.num_rows, "measurements": measured.num_rows, "flagged": flagged}

    return store.build(output, recipe, [partition, *survey], make)


def stars_between(path: Path, star_id: np.ndarray) -> pa.Table:
    """Mean stars from the first to the last of some: groups of rows of others are not read.  `star_id`: (row,)."""
    if not len(star_id):
        return pq.read_schema(path).empty_table().select(list(FITTED))
    limits = [("star_id", ">=", int(star_id.min())), ("star_id", "<=", int(star_id.max()))]
    return pq.read_table(path, columns=list(FITTED), filters=limits)


def _level(calibration: SurveyCalibration) -> str:
    return "of the external catalogue" if calibration.levels else "of the survey: mean zero point 0, fluxes in ADU"


def make_light_curves(surveys: Sequence[Sequence[Built]], recipe: StarCurvesRecipe, store: Store) -> Outcome:
    """Light curves of all partitions that the surveys were fitted to, and the table of their stars."""
    curves = collect(
        launch(
            make_star_curves,
            star_curves_ref(
                recipe, period_of(survey[0].ref), filter_of(survey[0].ref), partition.ref.data_id.rpartition("/")[2]
            ),
            partition,
            survey,
            recipe=recipe,
            store=store,
        )
        for survey in surveys
        for partition in store.manifest(survey[0].ref).inputs
        if partition.ref.kind is Kind.STAR_TABLE
    )
    if curves.set_aside:
        return curves
    objects = [
        (curve_objects_ref(recipe, period_of(survey[0].ref), filter_of(survey[0].ref)), parts)
        for survey in surveys
        if (parts := [built for built in curves.of(Kind.STAR_CURVES) if _is_of(built, survey[0])])
    ]
    return curves + collect(
        launch(make_objects, output, parts, recipe=recipe, store=store) for output, parts in objects
    )


def _is_of(built: Built, zero_points: Built) -> bool:
    return (period_of(built.ref), filter_of(built.ref)) == (period_of(zero_points.ref), filter_of(zero_points.ref))


@product_task
def make_objects(output: ProductRef, curves: Sequence[Built], recipe: StarCurvesRecipe, store: Store) -> Built:
    """List the stars of all partitions without their measurements, a partition at a time."""

    def make(path: Path) -> Mapping[str, Value]:
        names = [column.name for column in CURVE_OBJECTS]
        schema = schema_of(CURVE_OBJECTS)

        def parts() -> Iterator[pa.Table]:
            for product in curves:
                with store.open(product) as partition:
                    yield read_table(partition, names).replace_schema_metadata()

        write_parts(path, parts(), schema)
        return {name: sum(int(product.about[name] or 0) for product in curves) for name in ("stars", "measurements")}

    return store.build(output, recipe, curves, make)


@query_task
def lay_out_curves(curves: Sequence[Built], folder: str, store: Store) -> int:
    """Write the light curves of one filter as a HATS collection, a partition at a time; returns how many stars."""

    def parts() -> Iterator[pa.Table]:
        for product in curves:
            with store.open(product) as path:
                yield from read_parts(path)

    filter = filter_of(curves[0].ref)
    return write_collection(
        (part.replace_schema_metadata() for part in parts()),
        Path(folder) / filter,
        name=f"ztf_in2p3_light_curves_{filter}",
        order=HATS_ORDER,
        max_rows=HATS_ROWS,
    )


def lay_out_all(outcome: Outcome, folder: str, store: Store) -> None:
    """A HATS collection for each filter; of several periods of a filter the stars of all."""
    by_filter: dict[str, list[Built]] = {}
    for built in outcome.of(Kind.STAR_CURVES):
        by_filter.setdefault(filter_of(built.ref), []).append(built)
    for curves in by_filter.values():
        lay_out_curves(curves, folder, store)
