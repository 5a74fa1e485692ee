"""Recipes as text: their short digest, and how they are read from a file or a form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from ztf_in2p3.recipes.limits import problem_with

R = TypeVar("R")


def canonical(recipe: object) -> str:
    """One text for one recipe, whatever the order in which it was written down."""
    return json.dumps([type(recipe).__name__, asdict(recipe)], sort_keys=True)  # type: ignore[call-overload]


def digest(recipe: object) -> str:
    """Short name of a recipe.

    It covers the recipes nested in it, so that a new bias makes a new quadrant without anyone having to remember to ask
    for one.
    """
    return digest_of_text(canonical(recipe))


def digest_of_text(text: str) -> str:
    """Short name of a recipe whose canonical text is given, as a manifest holds it."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def recipe_from(kind: type[R], values: Mapping[str, Any]) -> R:
    """A recipe with some of its numbers replaced, as nested mappings (a TOML file, a form) give them.

    Raises
    ------
    TypeError
        A name that the recipe does not have, a value of another type than its default's, or beyond its limits.
    """
    recipe: Any = kind()
    known = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    strange = sorted(set(values) - set(known))
    if strange:
        raise TypeError(f"{kind.__name__} has no {', '.join(strange)}; it has {', '.join(known)}")
    hints = {name: get_args(hint) for name, hint in get_type_hints(kind).items()}
    new = {}
    for name, value in values.items():
        nested: list[Any] = [member for member in hints[name] if is_dataclass(member)]
        default = nested[0]() if known[name] is None and nested else known[name]
        new[name] = None if value is None and type(None) in hints[name] else _like(default, value, name)
        if problem := problem_with(kind, name, new[name]):
            raise TypeError(f"{kind.__name__}.{problem}")
    return replace(recipe, **new)


def _like(default: Any, value: Any, name: str) -> Any:
    """A value as the type of its default."""
    if is_dataclass(default) and isinstance(value, Mapping):
        return recipe_from(type(default), value)
    if isinstance(default, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_like(default[0], item, name) if default else _frozen(item) for item in value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if default is None:
        return _frozen(value)
    if type(value) is not type(default):
        raise TypeError(f"{name} = {value!r}: expected a value like {default!r}")
    return value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
