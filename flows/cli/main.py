"""Command line: ``ztf <name> --help``, the same as ``python -m flows <name> --help``.

A flow's command talks to the Prefect server of ``PREFECT_API_URL``, or starts one on loopback
for as long as it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from flows.cli.commands import FLOWS, TOOLS
from flows.cli.health import spare_loopback_the_proxy
from flows.cli.interrupt import Stopped, line, stopping
from ztf_in2p3.errors import Mistyped, PipelineError

FAILED, MISTYPED = 1, 2
"""Exit codes."""


def application(command: str | None = None) -> App:
    """All commands, none of them imported.

    Parameters
    ----------
    asked
        The command whose own help is shown, not only the line that the table has of it.
    """
    app = App(
        name="ztf",
        help="Calibration of the Zwicky Transient Facility, from raw frames to light curves.",
        default_parameter=Parameter(consume_multiple=True, negative=()),
        version=version,
    )
    places = {name: (f"flows.cli.flow_command:{name}", about) for name, about in FLOWS.items()} | TOOLS
    for order, (name, (place, about)) in enumerate(places.items()):
        spellings = tuple(dict.fromkeys([name.replace("_", "-"), name]))
        app.command(place, name=spellings, help=None if command in spellings else about, sort_key=order)
    app.register_install_completion_command()
    return app


def version() -> str:
    """What ``ztf --version`` says."""
    from importlib import metadata  # slow to load

    return f"ztf-in2p3 {metadata.version('ztf-in2p3')}"


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns
    -------
    0; 1 if it failed for a reason that its message says; 2 if it was not understood, and nothing was started.
    """
    spare_loopback_the_proxy()
    name = arguments[0] if arguments else ""
    app = application(name)
    try:
        run, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sys.stderr.write(f"ztf: {' '.join(str(error).split())}\n")
        return MISTYPED
    try:
        with stopping(name):
            code = run(*bound.args, **bound.kwargs)
    except Mistyped as error:
        sys.stderr.write(f"ztf {name}: {error}\n")
        return MISTYPED
    except (PipelineError, ValueError) as error:
        sys.stderr.write(f"ztf {name} failed: {error}\n")
        return FAILED
    except Stopped as stopped:
        sys.stderr.write(line(name, stopped))
        return stopped.code
    return code if isinstance(code, int) else 0


def run() -> None:
    """The console command ``ztf``."""
    sys.exit(main(sys.argv[1:]))
