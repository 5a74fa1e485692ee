"""`ztf doctor` as a person types it, against the look-alike archive and a real server."""

from __future__ import annotations

import getpass
import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from prefect.settings import PREFECT_API_URL

from flows.cli.main import main
from tasks.doctor import examine_server
from tests.flows.night import NIGHT, Survey
from ztf_in2p3.doctor import Examination
from ztf_in2p3.doctor.report import troubles


@pytest.fixture
def api(orchestrator: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a real server, which the command is told."""
    address = PREFECT_API_URL.value()
    monkeypatch.setenv("PREFECT_API_URL", address)
    return address


@pytest.fixture
def served_api(api: str):
    """The server with what `ztf serve` gives it: a deployment on a schedule, runs planned ahead, a worker."""
    flow = post(api, "flows", name="doctors-nightly")["id"]
    schedules = [{"schedule": {"cron": "0 16 * * *", "timezone": "UTC"}, "active": True}]
    deployment = post(api, "deployments", name="doctors", flow_id=flow, schedules=schedules)["id"]
    post(api, "work_pools", name="doctors-pool", type="process")
    try:
        yield deployment
    finally:
        for path in (f"deployments/{deployment}", "work_pools/doctors-pool"):
            delete(api, path)


def post(api: str, path: str, **body):
    answer = asked_again(lambda: requests.post(f"{api}/{path}", json=body, timeout=60))
    answer.raise_for_status()
    return answer.json() if answer.content else None


def delete(api: str, path: str):
    answer = asked_again(lambda: requests.delete(f"{api}/{path}", timeout=60))
    if answer.status_code != 404:
        answer.raise_for_status()


def asked_again(ask: Callable[[], requests.Response]) -> requests.Response:
    """The answer of a server that says so (503) while its database is busy with another writer."""
    for patience in (1, 2, 4, 8, 16):
        answer = ask()
        if answer.status_code != 503:
            break
        time.sleep(patience)
    return answer


def named(exam: Examination) -> set[str]:
    return set(troubles(exam.findings))


def plan_runs(api: str, deployment: str) -> None:
    end = datetime.now(UTC) + timedelta(days=3)
    post(api, f"deployments/{deployment}/schedule", end_time=end.isoformat(), max_runs=2)


def give_worker(api: str) -> None:
    post(api, "work_pools/doctors-pool/workers/heartbeat", name="doctors-worker")


def asked(api: str) -> set[str]:
    exam = Examination()
    examine_server(exam, api, started=False)
    return named(exam)


def test_a_server_is_asked_for_schedule_and_worker(api, served_api):
    assert "server: worker" in asked(api)
    give_worker(api)
    plan_runs(api, served_api)
    assert asked(api) == set()


def test_a_server_without_deployments_has_no_schedule(api):
    assert {"server: schedule", "server: worker"} <= asked(api)


def run(survey: Survey, archive: str, store: Path, *more: str) -> int:
    stars = survey.stars["reference"]
    return main(["doctor", NIGHT, str(store), "--archive", archive, "--reference", stars, "--camera", "tiny", *more])


def test_all_is_ok_against_the_look_alike(survey, served, served_api, api, tmp_path, capsys):
    give_worker(api)
    plan_runs(api, served_api)
    report, store = tmp_path / "report.json", tmp_path / "new" / "store"
    code = run(survey, served.url, store, "--json", str(report))
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "\033" not in shown  # colours are for terminals
    assert not store.parent.exists()  # what was made for the scratch folder is gone
    found = json.loads(report.read_text())
    assert found["counts"]["DIFFERS"] == found["counts"]["FAIL"] == 0
    assert found["counts"]["OK"] > 100
    text = report.read_text()
    assert str(Path.home()) not in text.replace(str(tmp_path), "")
    assert f'"{getpass.getuser()}"' not in text


def test_what_differs_is_named_in_table_report_and_exit_code(survey, api, served_api, tmp_path, capsys):
    give_worker(api)
    plan_runs(api, served_api)
    tree = shutil.copytree(survey.tree, tmp_path / "tree", copy_function=lambda a, b: Path(b).hardlink_to(a))
    (info,) = (tree / "reference").rglob("partition_info.csv")
    info.unlink()
    info.write_text("Norder,pixel\n7,3\n")
    store = tmp_path / "store"
    (store / "bias").mkdir(parents=True)
    code = main(["doctor", NIGHT, str(store), "--archive", str(tree), "--reference", str(tree / "reference"),
                 "--camera", "tiny"])  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 1
    assert shown.rstrip().splitlines()[-1].strip() == "reference stars: catalogue"
    assert "needs catalogue (which is FAIL)" in shown
    assert [path.name for path in store.iterdir()] == ["bias"]  # what was there stays, nothing else is


def test_an_archive_that_does_not_answer_is_named_and_the_rest_is_looked_at(survey, api, served_api, tmp_path, capsys):
    give_worker(api)
    plan_runs(api, served_api)
    assert run(survey, "http://127.0.0.1:9", tmp_path / "store") == 1
    shown = capsys.readouterr().out
    assert shown.rstrip().splitlines()[-1].strip() == "raw table: fetch"
    assert "OK      conditional write" in shown


def test_a_folder_that_is_not_there_is_a_typing_error(survey, tmp_path, capsys):
    assert run(survey, str(tmp_path / "nowhere"), tmp_path / "store") == 2
    assert "nowhere does not exist; expected https://host, or a folder" in capsys.readouterr().err
