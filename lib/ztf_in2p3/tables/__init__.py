"""Columns of every catalogue: name, type, unit, meaning.

Units are written as astropy reads them; unit and meaning travel in each field's metadata.
"""

from __future__ import annotations

from ztf_in2p3.tables.column import Column, schema_of
from ztf_in2p3.tables.detector import CALIBRATIONS, FOCAL_PLANE, LINEARITY, POCKET, POCKET_PROFILES
from ztf_in2p3.tables.fits import PARAMETERS, STARFLAT_MAP, STARFLAT_RESIDUALS
from ztf_in2p3.tables.light_curves import CURVE_OBJECTS, CURVE_POINTS, star_curves_schema
from ztf_in2p3.tables.scene import CURVE_STARS, LIGHT_CURVE, PSF, PSF_CATALOGUE, STAMP
from ztf_in2p3.tables.stars import REFERENCE, STAR_TABLE, STAR_TABLE_INDEX, catalogue_schema

__all__ = [
    "CALIBRATIONS",
    "CURVE_OBJECTS",
    "CURVE_POINTS",
    "CURVE_STARS",
    "FOCAL_PLANE",
    "LIGHT_CURVE",
    "LINEARITY",
    "PARAMETERS",
    "POCKET",
    "POCKET_PROFILES",
    "PSF",
    "PSF_CATALOGUE",
    "REFERENCE",
    "STAMP",
    "STARFLAT_MAP",
    "STARFLAT_RESIDUALS",
    "STAR_TABLE",
    "STAR_TABLE_INDEX",
    "Column",
    "catalogue_schema",
    "schema_of",
    "star_curves_schema",
]
