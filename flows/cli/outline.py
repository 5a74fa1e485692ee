"""A flow as its file declares it: parameters and docstring, read without importing what the flow works with.

Importing a flow takes nine seconds of the processor, for the orchestrator and everything that computes.  Help, and the
answer to a typing error, need its signature only.  So the head of the function is taken from the file, without its body
and its decorator, and evaluated among the few names that cost nothing.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from tasks.runtime.form import documented, expanded

FOLDER = Path(__file__).parents[1]
LIGHT = ("typing", "ztf_in2p3.recipes", "ztf_in2p3.addresses", "tasks.runtime.form", "tasks.runtime.locations")
"""Modules that an outline imports; names of all others are `Elsewhere`."""
NOT_DEFAULTS = ("needs", "after", "counted", "makes")
"""Arguments of `product_flow` that are not defaults of shared parameters; only the text of `after` serves here."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A name that a flow imports, whose value costs too much here.

    As a default it means the flow's own; as a type it means what a person types as text.
    """

    __name__: str = field(default="")

    def __or__(self, other: Any) -> Any:
        return str | other


def is_elsewhere(value: object) -> bool:
    """Whether a default is one that only the flow knows."""
    return isinstance(value, Elsewhere)


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a flow before it is imported."""

    signature: inspect.Signature
    """Parameters as an operator sees them."""
    documentation: str
    """Docstring with the meaning of each of them."""
    after: str
    """Flows to run first, which make what this one reads in the store; empty if it reads nothing there."""


def outline(name: str) -> Outline:
    """Parameters and docstring of a flow, and what it needs."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    decorators = (node for node in function.decorator_list if isinstance(node, ast.Call))
    decorator = next(decorators)  # `product_flow`; others stand below it
    options = {word.arg: word.value for word in decorator.keywords if word.arg}
    defaults = {word: ast.literal_eval(value) for word, value in options.items() if word not in NOT_DEFAULTS}
    after = ast.literal_eval(options["after"]) if "after" in options else ""
    declared = _declaration(tree, function)
    signature = expanded(inspect.signature(declared, eval_str=True), defaults)
    typed = [
        parameter.replace(annotation=str) if isinstance(parameter.annotation, Elsewhere) else parameter
        for parameter in signature.parameters.values()
    ]
    documentation = documented(inspect.getdoc(declared) or "", signature.parameters)
    return Outline(signature.replace(parameters=typed), documentation, after)


def _declaration(tree: ast.Module, function: ast.FunctionDef) -> FunctionType:
    """The function with its docstring for a body."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    light = [node for node in imports if node.module in ("__future__", *LIGHT)]
    values: dict[str, Any] = {
        alias.asname or alias.name: Elsewhere(alias.name)
        for node in imports
        if node not in light
        for alias in node.names
    }
    function.decorator_list, function.body = [], function.body[:1]
    exec(compile(ast.Module([*light, function], []), f"<outline of {function.name}>", "exec"), values)
    return values[function.name]
