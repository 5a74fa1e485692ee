"""What a release is: one file for the nights, the filters and the recipes of every product."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from ztf_in2p3 import recipes
from ztf_in2p3.errors import Mistyped
from ztf_in2p3.identifiers import N_CCD, SKY_FILTERS, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import CatalogueRecipe, SequenceRecipe, StarTableRecipe, SurveyRecipe

R = TypeVar("R")

_WORDS = ("name", "nights", "filters", "ccds", "fields", "catalogue", "stars", "starflat", "ubercal")


@dataclass(frozen=True, slots=True)
class Release:
    """Nights, parts of the camera and of the sky, and one chain of recipes, each nested in those that follow."""

    name: str
    nights: Period
    filters: tuple[Filter, ...]
    ccds: tuple[int, ...]
    fields: tuple[int, ...]
    """Fields of the exposures; empty: all."""
    starflat: SequenceRecipe
    ubercal: SurveyRecipe
    """Holds the recipes of star tables, catalogues and masters."""

    @property
    def stars(self) -> StarTableRecipe:
        """Recipe of the star tables."""
        return self.ubercal.stars

    @property
    def catalogue(self) -> CatalogueRecipe:
        """Recipe of the aperture catalogues."""
        return self.stars.catalogue

    @classmethod
    def read(cls, path: Path) -> Self:
        """Release of a TOML file.

        Raises
        ------
        Mistyped
            The file cannot be read, or something in it cannot be right; the message names it.
        """
        try:
            return cls.from_words(tomllib.loads(path.expanduser().read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
            raise Mistyped(f"{path} is no release: {error}") from error

    @classmethod
    def from_words(cls, words: Mapping[str, Any]) -> Self:
        """Release as TOML says it: tables `catalogue`, `stars`, `starflat` and `ubercal` hold what is not the default.

        The catalogue's recipe stands in its own table only, and that of the star tables in its own: so no product of
        the release can be asked for by two chains.
        """
        if strange := sorted(set(words) - set(_WORDS)):
            raise ValueError(f"it has {', '.join(strange)}; expected among {', '.join(_WORDS)}")
        if not words.get("name") or "nights" not in words:
            raise ValueError("it lacks its name or nights; expected name = 'dr1' and nights = '20180101_20231231'")
        for table, nested in (("stars", "catalogue"), ("starflat", "stars"), ("ubercal", "stars")):
            if nested in words.get(table, {}):
                raise ValueError(f"[{table}.{nested}] would be a second recipe; write it as [{nested}]")
        ccds = tuple(words.get("ccds") or range(1, N_CCD + 1))
        if strange_ccds := [ccd for ccd in ccds if type(ccd) is not int or not 1 <= ccd <= N_CCD]:
            raise ValueError(f"ccds has {strange_ccds}; expected numbers 1 to {N_CCD}")
        filters = tuple(Filter(word) for word in words.get("filters") or SKY_FILTERS)
        if Filter.BIAS in filters:
            raise ValueError(f"filters has bi; expected among {', '.join(SKY_FILTERS)}")
        stars = {**words.get("stars", {}), "catalogue": words.get("catalogue", {})}
        return cls(
            words["name"],
            Period.parse(words["nights"]),
            filters,
            ccds,
            tuple(words.get("fields", ())),
            recipes.recipe_from(SequenceRecipe, {**words.get("starflat", {}), "stars": stars}),
            recipes.recipe_from(SurveyRecipe, {**words.get("ubercal", {}), "stars": stars}),
        )

    def part(self, kind: type[R]) -> R:
        """The recipe of a type that the release has.

        Raises
        ------
        ValueError
            It has none of it.
        """
        for recipe in (self.ubercal, self.starflat, self.stars, self.catalogue, self.catalogue.quadrant):
            if isinstance(recipe, kind):
                return recipe
        raise ValueError(f"the release {self.name} has no {kind.__name__}; give a file of that recipe alone")

    def digests(self) -> dict[str, str]:
        """Names of the recipes' types by the digests of all recipes of the release, nested ones too."""
        return {recipes.digest(part): type(part).__name__ for part in _within((self.starflat, self.ubercal))}


def _within(parts: tuple[object, ...]) -> Iterator[object]:
    """Recipes and those nested in them."""
    for part in parts:
        if is_dataclass(part) and not isinstance(part, type):
            yield part
            yield from _within(tuple(getattr(part, field.name) for field in fields(part)))
