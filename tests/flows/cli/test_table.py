"""The table of commands says what the commands say of themselves, and reading it imports none of them."""

import functools
import importlib
import inspect
import operator
import subprocess
import sys
from typing import Annotated, Union, get_args, get_origin

import pytest
from cyclopts import App, CycloptsError

from flows.cli.commands import FLOWS, TOOLS
from flows.cli.flow_command import command
from flows.cli.main import MISTYPED, application, main
from flows.cli.outline import is_elsewhere, outline


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


@pytest.mark.parametrize("name", FLOWS)
def test_the_outline_of_a_flow_is_what_the_flow_says(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    outlined, declared = outline(name), inspect.signature(flow.fn)
    assert outlined.documentation == flow.fn.__doc__
    assert [(one.name, one.kind) for one in outlined.signature.parameters.values()] == [
        (one.name, one.kind) for one in declared.parameters.values()
    ]
    for mine, its in zip(outlined.signature.parameters.values(), declared.parameters.values(), strict=True):
        assert is_elsewhere(mine.default) or mine.default == its.default
        assert mine.annotation == bare(its.annotation)


def bare(annotation: object) -> object:
    """A type without what the orchestrator is told of it besides."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) is Union:
        return functools.reduce(operator.or_, map(bare, get_args(annotation)))
    return annotation


LIGHT = [
    ["--help"],
    ["--version"],
    ["nightly", "--help"],
    ["doctor", "--help"],
    ["reference", "import", "--help"],
    ["serve", "--help"],
    ["catalogue", "20190405", "--stoer", "x"],
    ["catalogue", "2019", "store"],
    ["catalogue", "20190405", "no such folder"],
    ["download", "20190405", "store", "--ccds", "17"],
    ["doctor", "20190405", "store", "--camera", "decam"],
    ["reference", "import", "no such table", "folder"],
]


@pytest.mark.parametrize("typed", LIGHT, ids=" ".join)
def test_help_and_typing_errors_load_nothing_that_computes(typed):
    command = (
        f"import sys; from flows.cli.main import main; code = main({typed!r});"
        "print(*sys.modules, sep='\\n'); sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=180)
    is_right = typed[-1] in ("--help", "--version")
    assert ended.returncode == (0 if is_right else MISTYPED)
    assert ended.stderr.count("\n") == (0 if is_right else 1), ended.stderr
    modules = set(ended.stdout.split())
    assert {"cyclopts", "flows.cli.commands"} <= modules
    heavy = {"prefect", "pydantic", "astropy", "numba", "pyarrow", "pandas", "scipy", "flows.catalogue"}
    assert modules & heavy == set()


@pytest.mark.parametrize("name", FLOWS)
def test_every_command_takes_the_period_and_then_the_store(name):
    parameters = inspect.signature(command(name)).parameters.values()
    places = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    first = [name for name in ("period", "night", "store") if name in places]
    assert places[: len(first)] == first


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_takes_the_same_parameters_in_the_same_order_in_python(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    assert list(inspect.signature(flow.fn).parameters) == list(inspect.signature(command(name)).parameters)


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
