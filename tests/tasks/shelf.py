"""A store with products of which only the addresses and the notes matter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from tests.lib.store.places import PROVENANCE
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, ProductRef, Value, header_ref, mask_ref, raw_ref, science_ref
from ztf_in2p3.recipes import digest
from ztf_in2p3.store import Store, open_store

NIGHT = date(2019, 4, 5)
HERE = {"wcs": True, "ra": 150.0, "dec": 2.0, "radius": 0.7}
"""Where an image looks."""


def exposure(
    number: int, kind: ImageType = ImageType.OBJECT, filter: Filter = Filter.ZR, night: date = NIGHT
) -> Exposure:
    """The n-th of a night."""
    of_type = Filter.BIAS if kind is ImageType.BIAS else filter
    return Exposure(f"{night:%Y%m%d}{number:06d}", 600, of_type, kind)


class Shelf:
    def __init__(self, root: Path) -> None:
        self.store: Store = open_store(str(root), PROVENANCE)

    def put(self, ref: ProductRef, recipe: object | None = None, about: Mapping[str, Value] | None = None) -> Built:
        def make(spool: Path) -> Mapping[str, Value]:
            spool.write_text(ref.address)
            return about or {}

        if recipe is not None and ref.recipe != digest(recipe):
            raise ValueError("the recipe of another product")
        return self.store.build(ref, recipe, [], make)

    def raw(self, at: Exposure, ccdid: int = 3, **about: Value) -> Built:
        return self.put(raw_ref(CcdExposure(at, ccdid)), about=about)

    def headers(self, at: Exposure, ccdid: int = 3, qids: tuple[int, ...] = (1, 2, 3, 4), **about: Value) -> None:
        for qid in qids:
            self.put(header_ref(CcdExposure(at, ccdid), qid), about=HERE | about)

    def masks(self, at: Exposure, ccdid: int = 3, qids: tuple[int, ...] = (1, 2, 3, 4)) -> None:
        for qid in qids:
            self.put(mask_ref(CcdExposure(at, ccdid), qid), about=HERE)

    def images(self, at: Exposure, ccdid: int = 3, qids: tuple[int, ...] = (1, 2, 3, 4), **about: Value) -> None:
        for qid in qids:
            self.put(science_ref(CcdExposure(at, ccdid), qid), about=HERE | about)


def period(text: str) -> Period:
    return Period.parse(text)
