"""Growth curves of the archive's own images, beside what it publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from tasks.runtime.policies import product_task
from ztf_in2p3.cards import required_number
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.figures.growth import growth_curve, plot_growth_curve, published_growth_curve
from ztf_in2p3.figures.halves import plot_halves, summary_of_halves
from ztf_in2p3.figures.style import save_png
from ztf_in2p3.hdus import read_header
from ztf_in2p3.products import Built, ProductRef, Value, ccd_of, figure_ref, quadrant_of
from ztf_in2p3.recipes import PsfCatalogueRecipe, ScienceCatalogueRecipe
from ztf_in2p3.scene.halves import compare_halves, of_sources
from ztf_in2p3.scene.inputs import ExposureImage, matrix_at
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import opened

HALVES_RADIUS = 3.0
"""Pixels; of the aperture with which PSF photometry is compared."""


def pairs(
    catalogues: Sequence[Built],
    images: Sequence[Built],
    night: date,
    recipe: ScienceCatalogueRecipe | PsfCatalogueRecipe,
    what: str = "growth",
) -> Iterator[tuple[ProductRef, Built, Built]]:
    """Figure, catalogue and image of each quadrant."""
    of_ccd = {ccd_of(catalogue.ref): catalogue for catalogue in catalogues}
    for image in images:
        if ccd_of(image.ref) in of_ccd:
            yield figure_ref(recipe, night, f"{what}-{quadrant_of(image.ref)}"), of_ccd[ccd_of(image.ref)], image


@product_task
def draw_psf_halves(
    target: ProductRef, catalogue: Built, image: Built, mask: Built, recipe: ScienceCatalogueRecipe,
    psf: PsfCatalogueRecipe, store: Store,
) -> Built:  # fmt: skip
    """Compare the PSF of one image, from half of its stars, with apertures around the other half."""

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, [catalogue, image, mask]) as (stars_path, image_path, mask_path):
            table = read_table(stars_path).filter(pc.field("qid") == quadrant_of(image.ref).qid)
            pixels, header = science_image(image_path, mask_path)
        name = image.ref.file_name
        exposure = ExposureImage.of(pixels, header, wcs_of(header, name), name)
        k = recipe.photometry.radii.index(HALVES_RADIUS)
        light = np.asarray(table[f"f_{k}"].to_numpy(), np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mag = required_number(header, "MAGZP", name, "the zero point") - 2.5 * np.log10(light)
        mag[~np.isfinite(mag)] = np.nan
        x, y, ra, dec = (np.asarray(table[column].to_numpy(), np.float64) for column in ("x", "y", "ra", "dec"))
        stars = of_sources(x, y, ra, dec, mag)
        scale = float(abs(np.linalg.det(matrix_at(exposure.wcs, stars.ra[0], stars.dec[0]))) ** -0.5)
        halves = compare_halves(exposure, stars, light, HALVES_RADIUS, scale, psf)
        save_png(plot_halves(halves, name), path)
        return summary_of_halves(halves)

    return store.build(target, psf, [catalogue, image, mask], make)


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
