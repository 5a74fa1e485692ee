"""What an address says of the data, read back by the layout of its kind."""

from __future__ import annotations

from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products.address import ProductRef
from ztf_in2p3.products.layout import LAYOUTS


def exposure_of(ref: ProductRef) -> Exposure:
    """Exposure of a product."""
    return Exposure.parse(_read(ref, "exposure"))


def ccdid_of(ref: ProductRef) -> int:
    """CCD of a product."""
    return int(_read(ref, "ccdid"))


def ccd_of(ref: ProductRef) -> CcdExposure:
    """CCD exposure of a product."""
    return CcdExposure(exposure_of(ref), ccdid_of(ref))


def quadrant_of(ref: ProductRef) -> Quadrant:
    """Quadrant of a product."""
    return Quadrant(ccdid_of(ref), int(_read(ref, "qid")))


def period_of(ref: ProductRef) -> Period:
    """Period of a product, or its night."""
    return Period.parse(_read(ref, "period", "night"))


def filter_of(ref: ProductRef) -> Filter:
    """Filter of a product: of a period, a light curve, or an exposure."""
    word = _read(ref, "filter", "band", "exposure")
    return Exposure.parse(word).filter if "_" in word else Filter(word)


def led_of(ref: ProductRef) -> int:
    """LED of a LED's flat."""
    return int(_read(ref, "led"))


def part_of(ref: ProductRef) -> str:
    """What a calibration is of, whatever its period: ``c03``, ``zg/c03``, ``zg``."""
    return ref.data_id.partition("/")[2]


def is_of_survey(ref: ProductRef) -> bool:
    """Whether a product is made of an exposure of the survey, not of an image from anywhere."""
    return not ref.data_id.startswith("image_")


def _read(ref: ProductRef, *names: str) -> str:
    """The first of some parts of a data id that it has.

    Raises
    ------
    ValueError
        It has none of them.
    """
    for layout in LAYOUTS[ref.kind]:
        if match := layout.pattern.fullmatch(ref.data_id):
            parts = match.groupdict()
            for name in names:
                if parts.get(name) is not None:
                    return str(parts[name])
    spelled = " or ".join(layout.data_id for layout in LAYOUTS[ref.kind])
    raise ValueError(f"{ref.address} names no {' or '.join(names)}; products of its kind are spelled {spelled}")
