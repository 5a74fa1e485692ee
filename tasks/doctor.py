"""The first real night, checked step by step: the smallest real thing of each kind, and the machine it is done on."""

from __future__ import annotations

import contextlib
import json
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import requests
from packaging.requirements import Requirement

from tasks.runtime import settings
from ztf_in2p3.archive import Irsa, LocalTree
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.camera import Camera
from ztf_in2p3.doctor import Examination, Result, differs, failed, ok, services, store
from ztf_in2p3.doctor.night import NightExamination
from ztf_in2p3.doctor.report import Redaction, as_json
from ztf_in2p3.doctor.source import Source, TreeSource, WebSource
from ztf_in2p3.errors import Mistyped, PipelineError
from ztf_in2p3.periods import Period
from ztf_in2p3.store import Store
from ztf_in2p3.store.backends import Files
from ztf_in2p3.store.backends.local import LocalFiles

STORE, SERVER, CLUSTER, INSTALLATION = "store", "server", "cluster", "installation"
PACKAGE = "ztf-in2p3"
_TIMEOUT = 10.0
"""Seconds for an answer of the server, or of a cluster."""
_PATIENCE = (1.0, 2.0, 4.0)
"""Seconds before a busy server is asked again."""
_REPORTED = ("numpy", "astropy", "pyarrow", "numba", "sep", "prefect", "sqlalchemy", "fsspec", "s3fs", "distributed")


def examine_installation(exam: Examination) -> None:
    """Whether what is installed is what this package asks for."""
    exam.run(INSTALLATION, "requirements", _requirements)


def _requirements() -> Result:
    wrong, n = [], 0
    for text in requires(PACKAGE) or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": "app"}):
            continue
        n += 1
        installed = _version(requirement.name)
        if not requirement.specifier.contains(installed or "0", prereleases=True):
            wrong.append(f"{requirement.name} {installed or 'is missing'} ({requirement.specifier} is asked for)")
    expected = "versions as in pyproject.toml"
    if wrong:
        return differs(", ".join(wrong), expected, "install with the constraints: make setup")
    return ok(f"{n} requirements met", expected)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def examine_night(
    exam: Examination,
    night: Period,
    archive: str,
    reference: str,
    camera: Camera,
    *,
    ccdid: int | None = None,
    filter_: str | None = None,
) -> None:
    """One frame of each kind, from the archive to reference stars on a detrended image."""
    with tempfile.TemporaryDirectory(prefix="ztf_doctor_", dir=settings.scratch()) as folder:
        opened = exam.run(
            "archive",
            "address",
            lambda: ok(archive, value=_source(archive)),
            expected="https://host, or a folder in the archive's layout",
            remedy="name it with --archive",
        ).value
        if opened is not None:
            NightExamination(
                exam, opened, night, camera, lambda: ReferenceCatalogue.open(reference), Path(folder), ccdid, filter_
            ).run()


def _source(location: str) -> Source:
    opened, anonymous = settings.archive_at(location), settings.archive_at(location, anonymous=True)
    if isinstance(opened, LocalTree):
        return TreeSource(opened)
    if not isinstance(opened, Irsa) or not isinstance(anonymous, Irsa):
        raise Mistyped(f"{location} is neither a web archive nor a folder")
    return WebSource(opened, anonymous if settings.has_account(location) else None)


def examine_store(exam: Examination, url: str) -> None:
    """Write, list, read and remove in a scratch folder of the store; nothing else there is touched."""
    with _scratch_files(url) as files:
        exam.run_all(STORE, store.CHECKS, files)


