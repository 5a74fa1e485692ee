"""A flow as a command: the same parameters, a server to report to."""

from __future__ import annotations

import importlib
import inspect
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from flows.cli.commands import FLOWS
from flows.cli.outline import is_elsewhere, outline
from tasks.runtime.arguments import checked, require_folder
from tasks.runtime.form import from_outside
from ztf_in2p3.recipes import recipe_from

if TYPE_CHECKING:
    from tasks.runtime.outcome import Outcome

FIRST = ("period", "night", "store")
"""Parameters that come first in every command, in this order."""


def __getattr__(name: str) -> Callable[..., None]:
    """The command of each flow is an attribute of this module, made when it is asked for."""
    if name not in FLOWS:
        raise AttributeError(f"there is no flow {name}")
    return command(name)


def command(name: str) -> Callable[..., None]:
    """The flow of that name as a command with the same parameters; it is imported when what was typed is right."""
    of_flow = outline(name)

    def run(*args: Any, **kwargs: Any) -> None:
        given = typed.bind(*args, **kwargs)
        given.apply_defaults()
        arguments = checked({word: value for word, value in given.arguments.items() if not is_elsewhere(value)})
        if of_flow.after and not from_outside(arguments):
            require_folder(arguments["store"], of_flow.after)
        execute(name, arguments)

    from_file = Parameter(
        converter=recipe_file,
        accepts_keys=False,
        n_tokens=1,
        show_default=False,
        help="TOML file, see deployments/recipes.",
    )
    parameters = [
        p.replace(annotation=Annotated[p.annotation, from_file]) if p.name == "recipe" else p
        for p in of_flow.signature.parameters.values()
    ]
    parameters = [
        p.replace(default=inspect.Parameter.empty) if p.name == "store" else p for p in parameters
    ]  # `nightly` has a default, since a parameter before it has
    parameters.sort(key=lambda p: FIRST.index(p.name) if p.name in FIRST else len(FIRST))
    # Not checked: a night may be left out, although the store that is typed after it may not.
    typed = inspect.Signature(parameters, __validate_parameters__=False)
    vars(run)["__signature__"] = typed
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__name__, run.__doc__ = name, of_flow.documentation
    return run


def execute(name: str, arguments: dict[str, Any]) -> None:
    """Run a flow, with a server to report to, and say what to open."""
    from flows.cli.server import server, talking_to
    from flows.cli.watch import ending_without

    with server() as api:
        flow = getattr(importlib.import_module(f"flows.{name}"), name)  # slow to load, once there is a server
        with ending_without(api, name), talking_to(api):
            outcome = flow(**arguments)
    place = arguments.get("store") or str(Path(arguments["folder"]) / "store")
    sys.stderr.write(f"ztf {name}: {outcome}; open {what_to_open(outcome, place)}\n")


def what_to_open(outcome: Outcome, place: str) -> str:
    """Address of the report, else of the last page or picture, else of the store itself."""
    from tasks.runtime.settings import store_at  # the flow has loaded it by now

    names = [built.ref for built in outcome.built]
    pages = [ref for ref in names if ref.file_name.endswith("_report.html")][:1]
    pages += [ref for suffix in (".html", ".png") for ref in reversed(names) if ref.file_name.endswith(suffix)]
    address = store_at(place).uri(pages[0]) if pages else place
    return address if "://" in address else Path(address).absolute().as_uri()


def recipe_file(type_: Any, tokens: Sequence[Token]) -> Any:
    """A recipe from a TOML file whose tables are the nested recipes; what it leaves out keeps its default.

    A file that names nights is a release, and the recipe is its part of it.
    """
    path = Path(tokens[0].value)
    try:
        text = path.read_text()
        if not text.strip():
            raise ValueError("is empty; expected fields of the recipe, or leave it out for the defaults")
        words = tomllib.loads(text)
        if "nights" in words:
            from ztf_in2p3.release import Release  # slow to load

            return Release.from_words(words).part(type_)
        return recipe_from(type_, words)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
