"""Commands as a person types them: help, typing errors, a whole server started and stopped."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.health import is_healthy
from flows.cli.server import ServerFailed, free_port, home_folder, started

ROOT = Path(__file__).parents[3]
PATIENCE = 180  # seconds, for what takes ten on an idle machine


def flows(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["download", "nightly", "science"])
def test_help_explains_every_parameter(name):
    shown = flows(name, "--help", COLUMNS="200")
    assert shown.returncode == 0
    for parameter in ("--store", "--archive", "--camera", "--ccds", "--filters", "--recipe", "--workers"):
        (line,) = [line for line in shown.stdout.splitlines() if parameter in line.split()]
        assert len(line.split(parameter)[1].split()) > 4, f"{parameter} is not explained: {line}"


def test_a_typing_error_is_told_without_starting_anything():
    wrong = flows("calibrate", "20190405", "--stoer", "x")
    assert wrong.returncode != 0
    assert "stoer" in wrong.stdout + wrong.stderr


def test_a_recipe_file_with_an_unknown_number_is_refused(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[photometry]\nradius = 3.0\n")
    wrong = flows("catalogue", "20190405", str(tmp_path / "store"), "--recipe", str(recipe))
    assert wrong.returncode != 0
    told = " ".join((wrong.stdout + wrong.stderr).replace("│", " ").split())
    assert "PhotometryRecipe has no radius" in told


def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", "set by the server")  # and put back afterwards
    (tmp_path / "prefect.db").mkdir()  # where its database should be
    with pytest.raises(ServerFailed, match=r"(?s)server\.log.*database"), started(tmp_path, free_port()):
        pass


def test_a_server_makes_the_folder_it_lives_in(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "not" / "there"))
    with started(home_folder(), free_port()) as (api, _):
        assert is_healthy(api)
    assert (tmp_path / "not" / "there" / "prefect.db").is_file()
    assert not is_healthy(api)


def test_a_taken_port_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"port {port} is taken"), started(tmp_path, port):
            pass
