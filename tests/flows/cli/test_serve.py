"""What an operator's machine does by itself: schedules fire, and the next server heals what the last one left.

One server, killed and started again, for all that can be seen of it: starting takes most of a minute.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cli.health import is_healthy
from flows.cli.record import served_api
from flows.cli.server import free_port
from tasks.doctor import examine_server
from ztf_in2p3.doctor import Examination
from ztf_in2p3.doctor.report import troubles

ROOT = Path(__file__).parents[3]
PATIENCE = 300  # seconds, for what takes thirty on an idle machine
EVERY_SECONDS = 20


class Served:
    """`ztf serve` as a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_API_URL")}

    def start(self) -> None:
        command = [sys.executable, "-m", "flows", "serve", "--home", str(self.home), "--port", str(self.port)]
        self.log = (self.home / f"serve-{time.monotonic():.0f}.log").open("w+")
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, start_new_session=True, stdout=self.log, stderr=self.log
        )

    @property
    def printed(self) -> str:
        return Path(self.log.name).read_text()

    def ask(self, what: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.api}/{what}", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )
        return json.loads(urllib.request.urlopen(request, timeout=30).read())

    def wait_for(self, what: str, ready: Any, **body: Any) -> Any:
        found = None
        for _ in self.polling():
            try:
                found = self.ask(what, **body)
            except OSError:
                continue
            if ready(found):
                return found
        raise AssertionError(f"{what}: {found} after {PATIENCE} s; serve printed: {self.printed}")

    def polling(self) -> Iterator[None]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            yield
            assert self.process.poll() is None, self.printed
            time.sleep(0.5)

    def left(self) -> list[Path]:
        """Processes that work with the same database."""
        mine = f"PREFECT_HOME={self.home}\0".encode()
        return [path for path in Path("/proc").glob("[0-9]*/environ") if mine in read(path)]

    def wait_until_alone(self) -> None:
        deadline = time.monotonic() + 60
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self.left() == []


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    serving = Served(tmp_path)
    serving.start()
    yield serving
    if serving.process.poll() is None:
        serving.process.kill()
        serving.process.wait()


def deploy_light_flow(served: Served) -> None:
    """With a schedule, and one run at a time, as the nightly has it."""
    script = (
        "from prefect import flow; from prefect.client.schemas.objects import ConcurrencyLimitConfig as Limit;"
        "from prefect.client.schemas.schedules import construct_schedule;"
        f"flow.from_source({str(ROOT)!r}, 'tests/flows/cli/light.py:light').deploy('light', work_pool_name='ztf',"
        f"interval={EVERY_SECONDS}, concurrency_limit=1, parameters={{'folder': {str(served.home)!r}}},"
        "ignore_warnings=True)"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=PATIENCE, capture_output=True,
        env=served.environment | {"PREFECT_API_URL": served.api, "PREFECT_HOME": str(served.home)},
    )  # fmt: skip


def test_schedules_fire_and_a_server_killed_at_work_costs_one_run(served):
    # All deployments are there, and the night's schedule is planned.
    every = (ROOT / "prefect.yaml").read_text().count("entrypoint:")
    deployments = served.wait_for("deployments/filter", lambda found: len(found) >= every)
    (nightly,) = [one for one in deployments if one["entrypoint"] == "flows.nightly.nightly"]
    of_nightly = {"deployments": {"id": {"any_": [nightly["id"]]}}}
    planned = served.wait_for("flow_runs/filter", bool, **of_nightly)
    assert {(run["state_type"], run["auto_scheduled"], run["expected_start_time"][11:16]) for run in planned} == {
        ("SCHEDULED", True, "16:00")
    }

    # Others know whose server it is, and there is one for each database.
    assert served_api(served.home) == served.api
    second = subprocess.run(
        [sys.executable, "-m", "flows", "serve", "--home", str(served.home), "--port", str(free_port())],
        cwd=ROOT, env=served.environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"process {served.process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1

    # A schedule fires while nobody looks; in the middle of the run everything is killed.
    deploy_light_flow(served)
    for _ in served.polling():
        if (served.home / "began").exists():
            break
    exam = Examination()
    examine_server(exam, served.api, started=False)
    assert troubles(exam.findings) == []  # what `ztf doctor` says of a server, its schedules and its worker
    served.process.kill()
    served.process.wait()
    served.wait_until_alone()
    assert served_api(served.home) is None
    assert not (served.home / "done").exists()

    # The next server says what died, and the next scheduled run comes to its end although one may run at a time.
    (served.home / "go").touch()
    served.start()
    for _ in served.polling():
        if (served.home / "done").exists():
            break
    states = {"flow_runs": {"state": {"type": {"any_": ["CRASHED", "RUNNING", "COMPLETED"]}}}}
    runs = served.wait_for("flow_runs/filter", lambda found: {"CRASHED", "COMPLETED"} <= kinds(found), **states)
    crashed = {run["name"]: run["state"]["message"] for run in runs if run["state_type"] == "CRASHED"}
    # Once each.  A worker that ends a little before its server has the time to report the run itself, and even to begin
    # with the next, whose turn it then is.
    marked = {name: served.printed.count(f"{name} was Running when") for name in crashed}
    assert all(marked[name] == ("non-zero status code" not in message) for name, message in crashed.items()), (
        crashed, served.printed,
    )  # fmt: skip
    assert served.printed.count("marked Crashed") == sum(marked.values())

    # Asked to stop, it stops whole.
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE) == 0, served.printed
    served.wait_until_alone()
    assert not is_healthy(served.api)
    assert "Traceback" not in served.printed


def kinds(runs: list[dict]) -> set[str]:
    return {run["state_type"] for run in runs}
