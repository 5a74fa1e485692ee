"""What `import ztf_in2p3 as ztf` offers: every name is there, cheap to import, explained by an example that runs."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import ztf_in2p3 as ztf
from ztf_in2p3 import notebook

MODULES = sorted(module.name for module in pkgutil.iter_modules(notebook.__path__, "ztf_in2p3.notebook."))
FUNCTIONS = [name for name in ztf.__all__ if inspect.isfunction(getattr(ztf, name))]


def test_importing_it_imports_nothing_else():
    script = "import sys, ztf_in2p3; print([name for name in ('numpy', 'astropy', 'prefect') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_name_is_listed_and_no_name_hides_a_module():
    assert set(ztf.__all__) <= set(dir(ztf))
    assert all(getattr(ztf, name) is not None for name in ztf.__all__)
    assert {module.name for module in pkgutil.iter_modules(ztf.__path__)} & set(ztf.__all__) == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example(name):
    assert ">>> import ztf_in2p3 as ztf" in inspect.getdoc(getattr(ztf, name))


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_do_what_they_say(module):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(module), optionflags=options).failed == 0
