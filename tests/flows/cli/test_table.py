"""The table of commands says what the commands say of themselves, and reading it imports none of them."""

import importlib
import inspect
import subprocess
import sys

import pytest

from flows.cli.commands import FLOWS, TOOLS


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_listed_with_the_first_line_of_its_docstring(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    assert FLOWS[name] == inspect.getdoc(flow.fn).partition("\n")[0]


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_listed_with_the_first_line_of_its_help(name):
    place, line = TOOLS[name]
    module, _, attribute = place.partition(":")
    tool = getattr(importlib.import_module(module), attribute)
    assert line == (inspect.getdoc(tool) if inspect.isfunction(tool) else tool.help).partition("\n")[0]


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_looking_at_the_table_imports_neither_flows_nor_the_orchestrator(asked):
    command = f"import sys; from flows.cli.main import main; main([{asked!r}]); print(*sys.modules, sep='\\n')"
    printed = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=180)
    modules = set(printed.stdout.split())
    assert {"cyclopts", "flows.cli.commands"} <= modules
    assert {"prefect", "astropy", "numba", "flows.catalogue", "tasks.runtime"}.isdisjoint(modules)
