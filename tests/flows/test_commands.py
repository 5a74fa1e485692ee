"""Commands as a person types them: help, typing errors, a whole server started and stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from flows.cli.server import ServerFailed, free_port, is_healthy, server

ROOT = Path(__file__).parents[2]
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


def test_serving_starts_everything_and_stops_cleanly(tmp_path):
    port = free_port()
    command = (
        f"from flows.cli.serve import serve; from pathlib import Path; serve(home=Path({str(tmp_path)!r}), port={port})"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    command = [sys.executable, "-m", "flows", "serve", "--home", str(tmp_path), "--port", str(port)]
    serving = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        every = (ROOT / "prefect.yaml").read_text().count("entrypoint:")
        deployments = wait_for(port, "deployments/filter", lambda found: len(found) >= every)
        (nightly,) = [one for one in deployments if one["entrypoint"].endswith(":nightly")]
        assert nightly["schedules"][0]["active"]
        wait_for(port, "work_pools/ztf/workers/filter", lambda found: any(one["status"] == "ONLINE" for one in found))
    finally:
        serving.send_signal(signal.SIGINT)
        code = serving.wait(PATIENCE)
    assert code == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5)
    mine = str(tmp_path).encode()
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if mine in read(path)]
    assert left == []


def wait_for(port: int, what: str, ready) -> list[dict]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/{what}", data=b"{}", headers={"content-type": "application/json"}
        )
        try:
            found = json.loads(urllib.request.urlopen(request, timeout=10).read())
        except OSError:
            found = []
        if ready(found):
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: {found} after {PATIENCE} s")


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended


def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", "set by the server")  # and put back afterwards
    (tmp_path / "prefect.db").mkdir()  # where its database should be
    with pytest.raises(ServerFailed, match=r"(?s)server\.log.*database"), server(tmp_path, free_port()):
        pass


def test_a_server_makes_the_folder_it_lives_in(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "not" / "there"))
    with server(port=free_port()) as api:
        assert is_healthy(api)
    assert (tmp_path / "not" / "there" / "prefect.db").is_file()
    assert not is_healthy(api)


def test_a_taken_port_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"port {port} is taken"), server(tmp_path, port):
            pass
