"""What may stand in a recipe: its own defaults do, and what cannot be right is refused by name."""

from dataclasses import fields, is_dataclass

import pytest

from ztf_in2p3 import recipes
from ztf_in2p3.recipes import CatalogueRecipe, SequenceRecipe, SurveyRecipe, recipe_from
from ztf_in2p3.recipes.limits import problem_with
from ztf_in2p3.recipes.meanings import meanings_of

RECIPES = [value for name in recipes.__all__ if is_dataclass(value := getattr(recipes, name))]


@pytest.mark.parametrize("kind", RECIPES)
def test_defaults_are_within_the_limits_and_explained(kind):
    defaults = {field.name: field.default for field in fields(kind)}
    assert [problem for name, value in defaults.items() if (problem := problem_with(kind, name, value))] == []
    assert [name for name, meaning in meanings_of(kind).items() if not meaning] == []


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (CatalogueRecipe, {"photometry": {"radii": [3.0, -1.0]}}, r"PhotometryRecipe.radii = .*above 0"),
        (CatalogueRecipe, {"quadrant": {"choice": "newest"}}, "QuadrantRecipe.choice = 'newest': .*nearest, older"),
        (CatalogueRecipe, {"quadrant": {"tolerance_days": -1}}, "tolerance_days = -1: .*at least 0"),
        (SequenceRecipe, {"fit": {"model": "best"}}, "StarflatRecipe.model = 'best': .*simple, zp, color, full"),
        (SurveyRecipe, {"fit": {"held_out": 1.5}}, "held_out = 1.5: .*at least 0, at most 1"),
        (SurveyRecipe, {"stars": {"order": 7}}, "StarTableRecipe.order = 7: .*at most 6"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(kind, values, message):
    with pytest.raises(TypeError, match=message):
        recipe_from(kind, values)
