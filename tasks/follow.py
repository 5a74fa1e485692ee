"""The nights of the demonstration that follow a supernova."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from ztf_in2p3.identifiers import Filter
from ztf_in2p3.recipes import CatalogueRecipe, GaiaColours, LightCurveRecipe, PsfCatalogueRecipe
from ztf_in2p3.simulate import follow
from ztf_in2p3.simulate.exposures import NightPlan
from ztf_in2p3.simulate.sky import COLOUR_TERMS

FIRST = date(2019, 5, 2)
"""First night, after the month of the survey: a period of that must not hold frames of these nights."""
FILTERS = (Filter.ZG, Filter.ZR)
N_QUIET, N_ACTIVE = 8, 12
"""Exposures in each filter before it explodes, and after."""
TOLERANCE_DAYS = 150
"""Days between these nights and that of the masters."""


def supernova_nights(plan: NightPlan) -> tuple[list[NightPlan], int]:
    """Nights of the supernova of `ztf_in2p3/simulate/targets.toml`, detrended with the flats of `plan`, and its CCD."""
    how = {"n_quiet": N_QUIET, "n_active": N_ACTIVE, "peak": 18.0, "host": 17.0}
    _, nights, _ = follow.follow(plan, FIRST, filters=FILTERS, **how)  # type: ignore[arg-type]
    return nights, follow.QUADRANT.ccdid


def tolerant(recipe: CatalogueRecipe) -> CatalogueRecipe:
    """Masters of one night serve all of these."""
    return replace(recipe, quadrant=replace(recipe.quadrant, tolerance_days=TOLERANCE_DAYS))


def light_curve_recipe(recipe: CatalogueRecipe) -> LightCurveRecipe:
    """Recipe of light curves in the simulated survey, whose stars have magnitudes of their own."""
    colours = {str(filter): tuple(terms) for filter, terms in COLOUR_TERMS.items()}
    stars = PsfCatalogueRecipe(quadrant=tolerant(recipe).quadrant, reference=recipe.reference)
    return LightCurveRecipe(stars, gaia=GaiaColours(**colours))  # type: ignore[arg-type]
