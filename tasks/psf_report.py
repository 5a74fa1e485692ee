"""Pictures of a period's PSFs, in the store and among the orchestrator's artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from prefect.artifacts import create_markdown_artifact

from tasks.inputs.selection import grouped, spread
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import collect, launch, product_task
from tasks.starflat_report import picture_of
from ztf_in2p3.figures import psf
from ztf_in2p3.figures.summary_page import render_summary_page
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, Value, exposure_of, psf_figure_ref
from ztf_in2p3.recipes import PsfCatalogueRecipe, PsfReportRecipe
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import opened

DRAWN = {"shape": psf.shape_picture, "stars": psf.star_picture}
"""Pictures in the order of the page."""


@product_task
def draw_psf(
    output: ProductRef, pairs: Sequence[tuple[Built, Built]], name: str, recipe: PsfReportRecipe, store: Store
) -> Built:
    """One picture of the PSFs of a filter, of each its catalogue beside it."""
    inputs = [product for pair in pairs for product in pair]

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, inputs) as paths:
            psfs, stars = (
                pa.concat_tables([read_table(table_path) for table_path in of_kind])
                for of_kind in (paths[::2], paths[1::2])
            )
        picture = DRAWN[name](psfs, stars)
        path.write_bytes(picture.png)
        return {"title": picture.title, "caption": picture.caption}

    return store.build(output, recipe, inputs, make)


def draw_psfs(measured: Outcome, period: Period, recipe: PsfCatalogueRecipe, store: Store) -> Outcome:
    """Draw the PSFs of each filter; an artifact shows them."""
    of_report = PsfReportRecipe(recipe)
    catalogues = {psf.ref.data_id: psf for psf in measured.of(Kind.PSF_CATALOGUE)}
    under_way = {}
    for (filter,), psfs in grouped(measured.of(Kind.PSF), _filter).items():
        pairs = [(psf, catalogues[psf.ref.data_id]) for psf in psfs if psf.ref.data_id in catalogues]
        chosen = spread(pairs, of_report.most)
        under_way[filter] = [
            launch(draw_psf, psf_figure_ref(of_report, period, filter, name), chosen, name, of_report, store)
            for name in DRAWN
        ]
    drawn = Outcome()
    for filter, launched in under_way.items():
        pictures = collect(launched)
        show_psfs(filter, period, pictures.built, store)
        drawn += pictures
    return drawn


def show_psfs(filter: Filter, period: Period, pictures: Sequence[Built], store: Store) -> None:
    """An artifact, its key the filter's: the periods form a history."""
    title = f"PSF of {filter}, {period}"
    page = render_summary_page(title, {}, [picture_of(picture, store) for picture in pictures])
    create_markdown_artifact(page, key=f"psf-{filter}", description=title)


def _filter(quadrant_exposure: ProductRef) -> Filter:
    return exposure_of(quadrant_exposure).filter
