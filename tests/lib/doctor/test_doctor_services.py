"""Store, server and cluster: what each must be able to do, altered in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.bucket import client_of, know_only, s3_service
from tests.lib.doctor.altered import named, skipped
from ztf_in2p3.doctor import Examination
from ztf_in2p3.doctor.services import CHECKS, CLUSTER, ClusterState, ServerState
from ztf_in2p3.doctor.store import CHECKS as STORE
from ztf_in2p3.store.backends.local import LocalFiles
from ztf_in2p3.store.backends.s3 import S3Files


def of(group: str, checks, subject) -> Examination:
    exam = Examination()
    exam.run_all(group, checks, subject)
    return exam


# --- store


def test_a_folder_can_do_all_and_keeps_nothing(tmp_path: Path):
    exam = of("store", STORE, LocalFiles(tmp_path / "scratch", "here"))
    assert {line.status for line in exam.findings} == {"OK"}
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_a_place_where_a_file_stands_in_the_way_cannot_be_written(tmp_path: Path):
    (tmp_path / "scratch").write_text("a file, not a folder")
    exam = of("store", STORE, LocalFiles(tmp_path / "scratch", "here"))
    assert named(exam) == {"store: write"}
    assert skipped(exam) == {f"store: {check.name}" for check in STORE[1:]}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch):
    with s3_service() as endpoint:
        know_only(endpoint, monkeypatch)
        client = client_of(endpoint)
        client.create_bucket(Bucket="night")
        yield client


def test_a_bucket_can_do_all_and_keeps_nothing(bucket):
    exam = of("store", STORE, S3Files("night", "a/.doctor"))
    assert {line.status for line in exam.findings} == {"OK"}
    # Under the scratch prefix: one process of tests has one moto, and other tests' buckets may bear the same name.
    assert bucket.list_objects_v2(Bucket="night", Prefix="a/").get("Contents", []) == []


def test_a_bucket_that_does_not_exist_is_named(bucket):
    exam = of("store", STORE, S3Files("knight", "a"))
    assert named(exam) == {"store: write"}
    (finding,) = [line for line in exam.findings if line.check == "write"]
    assert "bucket" in finding.found
    assert finding.remedy


class Unconditional(LocalFiles):
    """A place that overwrites, whatever it is asked."""

    def create(self, path: str, content: bytes) -> bool:
        self.write(path, content)
        return True


class Unserved(LocalFiles):
    """A place that knows no conditional writes, as some S3 servers."""

    def create(self, path: str, content: bytes) -> bool:
        raise OSError("A header you provided implies functionality that is not implemented")


class Forgetful(LocalFiles):
    """A place that lists late."""

    def list(self, folder: str, prefix: str = ""):
        return {}


class Garbling(LocalFiles):
    """A place that does not keep what it is given."""

    def read(self, path: str):
        content = super().read(path)
        return content if content is None or "once" in path else content[:-1]


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Unconditional, "conditional write"),
        (Unserved, "conditional write"),
        (Forgetful, "list"),
        (Garbling, "read back"),
    ],
)
def test_what_a_place_cannot_do_is_named(tmp_path: Path, kind, check):
    exam = of("store", STORE, kind(tmp_path, "here"))
    assert named(exam) == {f"store: {check}"}


# --- server

SERVED = ServerState("http://127.0.0.1:4200/api", True, "3.8.8", "3.8.8", ("nightly/ztf",), 3, {"worker": 4.0})


@pytest.mark.parametrize(
    ("altered", "names"),
    [
        ({}, set()),
        ({"healthy": False}, {"server: answer"}),
        ({"version": "3.4.1"}, {"server: version"}),
        ({"schedules": (), "planned": 0}, {"server: schedule"}),
        ({"planned": 0}, {"server: scheduler"}),
        ({"workers": {}}, {"server: worker"}),
        ({"workers": {"worker": 3600.0}}, {"server: worker"}),
    ],
)
def test_what_a_server_lacks_is_named(altered, names):
    exam = of("server", CHECKS, replace(SERVED, **altered))
    assert named(exam) == names
    assert all(line.remedy for line in exam.findings if f"{line.group}: {line.check}" in names)


# --- cluster


@dataclass(frozen=True)
class Cluster:
    versions: dict[str, str]
    sees: dict[str, bool]

    @property
    def state(self) -> ClusterState:
        return ClusterState("tcp://scheduler:8786", self.versions, "0.2.0", self.sees)


@pytest.mark.parametrize(
    ("versions", "sees", "names"),
    [
        ({"a": "0.2.0", "b": "0.2.0"}, {"a": True, "b": True}, set()),
        ({}, {}, {"cluster: workers"}),
        ({"a": "0.2.0", "b": "0.1.0"}, {"a": True, "b": True}, {"cluster: versions"}),
        ({"a": "0.2.0", "b": "0.2.0"}, {"a": True, "b": False}, {"cluster: store"}),
    ],
)
def test_what_a_cluster_lacks_is_named(versions, sees, names):
    assert named(of("cluster", CLUSTER, Cluster(versions, sees).state)) == names
