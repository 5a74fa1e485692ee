"""A recipe's digest changes with every number, and with nothing else."""

import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from ztf_in2p3.recipes import (
    CatalogueRecipe,
    PhotometryRecipe,
    PsfCatalogueRecipe,
    PsfRecipe,
    ScienceCatalogueRecipe,
    StarTableRecipe,
    digest,
    recipe_from,
)

ROOT = Path(__file__).parents[2]


def numbers(recipe: object) -> list[tuple[str, ...]]:
    """Paths to every value of a nested recipe."""
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return [
        (name, *path) for name, value in values.items() for path in (numbers(value) if is_dataclass(value) else [()])
    ]


def changed(recipe: object, path: tuple[str, ...]) -> object:
    value = getattr(recipe, path[0])
    if len(path) > 1:
        return replace(recipe, **{path[0]: changed(value, path[1:])})
    match value:
        case bool():
            other = not value
        case tuple():
            other = (*value, value[-1]) if value else ((1, 2.0),)
        case str():
            other = value + "_2"
        case _:
            other = value + 1
    return replace(recipe, **{path[0]: other})


@pytest.mark.parametrize("path", numbers(CatalogueRecipe()), ids=".".join)
def test_every_number_of_a_nested_recipe_is_in_its_digest(path):
    assert digest(changed(CatalogueRecipe(), path)) != digest(CatalogueRecipe())


def test_equal_recipes_have_one_digest_however_they_were_written():
    written = recipe_from(CatalogueRecipe, {"photometry": {"radii": [3, 4.5], "isolation_arcsec": 15}})
    assert digest(written) == digest(CatalogueRecipe(photometry=PhotometryRecipe((3.0, 4.5), isolation_arcsec=15.0)))


def test_what_may_be_nothing_can_be_written_as_nothing_and_nothing_else_can():
    assert recipe_from(ScienceCatalogueRecipe, {"reference": None}).reference is None
    assert recipe_from(ScienceCatalogueRecipe, {"reference": {"epoch": 2015.5}}).reference.epoch == 2015.5
    assert recipe_from(StarTableRecipe, {"psf": {}}).psf == PsfCatalogueRecipe()
    narrow = recipe_from(StarTableRecipe, {"psf": {"psf": {"margin": 2}}})
    assert narrow.psf == PsfCatalogueRecipe(psf=PsfRecipe(margin=2))
    with pytest.raises(TypeError, match="psf = 3"):
        recipe_from(StarTableRecipe, {"psf": 3})
    with pytest.raises(TypeError, match="reference = None"):
        recipe_from(CatalogueRecipe, {"reference": None})


def test_recipes_of_different_products_never_share_a_digest():
    assert digest(CatalogueRecipe()) != digest(ScienceCatalogueRecipe())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"photometry": {"radius": [3]}}, "PhotometryRecipe has no radius; it has radii"),
        ({"quadrant": {"tolerance_days": "ten"}}, "tolerance_days = 'ten'"),
        ({"version": 1.5}, r"version = 1\.5"),
    ],
)
def test_a_typing_error_is_refused(values, message):
    with pytest.raises(TypeError, match=message):
        recipe_from(CatalogueRecipe, values)


def test_the_release_file_names_every_number():
    written = tomllib.loads((ROOT / "deployments" / "recipes" / "release.toml").read_text())
    assert recipe_from(CatalogueRecipe, written) == CatalogueRecipe()

    def paths(table: dict, before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        here = {(*before, name) for name, value in table.items() if not isinstance(value, dict)}
        return here.union(*(paths(v, (*before, k)) for k, v in table.items() if isinstance(v, dict)))

    assert paths(written) == set(numbers(CatalogueRecipe()))
