"""Which reference stars an image needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ztf_in2p3.archive.cones import Cone, PixelsOnSky, enclosing_cone
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import Exposure
from ztf_in2p3.products import Built, Kind, exposure_of
from ztf_in2p3.recipes import PhotometryRecipe, ReferenceRecipe, digest
from ztf_in2p3.store import Store

MARGIN_ARCSEC = 180.0
"""Margin for proper motion and the distortion of the field."""


def circles(headers: Iterable[Built], photometry: PhotometryRecipe) -> list[Cone]:
    """Circles: for each exposure the one on the sky whose stars its images need."""
    of_exposure: dict[Exposure, list[Built]] = defaultdict(list)
    for header in headers:
        if header.about.get("wcs", True):
            of_exposure[exposure_of(header.ref)].append(header)
    return [circle_around(images, photometry) for images in of_exposure.values()]


def circle_around(headers: Iterable[Built], photometry: PhotometryRecipe) -> Cone:
    """Circle that holds the images of these headers, and a rim."""
    abouts: list[Mapping[str, Any]] = [header.about for header in headers]
    cones = [(float(about["ra"]), float(about["dec"]), float(about["radius"])) for about in abouts]
    ra, dec, radius = enclosing_cone(cones)
    return ra, dec, radius + (photometry.isolation_arcsec + MARGIN_ARCSEC) / 3600


class StarPartitions:
    """The reference stars that the store holds, asked for by place."""

    def __init__(self, store: Store, recipe: ReferenceRecipe, photometry: PhotometryRecipe) -> None:
        self._photometry = photometry
        self._built = {
            (int(str(partition.about["order"])), int(str(partition.about["pixel"]))): partition
            for partition in store.list(Kind.REFERENCE, digest(recipe))
        }
        by_order: dict[int, list[int]] = defaultdict(list)
        for order, pixel in sorted(self._built):
            by_order[order].append(pixel)
        self._pixels = PixelsOnSky({order: np.array(pixels) for order, pixels in by_order.items()})

    def around(self, headers: Iterable[Built]) -> list[Built]:
        """Partitions that touch the images of these headers.

        Raises
        ------
        MissingProduct
            If there is none.
        """
        headers = list(headers)
        touched = self._pixels.touching(circle_around(headers, self._photometry))
        if not touched:
            raise MissingProduct(
                f"{headers[0].ref.file_name}: no reference stars around it in the store; run the flow download for it"
            )
        return [self._built[pixel] for pixel in sorted(touched)]


def star_partitions(
    store: Store, recipe: ReferenceRecipe | None, photometry: PhotometryRecipe
) -> StarPartitions | None:
    """Partitions of the reference stars; None where sources are detected rather than known."""
    return None if recipe is None else StarPartitions(store, recipe, photometry)
