"""How data ids and file names spell the data, and how they are read back."""

from __future__ import annotations

from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products.address import ProductRef


def ccd_id(ccd: CcdExposure) -> str:
    """Data id of a CCD exposure."""
    return f"{ccd.exposure}/c{ccd.ccdid:02d}"


def quadrant_id(ccd: CcdExposure, qid: int) -> str:
    """Data id of a quadrant exposure."""
    return f"{ccd.exposure}/{Quadrant(ccd.ccdid, qid)}"


def our_name(ccd: CcdExposure) -> str:
    """Stem of the names of files made of a CCD exposure."""
    return str(ccd).replace("ztf_", "ztfin2p3_", 1)


def exposure_of(ref: ProductRef) -> Exposure:
    """Exposure of a product."""
    return Exposure.parse(ref.data_id.split("/")[0])


def ccd_of(ref: ProductRef) -> CcdExposure:
    """CCD exposure of a product."""
    return CcdExposure(exposure_of(ref), ccdid_of(ref))


def is_of_survey(ref: ProductRef) -> bool:
    """Whether a product is made of an exposure of the survey, not of an image from anywhere."""
    return not ref.data_id.startswith("image_")


def period_of(ref: ProductRef) -> Period:
    """Period of a product."""
    return Period.parse(ref.data_id.split("/")[0])


def part_of(ref: ProductRef) -> str:
    """What a calibration is of, whatever its period: ``c03``, ``zg/c03``, ``zg``."""
    return ref.data_id.partition("/")[2]


def quadrant_of(ref: ProductRef) -> Quadrant:
    """Quadrant of a product."""
    return Quadrant.parse(ref.data_id.split("/")[-1])


def filter_of(ref: ProductRef) -> Filter:
    """Filter of a flat or of a focal-plane level, the second part of its data id."""
    return Filter(ref.data_id.split("/")[1])


def ccdid_of(ref: ProductRef) -> int:
    """CCD of a product whose data id ends in ``c03`` or ``c03_q2``."""
    return int(ref.data_id.split("/")[-1][1:3])


def led_of(ref: ProductRef) -> int:
    """LED of a LED's flat, the third part of its data id: ``l07``."""
    return int(ref.data_id.split("/")[2][1:])


def period_name(period: Period) -> str:
    """Period as file names have it: one date, or first and last together."""
    return str(period).replace("_", "") if period.first != period.last else f"{period.first:%Y%m%d}"
