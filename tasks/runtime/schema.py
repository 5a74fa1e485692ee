"""The form of a flow: what each field means, and what may stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.utilities.callables import ParameterSchema

from tasks.runtime.form import LIMITS, meanings
from ztf_in2p3.recipes.limits import Bounds, bounds_of, choices_of
from ztf_in2p3.recipes.meanings import meanings_of, recipes_within


def explain(schema: ParameterSchema, documentation: str, recipe: type | None) -> None:
    """Write meanings and limits into the schema of a flow's parameters, which the form is made of.

    The orchestrator reads docstrings of another style only, and knows nothing of a recipe's.

    Parameters
    ----------
    documentation
        Docstring of the flow, with the meaning of each parameter.
    recipe
        Type of its recipe, if it has any.
    """
    for name, text in meanings(documentation).items():
        schema.properties[name]["description"] = text
        _limit(schema.properties[name], LIMITS.get(name, {}))
    for name, kind in recipes_within(*filter(None, [recipe])).items():
        fields = schema.definitions.get(name, {}).get("properties", {})
        for field, form in fields.items():
            form["description"] = meanings_of(kind)[field]
            _limit(form, _limits_of(kind, field))


def _limits_of(kind: type, field: str) -> dict[str, Any]:
    words = choices_of(kind, field)
    return {"enum": list(words)} if words else _as_json(bounds_of(kind, field))


def _as_json(bounds: Bounds | None) -> dict[str, Any]:
    if bounds is None:
        return {}
    limits = {"minimum": bounds.least, "maximum": bounds.most, "exclusiveMinimum": bounds.above}
    return {word: limit for word, limit in limits.items() if limit is not None}


def _limit(form: dict[str, Any], limits: Mapping[str, Any]) -> None:
    """Add limits to the type that they are of: of a list to its members, where they are limits of numbers."""
    for branch in form.get("anyOf", [form]):
        if branch.get("type") == "array":
            of_array = {word: limit for word, limit in limits.items() if word in ("items", "minItems")}
            branch.update({word: limit for word, limit in of_array.items() if word != "items"})
            members = of_array.get("items") or {word: limit for word, limit in limits.items() if word not in of_array}
            for items in [branch.get("items"), *branch.get("prefixItems", [])]:
                if isinstance(items, dict):
                    _limit(items, members)
        elif branch.get("type") in ("string", "integer", "number"):
            branch.update(limits)
