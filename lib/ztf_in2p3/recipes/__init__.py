"""Every number a product depends on, as frozen values with a short digest.

What does not change the numbers (threads, chunk sizes, time-outs) is no part of a recipe.
`version` is raised by hand when the code changes the numbers and no parameter does.
"""

from __future__ import annotations

from ztf_in2p3.recipes.detector import (
    BadPixelMapRecipe,
    BiasRecipe,
    CalibrationsRecipe,
    FlatRecipe,
    FocalPlaneRecipe,
    FringeFitRecipe,
    FringeRecipe,
    LedFlatRecipe,
    LinearityRecipe,
    PocketFitRecipe,
    PocketProfileRecipe,
    PocketRecipe,
    QuadrantRecipe,
    SensorRecipe,
    VerdictRecipe,
)
from ztf_in2p3.recipes.fit import PhotometricLimits, RobustRecipe, StarflatRecipe, Stop, UbercalRecipe
from ztf_in2p3.recipes.light_curve import GaiaColours, LightCurveRecipe, PsfCatalogueRecipe, PsfReportRecipe
from ztf_in2p3.recipes.photometry import CatalogueRecipe, PhotometryRecipe, ReferenceRecipe, ScienceCatalogueRecipe
from ztf_in2p3.recipes.quality import BadPixelRecipe, FrameRecipe, OperatorsWord, QualityRecipe
from ztf_in2p3.recipes.report import DetectorRecipe, ReportRecipe
from ztf_in2p3.recipes.scene import PsfRecipe, SceneRecipe
from ztf_in2p3.recipes.star_table import ImportedColumns, StarTableRecipe
from ztf_in2p3.recipes.starflat import SequenceRecipe, SequenceReportRecipe
from ztf_in2p3.recipes.survey import StarCurvesRecipe, SurveyRecipe
from ztf_in2p3.recipes.text import canonical, digest, recipe_from

__all__ = [
    "BadPixelMapRecipe",
    "BadPixelRecipe",
    "BiasRecipe",
    "CalibrationsRecipe",
    "CatalogueRecipe",
    "DetectorRecipe",
    "FlatRecipe",
    "FocalPlaneRecipe",
    "FrameRecipe",
    "FringeFitRecipe",
    "FringeRecipe",
    "GaiaColours",
    "ImportedColumns",
    "LedFlatRecipe",
    "LightCurveRecipe",
    "LinearityRecipe",
    "OperatorsWord",
    "PhotometricLimits",
    "PhotometryRecipe",
    "PocketFitRecipe",
    "PocketProfileRecipe",
    "PocketRecipe",
    "PsfCatalogueRecipe",
    "PsfRecipe",
    "PsfReportRecipe",
    "QuadrantRecipe",
    "QualityRecipe",
    "ReferenceRecipe",
    "ReportRecipe",
    "RobustRecipe",
    "SceneRecipe",
    "ScienceCatalogueRecipe",
    "SensorRecipe",
    "SequenceRecipe",
    "SequenceReportRecipe",
    "StarCurvesRecipe",
    "StarTableRecipe",
    "StarflatRecipe",
    "Stop",
    "SurveyRecipe",
    "UbercalRecipe",
    "VerdictRecipe",
    "canonical",
    "digest",
    "recipe_from",
]
