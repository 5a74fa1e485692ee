"""What the README tells a person to type works: its scripts run as they stand, its commands are understood."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.main import application

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SCRIPTS = [text for language, text in FENCED.findall(README) if language == "python"]
BLOCKS = [text for language, text in FENCED.findall(README) if not language]
COMMAND = re.compile(r"(?:^|bin/|\s)ztf ((?:[a-z-]+ )?[^`;#\n<]+)", re.M)


def commands() -> list[str]:
    """Every command line of ours in a block or between back-ticks."""
    places = [*BLOCKS, *re.findall(r"`([^`\n]+)`", FENCED.sub("", README))]
    return sorted({match[1].strip() for text in places for match in COMMAND.finditer(text)})


@pytest.mark.parametrize("typed", commands())
def test_every_command_is_understood(typed):
    words = shlex.split(typed.replace("TABLE", "stars.csv").replace("$month", "20190101_20190131"))
    run, bound, _ = application().parse_args(words, exit_on_error=False, print_error=False)
    assert callable(run)
    assert bound.args or bound.kwargs or len(words) == 1 or words[-1] == "--help" or words[0].startswith("--")


def test_the_commands_are_found():
    assert {"nightly 20190405 ~/ztf", "serve", "scene --store ~/ztf --names ZTF18abc"} <= set(commands())


@pytest.mark.parametrize("script", SCRIPTS, ids=["flows", "library"])
def test_a_script_runs_as_it_stands(script, tmp_path):
    """Without a guard, in an empty folder, on a server of ours that ends with it."""
    (tmp_path / "example.py").write_text(script)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    ended = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env=environment | {"PREFECT_HOME": str(tmp_path / "prefect")},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    if "catalogue(" in script:
        assert ended.stdout.startswith("2 catalogues; 0 inputs set aside\n"), ended.stdout
        assert len(list((tmp_path / "store" / "apcat").rglob("*.parquet"))) == 2
    assert "ephemeral" not in ended.stderr
    assert "temporary server" not in ended.stderr
