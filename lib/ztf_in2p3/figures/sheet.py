"""Products as a drawing reads them, and what a drawing leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from ztf_in2p3.camera import ZTF, Camera
from ztf_in2p3.detrend.masters import CcdMaster
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.image import Image
from ztf_in2p3.products import Built, Kind, ProductRef, Value, ccdid_of, filter_of, period_of
from ztf_in2p3.simulate.truth import Truth
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import opened


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A figure with what its words and its manifest say of it."""

    figure: Figure
    words: Mapping[str, str] = field(default_factory=dict)
    """Values for the blanks of the drawing's title and caption."""
    about: Mapping[str, Value] = field(default_factory=dict)
    """Numbers for the figure's manifest."""


def no_images(ccd: CcdExposure) -> Mapping[int, Image]:
    """Refuse to detrend: the drawing was given no raw frames."""
    raise ValueError(f"nothing was given that detrends {ccd}")


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The products that one figure shows, read when the drawing asks for them."""

    output: ProductRef
    """The figure."""
    products: Sequence[Built]
    store: Store
    recipe: Any
    """Recipe of the figure; of which type is the drawing's business."""
    camera: Camera = ZTF
    truth: Truth | None = None
    """Truth of a simulated survey, to compare with."""
    exposures: Sequence[CcdExposure] = ()
    """CCD exposures that can be detrended."""
    images: Callable[[CcdExposure], Mapping[int, Image]] = no_images
    """Detrended images of one of them, by qid."""

    def of(self, *kinds: Kind) -> list[Built]:
        """The products of some kinds, or all, in their order."""
        return [product for product in self.products if not kinds or product.ref.kind in kinds]

    def tables(self, *kinds: Kind) -> Iterator[pa.Table]:
        """Tables of the products of some kinds, or of all, one at a time."""
        for product in self.of(*kinds):
            with opened(self.store, [product]) as (path,):
                yield read_table(path)

    def table(self, *kinds: Kind) -> pa.Table:
        """Rows of the products of some kinds, or of all, in one table."""
        return pa.concat_tables(self.tables(*kinds))

    def masters(self, kind: Kind) -> Iterator[CcdMaster]:
        """Masters, CCD by CCD; each is closed when the next is asked for."""
        for product in self.of(kind):
            with opened(self.store, [product]) as (path,), CcdMaster.open(path, self.camera) as master:
                yield master

    @property
    def required_truth(self) -> Truth:
        """The truth, of a drawing that shows nothing else."""
        if self.truth is None:
            raise ValueError(f"{self.output.label} needs the truth of a simulated survey: give its folder")
        return self.truth

    @property
    def first(self) -> ProductRef:
        """The first product, of which the filter and the period of all are taken."""
        return self.products[0].ref

    @property
    def period(self) -> str:
        """Period of what is shown."""
        return str(period_of(self.first))

    @property
    def filter(self) -> Filter:
        """Filter of what is shown."""
        return filter_of(self.first)

    @property
    def ccd(self) -> str:
        """CCD of what is shown, two digits."""
        return f"{ccdid_of(self.first):02d}"

    @property
    def image(self) -> str:
        """File name of the image that is shown."""
        return self.of(Kind.SCIENCE)[0].ref.file_name

    @property
    def sequence(self) -> str:
        """Filter and night, or nights."""
        return sequence_name(self.first)


def sequence_name(product: ProductRef) -> str:
    """Filter and night, or nights, of a product, for a title."""
    period = period_of(product)
    nights = f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"
    return f"{filter_of(product)}, {nights}"
