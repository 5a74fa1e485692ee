"""Products that come from the archive as they are."""

from __future__ import annotations

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products.address import NO_RECIPE, Kind, ProductRef
from ztf_in2p3.products.names import ccd_id, quadrant_id


def raw_ref(ccd: CcdExposure) -> ProductRef:
    """Raw file of a CCD exposure."""
    return ProductRef(Kind.RAW, NO_RECIPE, ccd_id(ccd), f"{ccd}.fits.fz")


def header_ref(ccd: CcdExposure, qid: int) -> ProductRef:
    """Header of the archive's science image of a quadrant exposure."""
    return ProductRef(Kind.HEADER, NO_RECIPE, quadrant_id(ccd, qid), f"{ccd}_q{qid}_scihdr.fits")


def science_ref(ccd: CcdExposure, qid: int) -> ProductRef:
    """Science image of the archive of a quadrant exposure."""
    return ProductRef(Kind.SCIENCE, NO_RECIPE, quadrant_id(ccd, qid), f"{ccd}_q{qid}_sciimg.fits")


def mask_ref(ccd: CcdExposure, qid: int) -> ProductRef:
    """Mask of the archive of a quadrant exposure."""
    return ProductRef(Kind.MASK, NO_RECIPE, quadrant_id(ccd, qid), f"{ccd}_q{qid}_mskimg.fits")


def reference_ref(recipe: recipes.ReferenceRecipe, order: int, pixel: int) -> ProductRef:
    """Stars of one pixel of the nested HEALPix scheme."""
    name = f"Norder{order}_Npix{pixel}"
    return ProductRef(Kind.REFERENCE, recipes.digest(recipe), name, f"{recipe.catalogue}_{name}.parquet")
