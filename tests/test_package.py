"""The package says the truth about itself: what it needs, which code it is, where its files come from."""

import ast
import logging
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from prefect.logging import get_logger

from tasks.runtime import settings
from ztf_in2p3.errors import MissingExtra
from ztf_in2p3.simulate import raw

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {"astropy-healpix": "astropy_healpix", "pillow": "PIL", "pyerfa": "erfa"}
"""Distributions whose module has another name."""
NOT_IMPORTED = {
    "fastapi": "bounded for Prefect's server",
    "sqlalchemy": "bounded for Prefect's server",
    "boto3": "the account of buckets",
}
"""Distributions that are declared although no module imports them, and what for."""


def modules_of(requirements: list[str]) -> set[str]:
    names = {Requirement(text).name for text in requirements} - set(NOT_IMPORTED)
    return {IMPORTED_AS.get(name, name) for name in names}


def imported(*folders: str) -> set[str]:
    """Top-level packages, not Python's own or ours, that the files of the folders import anywhere."""
    names: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names - {"ztf_in2p3", "tasks", "flows"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    extras = PROJECT["optional-dependencies"]
    library = modules_of(PROJECT["dependencies"])
    optional = modules_of([*extras["dask"], *extras["simulate"]])
    application = modules_of(extras["app"])
    assert imported("lib") - optional == library
    assert imported("lib") & optional == optional
    assert imported("tasks", "flows") - library - optional == application


BLOCKED = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import ztf_in2p3
for module in pkgutil.walk_packages(ztf_in2p3.__path__, "ztf_in2p3."):
    importlib.import_module(module.name)
"""


def test_every_module_of_the_library_imports_without_any_extra():
    extras = PROJECT["optional-dependencies"]
    absent = modules_of([*extras["app"], *extras["dask"], *extras["simulate"]]) | {"fastapi", "sqlalchemy", "pydantic"}
    absent -= {"packaging"}  # what the library needs, needs it too
    script = BLOCKED.format(absent=absent - modules_of(PROJECT["dependencies"]))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_without_fitsio_the_simulator_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fitsio", None)
    with pytest.raises(MissingExtra, match=r"ztf-in2p3\[simulate\]"):
        raw.write_raw(tmp_path / "raw.fits", None, None, {})


def test_the_command_works_in_a_folder_with_modules_of_the_same_names(tmp_path):
    for name in ("tasks.py", "flows.py", "prefect.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    for name in ("lib", "ztf_in2p3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    command = Path(sys.executable).with_name("ztf")
    run = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.split() == ["ztf-in2p3", PROJECT["version"]], run.stderr


def test_the_version_stands_in_one_place():
    assert version("ztf-in2p3") == PROJECT["version"]
    assert f"\n## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (str(citation["version"]), citation["license"]) == (PROJECT["version"], PROJECT["license"])


# --- the commit


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder in which this package is supposed to lie."""
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    settings.code_commit.cache_clear()
    yield tmp_path
    settings.code_commit.cache_clear()


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout(project):
    git(project, "init", "-q")
    git(project, "commit", "-q", "--allow-empty", "-m", "Begin")
    assert settings.code_commit() == git(project, "rev-parse", "--short", "HEAD")


def test_the_commit_of_a_project_around_an_installation_is_not_ours(project, monkeypatch):
    git(project, "init", "-q")
    git(project, "commit", "-q", "--allow-empty", "-m", "Another project")
    installed = project / ".venv" / "lib" / "site-packages"
    installed.mkdir(parents=True)
    monkeypatch.setattr(settings, "ROOT", installed)
    assert settings.code_commit() == "unknown"


# --- what an operator edits


def test_the_operators_folder_is_the_named_one_else_the_current_one_else_the_default(tmp_path, monkeypatch):
    monkeypatch.delenv("ZTF_DEPLOYMENTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert settings.deployments() == ROOT / "deployments"
    (tmp_path / "deployments").mkdir()
    assert settings.deployments() == tmp_path / "deployments"
    (tmp_path / "named").mkdir()
    monkeypatch.setenv("ZTF_DEPLOYMENTS", "named")
    assert settings.deployments() == tmp_path / "named"
    monkeypatch.setenv("ZTF_DEPLOYMENTS", "nowhere")
    with pytest.raises(ValueError, match="ZTF_DEPLOYMENTS is 'nowhere', which is no folder"):
        settings.deployments()


def test_a_ruling_in_the_current_folder_counts(tmp_path, monkeypatch):
    monkeypatch.delenv("ZTF_DEPLOYMENTS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deployments").mkdir()
    assert settings.operators_rulings() == ()
    ruling = 'kind = "bias"\nperiod = "20190405"\npart = "c03"\nquality = "rejected"\nreason = "lights"\n'
    (tmp_path / "deployments" / "verdicts.toml").write_text(f"[[verdict]]\n{ruling}")
    assert [ruling.word.reason for ruling in settings.operators_rulings()] != []


def test_the_log_says_which_folder_counts(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("ZTF_DEPLOYMENTS", str(tmp_path))
    logger = get_logger("deployments")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    caplog.set_level(logging.INFO, logger.name)
    settings.deployments()
    settings.deployments()
    assert [record.getMessage() for record in caplog.records] == [f"deployments: {tmp_path}"]