@contextlib.contextmanager
def _scratch_files(url: str) -> Iterator[Files]:
    """A folder of its own in the store, removed at the end together with parents that were made for it."""
    opened: Store = settings.store_at(f"{url.rstrip('/')}/.doctor-{uuid.uuid4().hex[:12]}")
    files = opened.files
    root = files.root if isinstance(files, LocalFiles) else None
    absent = [] if root is None else [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        yield files
    finally:
        with contextlib.suppress(PipelineError, OSError):  # what cannot be removed was reported by the check of that
            store.clear(files)
        for folder in absent:
            with contextlib.suppress(OSError):
                for inner in ("files", ".spool"):
                    if folder == root and (folder / inner).is_dir():
                        (folder / inner).rmdir()
                folder.rmdir()


# --- the server


def examine_server(exam: Examination, api: str, *, started: bool) -> None:
    """Ask a server what it is and has.

    Parameters
    ----------
    started
        It was started for this examination, and ends with it: of schedules and workers it cannot tell.
    """
    state = exam.run(
        SERVER,
        "reach",
        lambda: ok(f"{api}{', started for this' if started else ''}", value=_server_state(api)),
        expected="answers of a Prefect server",
        remedy="start `ztf serve`, or mend PREFECT_API_URL",
    ).value
    exam.run_all(SERVER, services.CHECKS[:2], state, needs=[(SERVER, "reach")])
    if started:
        exam.skip_all(SERVER, services.SERVED, "no server was running: start `ztf serve`, then ask again")
    else:
        exam.run_all(SERVER, services.SERVED, state, needs=[(SERVER, "reach")])


def _server_state(api: str) -> services.ServerState:
    session = requests.Session()
    session.trust_env = False  # loopback is never asked through a proxy
    session.headers.update(settings.prefect_authorisation())

    def ask(method: str, path: str, **body: Any) -> Any:
        try:
            for patience in _PATIENCE:  # a server says 503 while its database is busy with another writer
                answer = session.request(method, f"{api}/{path}", json=body or None, timeout=_TIMEOUT)
                if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
                time.sleep(patience)
            answer.raise_for_status()
            return answer.json()
        except requests.RequestException as error:
            raise PipelineError(f"{api}/{path}: {error}") from None

    healthy = ask("GET", "health") is True
    deployments = ask("POST", "deployments/filter", limit=200)
    scheduled = {entry["id"] for entry in deployments if any(s["active"] for s in entry.get("schedules", ()))}
    names = {flow["id"]: flow["name"] for flow in ask("POST", "flows/filter", limit=200)} if scheduled else {}
    schedules = tuple(f"{names.get(d['flow_id'], '?')}/{d['name']}" for d in deployments if d["id"] in scheduled)
    now = datetime.now(UTC)
    planned = ask(
        "POST",
        "flow_runs/count",
        flow_runs={
            "deployment_id": {"any_": list(scheduled)},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"after_": now.isoformat()},
        },
    )
    workers: dict[str, float] = {}
    for pool in ask("POST", "work_pools/filter", limit=200):
        for worker in ask("POST", f"work_pools/{pool['name']}/workers/filter", limit=200):
            beat = datetime.fromisoformat(worker["last_heartbeat_time"]) if worker["last_heartbeat_time"] else None
            if beat is not None:
                workers[worker["name"]] = (now - beat).total_seconds()
    return services.ServerState(
        api, healthy, str(ask("GET", "admin/version")), version("prefect"), schedules, int(planned), workers
    )


# --- a cluster


def examine_cluster(exam: Examination, address: str | None, url: str) -> None:
    """Ask the workers of a Dask cluster which version they have, and whether they see the store."""
    checks = services.CLUSTER
    if address is None:
        exam.skip_all(CLUSTER, checks[:1], "no cluster is named (--cluster, ZTF_CLUSTER)")
        return
    state = exam.run(
        CLUSTER,
        "reach",
        lambda: ok(address, value=_cluster_state(address, url)),
        expected="a Dask scheduler",
        remedy="see that the scheduler runs and that this machine may reach it; pip install 'ztf-in2p3[dask]'",
    ).value
    exam.run_all(CLUSTER, checks, state, needs=[(CLUSTER, "reach")])


def _cluster_state(address: str, url: str) -> services.ClusterState:
    try:
        from distributed import Client  # an extra of the installation
    except ImportError as error:
        raise PipelineError(f"the extra `dask` of this package is not installed: {error}") from error
    with _scratch_files(url) as files, Client(address, timeout=_TIMEOUT, set_as_default=False) as client:
        path = store.place_for_all(files)
        versions = client.run(own_version)
        sees = client.run(sees_file, files, path)
    return services.ClusterState(address, versions, own_version(), sees)


def own_version() -> str:
    """Version of this package, where it is asked."""
    return version(PACKAGE)


def sees_file(files: Files, path: str) -> bool:
    """Whether a file is there, seen from where it is asked."""
    return files.stat(path) is not None


# --- the report


def write_report(exam: Examination, path: Path, arguments: Mapping[str, str]) -> None:
    """Write what can be sent to others: findings and versions, without passwords, accounts and homes."""
    about = {
        "written": f"{settings.now():%Y-%m-%d %H:%M} UTC",
        "asked": dict(arguments),
        "package": own_version(),
        "git": settings.provenance().git,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": {name: _version(name) for name in _REPORTED},
        "cpu_seconds": round(time.process_time(), 1),
    }
    report = as_json(exam, about, redaction())
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def redaction() -> Redaction:
    """Passwords, accounts and home folders that a report must not hold."""
    secrets, users, homes = settings.private_words()
    return Redaction(secrets, users, homes)


def note_no_server(exam: Examination, error: PipelineError) -> None:
    """Write down that no server is there.  What to do stands after the semicolon, where there is no log to look at."""
    text = str(error)
    finding, _, remedy = (text, "", "see server.log in PREFECT_HOME") if "\n" in text else text.partition("; ")
    exam.run(SERVER, "reach", lambda: failed(finding, "a Prefect server", remedy))
    exam.skip_all(SERVER, services.CHECKS, "needs reach (which is FAIL)")
