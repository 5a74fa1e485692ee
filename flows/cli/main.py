"""Command line: ``ztf <name> --help``, the same as ``python -m flows <name> --help``.

A command talks to the Prefect server of ``PREFECT_API_URL``, or starts one on loopback for
as long as it runs.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, Token

from flows.cli.serve import serve
from flows.cli.server import server, talking_to
from ztf_in2p3.errors import PipelineError
from ztf_in2p3.recipes import recipe_from

FLOWS = (
    "download",
    "pocket",
    "calibrate",
    "linearity",
    "fringes",
    "detrend",
    "catalogue",
    "science",
    "detector",
    "report",
    "nightly",
    "stars",
    "foreign",
    "starflat",
    "psf",
    "scene",
    "ubercal",
    "demo",
    "real",
)

app = App(
    name="ztf",
    help="Calibration of the Zwicky Transient Facility, from raw frames to light curves.\n\n"
    "serve: Prefect's server, a worker and all deployments on loopback, until interrupted.",
    default_parameter=Parameter(consume_multiple=True, negative=()),
    version_flags=[],
)


def recipe_file(type_: Any, tokens: Sequence[Token]) -> Any:
    """A recipe from a TOML file whose tables are the nested recipes; what it leaves out keeps its default."""
    path = Path(tokens[0].value)
    try:
        return recipe_from(type_, tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def command(name: str) -> Callable[..., None]:
    """The flow of that name as a command with the same parameters."""
    flow = getattr(importlib.import_module(f"flows.{name}"), name)

    @functools.wraps(flow.fn)
    def run(*args: Any, **kwargs: Any) -> None:
        flow(*args, **kwargs)

    signature = inspect.signature(flow.fn, eval_str=True)
    from_file = Parameter(
        converter=recipe_file,
        accepts_keys=False,
        n_tokens=1,
        show_default=False,
        help="TOML file, see deployments/recipes.",
    )
    parameters = [
        p.replace(annotation=Annotated[p.annotation, from_file]) if p.name == "recipe" else p
        for p in signature.parameters.values()
    ]
    run.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def main(arguments: Sequence[str]) -> int:
    """Run one command; 1 if it failed for a reason that its message tells."""
    if arguments[:1] == ["serve"]:
        return finish("serve", serve)
    names = [name for name in FLOWS if name in arguments[:1]] or FLOWS  # only what is asked for is imported
    for name in names:
        app.command(command(name), name=name)
    run, bound, _ = app.parse_args(arguments)
    if run.__name__ not in FLOWS:  # help
        run(*bound.args, **bound.kwargs)
        return 0

    def reported() -> None:
        with server() as api, talking_to(api):
            run(*bound.args, **bound.kwargs)

    return finish(run.__name__, reported)


def finish(name: str, work: Callable[[], None]) -> int:
    """Do it; what failed for a foreseen reason is told in a line, not as a traceback."""
    try:
        work()
    except (PipelineError, ValueError) as error:
        sys.stderr.write(f"{name} failed: {error}\n")
        return 1
    return 0


def run() -> None:
    """The console command ``ztf``."""
    sys.exit(main(sys.argv[1:]))
