"""Which reference stars an image needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from lib.archive.reference import ReferenceCatalogue
from lib.errors import MissingProduct
from lib.products import Built, Kind
from lib.recipes import PhotometryRecipe, ReferenceRecipe, digest
from lib.store import Store

MARGIN_ARCSEC = 180.0
"""For proper motion and the distortion of the field."""


Circle = tuple[float, float, float]
"""On the sky: right ascension, declination, radius, in degrees."""


def circles(headers: Iterable[Built], photometry: PhotometryRecipe) -> set[Circle]:
    """Circles on the sky whose stars the images of these headers need."""
    margin = (photometry.isolation_arcsec + MARGIN_ARCSEC) / 3600
    return {
        (float(about["ra"]), float(about["dec"]), float(about["radius"]) + margin)
        for about in (header.about for header in headers)
        if about.get("wcs", True)
    }


class StarPartitions:
    """The reference stars that the store holds, asked for by place."""

    def __init__(self, store: Store, recipe: ReferenceRecipe, photometry: PhotometryRecipe) -> None:
        self._photometry = photometry
        self._built = {
            (int(one.about["order"]), int(one.about["pixel"])): one
            for one in store.list(Kind.REFERENCE, digest(recipe))
        }
        by_order: dict[int, list[int]] = defaultdict(list)
        for order, pixel in sorted(self._built):
            by_order[order].append(pixel)
        self._pixels = {order: np.array(pixels) for order, pixels in by_order.items()}

    def around(self, headers: Iterable[Built]) -> list[Built]:
        """Partitions that touch the images of these headers.

        Raises
        ------
        MissingProduct
            If there is none.
        """
        known = ReferenceCatalogue("", self._pixels, {})
        headers = list(headers)
        touched = {pixel for circle in circles(headers, self._photometry) for pixel in known.partitions(*circle)}
        if not touched:
            raise MissingProduct(
                f"{headers[0].ref.file_name}: no reference stars around it in the store; run the flow download for it"
            )
        return [self._built[pixel] for pixel in sorted(touched)]


def star_partitions(
    store: Store, recipe: ReferenceRecipe | None, photometry: PhotometryRecipe
) -> StarPartitions | None:
    """None where sources are detected rather than known."""
    return None if recipe is None else StarPartitions(store, recipe, photometry)
