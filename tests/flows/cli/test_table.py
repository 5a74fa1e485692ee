"""The table of commands says what the commands say of themselves, and reading it imports none of them."""

import importlib
import inspect
import subprocess
import sys

import pytest
from cyclopts import App, CycloptsError

from flows.cli.commands import FLOWS, TOOLS
from flows.cli.flow_command import command
from flows.cli.main import MISTYPED, application, main


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_listed_with_the_first_line_of_its_docstring(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    assert FLOWS[name] == inspect.getdoc(flow.fn).partition("\n")[0]


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_listed_with_the_first_line_of_its_help(name):
    place, line = TOOLS[name]
    module, _, attribute = place.partition(":")
    tool = getattr(importlib.import_module(module), attribute)
    assert not inspect.isfunction(tool) or line == inspect.getdoc(tool).partition("\n")[0]
    assert inspect.isfunction(tool) or isinstance(tool, App)


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_looking_at_the_table_imports_neither_flows_nor_the_orchestrator(asked):
    command = f"import sys; from flows.cli.main import main; main([{asked!r}]); print(*sys.modules, sep='\\n')"
    printed = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=180)
    modules = set(printed.stdout.split())
    assert {"cyclopts", "flows.cli.commands"} <= modules
    assert {"prefect", "astropy", "numba", "flows.catalogue", "tasks.runtime"}.isdisjoint(modules)


@pytest.mark.parametrize("name", FLOWS)
def test_every_command_takes_the_period_and_then_the_store(name):
    parameters = inspect.signature(command(name)).parameters.values()
    places = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    first = [name for name in ("period", "night", "store") if name in places]
    assert places[: len(first)] == first


@pytest.mark.parametrize(
    ("typed", "bound"),
    [
        (["20190405", "there"], {"night": "20190405", "store": "there"}),
        (["--store", "there"], {"store": "there"}),
        (["--store", "there", "--night", "20190405"], {"night": "20190405", "store": "there"}),
    ],
)
def test_a_night_may_be_left_out(typed, bound):
    _, found, _ = application().parse_args(["nightly", *typed], exit_on_error=False, print_error=False)
    assert dict(found.arguments) == bound


@pytest.mark.parametrize("typed", [["yesterday", "{store}"], ["--store", "{store}", "--night", "yesterday"]])
def test_what_is_typed_arrives_where_it_belongs(typed, tmp_path, capsys):
    assert main(["nightly", *(word.format(store=tmp_path) for word in typed)]) == MISTYPED
    assert "night: 'yesterday' is no" in capsys.readouterr().err


def test_a_store_may_not():
    with pytest.raises(CycloptsError, match="store"):
        application().parse_args(["nightly", "20190405"], exit_on_error=False, print_error=False)
