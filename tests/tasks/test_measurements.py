"""What a fit reads follows from what is in the store, as long as that leaves no doubt."""

from __future__ import annotations

from datetime import date

import pytest

from tasks.inputs.recipes import noted_recipe
from tasks.measurements import other_catalogues, sequences, with_catalogue
from tasks.runtime.parameters import scope_of
from tests.tasks.shelf import NIGHT, Shelf, exposure
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import catalogue_ref, raw_ref
from ztf_in2p3.recipes import CatalogueRecipe, PhotometryRecipe, QuadrantRecipe, StarTableRecipe, digest

RECIPE = StarTableRecipe()
DEMO = CatalogueRecipe(QuadrantRecipe(tolerance_days=30))


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def catalogue(shelf, recipe, k=1, filter=Filter.ZR, night=NIGHT):
    return shelf.put(catalogue_ref(recipe, CcdExposure(exposure(k, filter=filter, night=night), 3)), recipe)


def test_a_sequence_is_a_night_and_filter(shelf):
    later = date(2019, 4, 7)
    first, second = (catalogue(shelf, RECIPE.catalogue, k, Filter.ZG) for k in (1, 2))
    red = catalogue(shelf, RECIPE.catalogue, 3)
    last = catalogue(shelf, RECIPE.catalogue, 4, Filter.ZG, later)
    assert sequences({Filter.ZG: [first, second, last], Filter.ZR: [red]}) == {
        (Period.of(NIGHT), Filter.ZG): [first, second],
        (Period.of(NIGHT), Filter.ZR): [red],
        (Period.of(later), Filter.ZG): [last],
    }


def test_catalogues_of_another_recipe_are_known_with_their_recipe(shelf):
    catalogue(shelf, DEMO)
    scope = scope_of("20190405", "ztf", None, None)
    assert other_catalogues(shelf.store, scope) == {digest(DEMO): DEMO}
    assert other_catalogues(shelf.store, scope_of("20190405", "ztf", None, ["zg"])) == {}
    assert other_catalogues(shelf.store, scope_of("20190405", "ztf", None, None, [655])) == {}


def test_a_star_table_of_other_catalogues_takes_the_aperture_nearest_in_size():
    small = CatalogueRecipe(photometry=PhotometryRecipe(radii=(2.0, 3.0)))
    followed = with_catalogue(RECIPE, small)
    assert (followed.catalogue, followed.radius) == (small, 3.0)
    assert with_catalogue(RECIPE, DEMO).radius == RECIPE.radius


def test_what_has_no_recipe_of_a_kind_tells_none(shelf):
    raw = shelf.raw(exposure(1))
    assert raw.ref == raw_ref(CcdExposure(exposure(1), 3))
    assert noted_recipe(shelf.store, raw.ref, CatalogueRecipe) is None
    assert noted_recipe(shelf.store, catalogue(shelf, DEMO).ref, StarTableRecipe) is None
