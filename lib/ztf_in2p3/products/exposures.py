"""Products that are made of an exposure, or of a night of them."""

from __future__ import annotations

from datetime import date

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products.address import Kind, ProductRef
from ztf_in2p3.products.names import ccd_id, our_name, quadrant_id


def quadrant_ref(recipe: recipes.QuadrantRecipe, ccd: CcdExposure, qid: int) -> ProductRef:
    """Detrended quadrant of an exposure."""
    name = f"{our_name(ccd)}_q{qid}_sciimg.fits"
    return ProductRef(Kind.QUADRANT, recipes.digest(recipe), quadrant_id(ccd, qid), name)


def catalogue_ref(recipe: recipes.CatalogueRecipe | recipes.ScienceCatalogueRecipe, ccd: CcdExposure) -> ProductRef:
    """One file for the four quadrants of a CCD exposure."""
    ours = isinstance(recipe, recipes.CatalogueRecipe)
    kind, suffix = (Kind.CATALOGUE, "apcat") if ours else (Kind.SCIENCE_CATALOGUE, "sciapcat")
    return ProductRef(kind, recipes.digest(recipe), ccd_id(ccd), f"{our_name(ccd)}_{suffix}.parquet")


def pocket_profiles_ref(recipe: recipes.PocketProfileRecipe, ccd: CcdExposure) -> ProductRef:
    """Profiles of the deferred charge of a CCD exposure."""
    name = f"{our_name(ccd)}_pocketprofiles.parquet"
    return ProductRef(Kind.POCKET_PROFILES, recipes.digest(recipe), ccd_id(ccd), name)


def summary_ref(recipe: recipes.ReportRecipe, night: date, name: str) -> ProductRef:
    """Table of numbers of a night."""
    return _of_night(Kind.SUMMARY, recipe, night, name, "parquet")


def figure_ref(recipe: object, night: date, name: str) -> ProductRef:
    """Figure of a night."""
    return _of_night(Kind.FIGURE, recipe, night, name, "png")


def report_ref(recipe: recipes.ReportRecipe, night: date) -> ProductRef:
    """Report of a night."""
    day = f"{night:%Y%m%d}"
    return ProductRef(Kind.REPORT, recipes.digest(recipe), day, f"ztfin2p3_{day}_report.html")


def _of_night(kind: Kind, recipe: object, night: date, name: str, suffix: str) -> ProductRef:
    day = f"{night:%Y%m%d}"
    return ProductRef(kind, recipes.digest(recipe), f"{day}/{name}", f"ztfin2p3_{day}_{name}.{suffix}")
