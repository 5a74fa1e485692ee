"""What the pipeline makes, and the address of each thing made.

File names are those of the archive for what comes from there, and those of the IN2P3
pipeline for what is made here (M. Aubert, ZTF SN Ia meeting, Barcelona, 2024-12-09).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from lib import recipes
from lib.identifiers import CcdExposure, Exposure, Filter, Quadrant
from lib.periods import Period

NO_RECIPE = "-"
"""Stands for the recipe of what was not computed here."""

Value = str | int | float | bool | None


class Kind(StrEnum):
    RAW = "raw"
    HEADER = "header"
    """Header of the archive's science image of a quadrant, without its pixels."""
    SCIENCE = "science"
    """The archive's own science image of a quadrant."""
    MASK = "mask"
    REFERENCE = "reference"
    """Stars of one HEALPix pixel of the reference catalogue."""
    BIAS = "bias"
    LED_FLAT = "ledflat"
    FLAT = "flat"
    FOCAL_PLANE = "focalplane"
    """Levels of the flats of a filter over the focal plane."""
    QUADRANT = "quadrant"
    CATALOGUE = "apcat"
    SCIENCE_CATALOGUE = "sciapcat"
    """Aperture catalogue of the archive's own science images."""
    SUMMARY = "summary"
    """Numbers of a night, behind its figures."""
    FIGURE = "figure"
    REPORT = "report"


@dataclass(frozen=True, slots=True, order=True)
class ProductRef:
    """Address of one product: what it is, of which data, made by which recipe.

    The address names the product in the store and in the log.  Whether what is stored there
    is still the right one is another question, answered by the fingerprint in its manifest:
    recipe and content digests of its inputs.
    """

    kind: Kind
    recipe: str
    """Digest of the recipe, or "-" for what we did not compute."""
    data_id: str
    """Part of the survey covered, e.g. "20190401_20190430/c03"."""
    file_name: str = field(compare=False)

    @property
    def address(self) -> str:
        return f"{self.kind}/{self.recipe}/{self.data_id}"

    @property
    def path(self) -> str:
        """Of the file, below the root of the store."""
        return f"{self.address}/{self.file_name}"

    @property
    def label(self) -> str:
        """For a person: kind, then the smallest part first (``bias c03 20190401_20190430``)."""
        return " ".join([self.kind, *reversed(self.data_id.split("/"))])


@dataclass(frozen=True, slots=True)
class Built:
    """A product that is in the store, by reference: what travels between tasks instead of pixels."""

    ref: ProductRef
    sha256: str
    """Of the file; the key of everything made from it."""
    size: int
    """Bytes."""
    about: Mapping[str, Value] = field(default_factory=dict, compare=False)
    """Small facts that whoever made the product noted in its manifest."""
    found: bool = field(default=False, compare=False)
    """True if it was in the store already, False if it was made now."""


# --- what comes from the archive


def raw_ref(ccd: CcdExposure) -> ProductRef:
    return ProductRef(Kind.RAW, NO_RECIPE, _ccd_id(ccd), f"{ccd}.fits.fz")


def header_ref(ccd: CcdExposure, qid: int) -> ProductRef:
    return ProductRef(Kind.HEADER, NO_RECIPE, _quadrant_id(ccd, qid), f"{ccd}_q{qid}_scihdr.fits")


def science_ref(ccd: CcdExposure, qid: int) -> ProductRef:
    return ProductRef(Kind.SCIENCE, NO_RECIPE, _quadrant_id(ccd, qid), f"{ccd}_q{qid}_sciimg.fits")


def mask_ref(ccd: CcdExposure, qid: int) -> ProductRef:
    return ProductRef(Kind.MASK, NO_RECIPE, _quadrant_id(ccd, qid), f"{ccd}_q{qid}_mskimg.fits")


def reference_ref(recipe: recipes.ReferenceRecipe, order: int, pixel: int) -> ProductRef:
    """Stars of one pixel of the nested HEALPix scheme."""
    name = f"Norder{order}_Npix{pixel}"
    return ProductRef(Kind.REFERENCE, recipes.digest(recipe), name, f"{recipe.catalogue}_{name}.parquet")


# --- what is made of a period


def bias_ref(recipe: recipes.BiasRecipe, period: Period, ccdid: int) -> ProductRef:
    return _master(Kind.BIAS, recipe, period, f"c{ccdid:02d}", f"{Filter.BIAS}_c{ccdid:02d}_bias.fits")


