"""Starflats: the response of the focal plane, from the dithered exposures of a night."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
from prefect.logging import get_run_logger

from tasks.inputs.selection import grouped
from tasks.pages.drawing import FigurePage, draw_pages, sketches
from tasks.runtime.outcome import Outcome, outcome_of
from tasks.runtime.policies import collect, launch, product_task
from tasks.star_table import partitions_of
from ztf_in2p3.camera import Camera
from ztf_in2p3.errors import Mistyped
from ztf_in2p3.figures.sheet import sequence_name
from ztf_in2p3.fit.external import External
from ztf_in2p3.fit.sources import TableSource
from ztf_in2p3.fit.table import Anchors
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    Value,
    filter_of,
    period_of,
    starflat_figure_ref,
    starflat_map_ref,
    starflat_ref,
    starflat_residuals_ref,
)
from ztf_in2p3.recipes import SequenceRecipe, SequenceReportRecipe
from ztf_in2p3.simulate.truth import truth_digest
from ztf_in2p3.starflat.dithers import NO_SEQUENCE
from ztf_in2p3.starflat.model import Starflat, fit_starflat
from ztf_in2p3.starflat.tables import map_quality, map_table, parameter_table, residual_table, summary
from ztf_in2p3.store import JointProduct, Store
from ztf_in2p3.store.parquet import read_table, write_table
from ztf_in2p3.store.reading import file_as_input, opened

Fitted = tuple[Starflat, pa.Table]
"""A fit, and the measurements that it was made of."""

MATCH_ARCSEC = 1.0
"""Distance within which a star of an external catalogue without identifiers is the same."""


@product_task
def fit_sequence(
    output: ProductRef, index: Built, camera: Camera, recipe: SequenceRecipe, store: Store, external: str | None
) -> Outcome:
    """Fit the response of the camera to the star table of a night: parameters, map and residuals."""
    night, filter = period_of(output).first, filter_of(output)
    partitions = partitions_of(index, store)
    inputs = [*partitions, *([file_as_input(external)] if external else [])]

    def fit() -> Fitted:
        table = read_measurements(partitions, store)
        return fit_starflat(table, camera, recipe.fit, anchors=anchors_of(external, table)), table

    def parameters(path: Path, fitted: Fitted) -> Mapping[str, Value]:
        write_table(path, parameter_table(fitted[0]))
        return summary(fitted[0])

    def response(path: Path, fitted: Fitted) -> Mapping[str, Value]:
        write_table(path, map_table(fitted[0], {"filter": str(filter), "night": f"{night:%Y%m%d}"}))
        return map_quality(fitted[0])

    def residuals(path: Path, fitted: Fitted) -> None:
        write_table(path, residual_table(*fitted))

    products = [
        JointProduct(output, parameters),
        JointProduct(starflat_map_ref(recipe, night, filter), response),
        JointProduct(starflat_residuals_ref(recipe, night, filter), residuals),
    ]
    return outcome_of(store.build_all(products, recipe, inputs, fit), output.label)


def anchors_of(external: str | None, table: pa.Table) -> Anchors | None:
    """Stars of known magnitude of an external catalogue; None if none is given."""
    return External(read_table(Path(external)), MATCH_ARCSEC).anchors(TableSource(table)) if external else None


def read_measurements(partitions: Sequence[Built], store: Store) -> pa.Table:
    """A whole star table."""
    with opened(store, partitions) as paths:
        return pa.concat_tables(read_table(path) for path in paths).combine_chunks()


def fit_sequences(
    indices: Sequence[Built], camera: Camera, recipe: SequenceRecipe, store: Store, external: str | None = None
) -> Outcome:
    """One fit for each star table, given by its index; `external` holds the stars of a recipe that is anchored."""
    if recipe.anchored != (external is not None):
        raise Mistyped(
            f"the recipe is {'' if recipe.anchored else 'not '}anchored, but the external catalogue is {external}: "
            "set SequenceRecipe.anchored and give a file, or neither"
        )
    return _without_nights_that_are_no_sequence(
        collect(
            launch(
                fit_sequence,
                starflat_ref(recipe, period_of(index.ref).first, filter_of(index.ref)),
                index,
                camera=camera,
                recipe=recipe,
                store=store,
                external=external,
            )
            for index in indices
        )
    )


def _without_nights_that_are_no_sequence(fitted: Outcome) -> Outcome:
    """The outcome without nights that are no sequence, if any night is one; they are named but are no failure."""
    no_sequence = [aside for aside in fitted.set_aside if NO_SEQUENCE in aside.reason]
    if not no_sequence or not fitted.built:
        return fitted
    names = ", ".join(dict.fromkeys(aside.what for aside in no_sequence))
    get_run_logger().warning("%d without a map, because it is no dithered sequence: %s", len(no_sequence), names)
    kept = [aside for aside in fitted.set_aside if aside not in no_sequence]
    return Outcome(fitted.built, kept, fitted.expected, fitted.note or f"{NO_SEQUENCE}: {names}", fitted.failure)


def draw_starflats(
    fitted: Outcome, camera: Camera, recipe: SequenceRecipe, store: Store, truth: str | None = None
) -> Outcome:
    """Draw every sequence, and all of a filter beside one another; an artifact shows each.

    Parameters
    ----------
    truth
        Folder of a simulated survey to compare with.
    """
    of_report = SequenceReportRecipe(recipe, truth_digest(truth))
    return draw_pages(starflat_pages(fitted, of_report, truth), of_report, store, camera, truth)


def starflat_pages(fitted: Outcome, recipe: SequenceReportRecipe, truth: str | None) -> Iterator[FigurePage]:
    """What is drawn of each sequence, and of the sequences of each filter if there are several."""
    kinds = (Kind.STARFLAT_MAP, Kind.STARFLAT, Kind.STARFLAT_RESIDUALS)
    products = [product for kind in kinds for product in fitted.of(kind)]
    without = () if recipe.sequence.fit.gain else ("gains",)
    for (filter, period), of_sequence in grouped(products, filter_of, period_of).items():
        output = partial(starflat_figure_ref, recipe, period, filter)
        figures = sketches("starflat", of_sequence, output, truth=truth, without=without)
        title = f"Starflat {sequence_name(of_sequence[0].ref)}"
        facts = [product.about for product in of_sequence if product.ref.kind is Kind.STARFLAT]
        yield FigurePage(f"starflat-{filter}", title, figures, dict(*facts))
    for (filter,), maps in grouped(fitted.of(Kind.STARFLAT_MAP), filter_of).items():
        if len(maps) > 1:
            period = Period(period_of(maps[0].ref).first, period_of(maps[-1].ref).last)
            output = partial(starflat_figure_ref, recipe, period, filter)
            yield FigurePage(f"starflat-{filter}", f"Starflats {filter}, {period}", sketches("starflats", maps, output))
