"""What the docstrings of recipes say of each of their fields, for forms, help and the documentation."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any, get_args, get_type_hints

VERSION = "Version of the method, raised by hand when the code changes the numbers and no parameter does."


@functools.cache
def meanings_of(kind: type) -> dict[str, str]:
    """What each field of a recipe means; of one that is a recipe itself, what that is for."""
    (defined,) = ast.parse(inspect.getsource(kind)).body
    described = {
        field.target.id: " ".join(str(docstring.value.value).split())
        for field, docstring in pairwise(defined.body)  # type: ignore[attr-defined]
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(docstring, ast.Expr)
        and isinstance(docstring.value, ast.Constant)
    }
    nested = {name: summary(part) for name, part in nested_in(kind)}
    return {field.name: described.get(field.name) or nested.get(field.name, "") for field in fields(kind)} | (
        {"version": VERSION} if any(field.name == "version" for field in fields(kind)) else {}
    )


def summary(kind: type) -> str:
    """First paragraph of the docstring of a recipe."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def nested_in(kind: type) -> Iterator[tuple[str, type]]:
    """Fields of a recipe that are recipes, and which."""
    for name, hint in get_type_hints(kind).items():
        for part in (hint, *get_args(hint)):
            if is_dataclass(part) and isinstance(part, type):
                yield name, part


def recipes_within(*kinds: type) -> dict[str, type]:
    """Recipes and all that are nested in them, by name."""
    known: dict[str, type] = {}
    waiting: list[Any] = list(kinds)
    while waiting:
        kind = waiting.pop()
        if kind.__name__ not in known:
            known[kind.__name__] = kind
            waiting += [part for _, part in nested_in(kind)]
    return known