def led_flat_ref(recipe: recipes.LedFlatRecipe, period: Period, filter: Filter, led: int, ccdid: int) -> ProductRef:
    part = f"{filter}/l{led:02d}/c{ccdid:02d}"
    return _master(Kind.LED_FLAT, recipe, period, part, f"{filter}_c{ccdid:02d}_l{led:02d}_flat.fits")


def flat_ref(recipe: recipes.FlatRecipe, period: Period, filter: Filter, ccdid: int) -> ProductRef:
    part = f"{filter}/c{ccdid:02d}"
    return _master(Kind.FLAT, recipe, period, part, f"{filter}_c{ccdid:02d}_l00_flat.fits")


def focal_plane_ref(recipe: recipes.FocalPlaneRecipe, period: Period, filter: Filter) -> ProductRef:
    return _master(Kind.FOCAL_PLANE, recipe, period, str(filter), f"{filter}_focalplane.parquet")


# --- what is made of an exposure


def quadrant_ref(recipe: recipes.QuadrantRecipe, ccd: CcdExposure, qid: int) -> ProductRef:
    name = f"{_ours(ccd)}_q{qid}_sciimg.fits"
    return ProductRef(Kind.QUADRANT, recipes.digest(recipe), _quadrant_id(ccd, qid), name)


def catalogue_ref(recipe: recipes.CatalogueRecipe | recipes.ScienceCatalogueRecipe, ccd: CcdExposure) -> ProductRef:
    """One file for the four quadrants of a CCD exposure."""
    ours = isinstance(recipe, recipes.CatalogueRecipe)
    kind, suffix = (Kind.CATALOGUE, "apcat") if ours else (Kind.SCIENCE_CATALOGUE, "sciapcat")
    return ProductRef(kind, recipes.digest(recipe), _ccd_id(ccd), f"{_ours(ccd)}_{suffix}.parquet")


def summary_ref(recipe: recipes.ReportRecipe, night: date, name: str) -> ProductRef:
    return _of_night(Kind.SUMMARY, recipe, night, name, "parquet")


def figure_ref(recipe: object, night: date, name: str) -> ProductRef:
    return _of_night(Kind.FIGURE, recipe, night, name, "png")


def report_ref(recipe: recipes.ReportRecipe, night: date) -> ProductRef:
    day = f"{night:%Y%m%d}"
    return ProductRef(Kind.REPORT, recipes.digest(recipe), day, f"ztfin2p3_{day}_report.html")


# --- back from an address


def exposure_of(ref: ProductRef) -> Exposure:
    return Exposure.parse(ref.data_id.split("/")[0])


def ccd_of(ref: ProductRef) -> CcdExposure:
    return CcdExposure(exposure_of(ref), ccdid_of(ref))


def period_of(ref: ProductRef) -> Period:
    return Period.parse(ref.data_id.split("/")[0])


def quadrant_of(ref: ProductRef) -> Quadrant:
    return Quadrant.parse(ref.data_id.split("/")[-1])


def filter_of(ref: ProductRef) -> Filter:
    """Filter of a flat or of a focal-plane level, the second part of its data id."""
    return Filter(ref.data_id.split("/")[1])


def ccdid_of(ref: ProductRef) -> int:
    """CCD of a product whose data id ends in ``c03`` or ``c03_q2``."""
    return int(ref.data_id.split("/")[-1][1:3])


def _master(kind: Kind, recipe: object, period: Period, part: str, name: str) -> ProductRef:
    days = str(period).replace("_", "") if period.first != period.last else f"{period.first:%Y%m%d}"
    return ProductRef(kind, recipes.digest(recipe), f"{period}/{part}", f"ztfin2p3_{days}_000000_{name}")


def _of_night(kind: Kind, recipe: object, night: date, name: str, suffix: str) -> ProductRef:
    day = f"{night:%Y%m%d}"
    return ProductRef(kind, recipes.digest(recipe), f"{day}/{name}", f"ztfin2p3_{day}_{name}.{suffix}")


def _ccd_id(ccd: CcdExposure) -> str:
    return f"{ccd.exposure}/c{ccd.ccdid:02d}"


def _quadrant_id(ccd: CcdExposure, qid: int) -> str:
    return f"{ccd.exposure}/{Quadrant(ccd.ccdid, qid)}"


def _ours(ccd: CcdExposure) -> str:
    return str(ccd).replace("ztf_", "ztfin2p3_", 1)
