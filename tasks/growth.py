"""Growth curves of the archive's own images, beside what it publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow.compute as pc

from tasks.runtime.policies import product_task
from ztf_in2p3.cards import required_number
from ztf_in2p3.figures.growth import growth_curve, plot_growth_curve, published_growth_curve
from ztf_in2p3.figures.style import save_png
from ztf_in2p3.hdus import read_header
from ztf_in2p3.products import Built, ProductRef, Value, ccd_of, figure_ref, quadrant_of
from ztf_in2p3.recipes import ScienceCatalogueRecipe
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table


def pairs(
    catalogues: Sequence[Built], images: Sequence[Built], night: date, recipe: ScienceCatalogueRecipe
) -> Iterator[tuple[ProductRef, Built, Built]]:
    """Figure, catalogue and image of each quadrant."""
    of_ccd = {ccd_of(catalogue.ref): catalogue for catalogue in catalogues}
    for image in images:
        if ccd_of(image.ref) in of_ccd:
            yield figure_ref(recipe, night, f"growth-{quadrant_of(image.ref)}"), of_ccd[ccd_of(image.ref)], image


@product_task
def draw_growth(
    target: ProductRef, catalogue: Built, image: Built, recipe: ScienceCatalogueRecipe, store: Store
) -> Built:
    """Growth curve of one image; the differences from the published one are noted, in millimagnitudes."""

    def make(path: Path) -> Mapping[str, Value]:
        with store.open(catalogue) as input_path:
            table = read_table(input_path)
        with store.open(image) as input_path:
            header = read_header(input_path)
        stars = table.filter(pc.equal(table["qid"], quadrant_of(image.ref).qid))
        curve = growth_curve(stars, zero_point=required_number(header, "MAGZP", image.ref.file_name, "the zero point"))
        published = published_growth_curve(header)
        save_png(plot_growth_curve({"measured": curve}, published, title=image.ref.file_name), path)
        measured = zip(curve.diameter, curve.difference, strict=True)
        left = {f"D{d:g}_mmag": round(1e3 * (value - published[d]), 2) for d, value in measured if d in published}
        return {"n_star": curve.n_star, **left}

    return store.build(target, recipe, [catalogue, image], make)
