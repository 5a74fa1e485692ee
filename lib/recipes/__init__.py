"""Every number a product depends on, as frozen values with a short digest.

What does not change the numbers (threads, chunk sizes, time-outs) is no part of a recipe.
`version` is raised by hand when the code changes the numbers and no parameter does.
"""

from __future__ import annotations

from lib.recipes.detector import (
    BiasRecipe,
    FlatRecipe,
    FocalPlaneRecipe,
    LedFlatRecipe,
    PocketFitRecipe,
    PocketProfileRecipe,
    PocketRecipe,
    QuadrantRecipe,
    SensorRecipe,
)
from lib.recipes.fit import PhotometricLimits, RobustRecipe, StarflatRecipe, Stop, UbercalRecipe
from lib.recipes.photometry import CatalogueRecipe, PhotometryRecipe, ReferenceRecipe, ScienceCatalogueRecipe
from lib.recipes.report import ReportRecipe
from lib.recipes.scene import PsfRecipe, SceneRecipe
from lib.recipes.text import canonical, digest, recipe_from

__all__ = [
    "BiasRecipe",
    "CatalogueRecipe",
    "FlatRecipe",
    "FocalPlaneRecipe",
    "LedFlatRecipe",
    "PhotometricLimits",
    "PhotometryRecipe",
    "PsfRecipe",
    "PocketFitRecipe",
    "PocketProfileRecipe",
    "PocketRecipe",
    "QuadrantRecipe",
    "ReferenceRecipe",
    "ReportRecipe",
    "RobustRecipe",
    "SceneRecipe",
    "ScienceCatalogueRecipe",
    "SensorRecipe",
    "StarflatRecipe",
    "Stop",
    "UbercalRecipe",
    "canonical",
    "digest",
    "recipe_from",
]
