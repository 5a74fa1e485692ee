"""A store in an S3 bucket: moto's server on the loopback."""

from __future__ import annotations

import itertools
import socket

import pytest

from tests.bucket import client_of, know_only, s3_service
from tests.lib.store.contract import StoreContract, built, content_of
from tests.lib.store.places import PROVENANCE, Bucket, Maker, bias, raw
from ztf_in2p3.errors import TransientError
from ztf_in2p3.store import Store, open_store
from ztf_in2p3.store.backends import s3

_numbers = itertools.count()


@pytest.fixture(scope="module")
def endpoint():
    with s3_service() as address:
        yield address


@pytest.fixture(scope="module")
def client(endpoint):
    return client_of(endpoint)


@pytest.fixture
def credentials(monkeypatch, endpoint):
    know_only(endpoint, monkeypatch)


@pytest.fixture
def place(credentials, client):
    bucket = Bucket(client, f"bucket-{next(_numbers)}")
    client.create_bucket(Bucket=bucket.name)
    return bucket


class TestS3Files(StoreContract):
    @pytest.fixture
    def place(self, place):
        return place


@pytest.fixture
def store(place) -> Store:
    return open_store(place.url, PROVENANCE)


def test_a_large_file_goes_in_parts_and_comes_back_whole(store, monkeypatch):
    parts = []
    call = s3.s3fs.S3FileSystem._call_s3

    async def watched(self, method, *args, **kwargs):
        parts.append(method)
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3.s3fs.S3FileSystem, "_call_s3", watched)
    monkeypatch.setattr(s3.s3fs.core, "calculate_chunksize", lambda size, chunksize: 5 * 2**20)  # not 50 MiB
    content = bytes(range(256)) * (12 * 2**20 // 256)
    made = built(store, maker=Maker(content))
    assert parts.count("upload_part") > 1
    assert store.manifest(bias()).stamp != ""
    assert built(store).found
    with store.open(made) as file:
        assert file.stat().st_size == len(content)


def test_an_object_that_another_writer_put_there_is_not_taken_for_ours(place, tmp_path, monkeypatch):
    ours, theirs = s3.S3Files(place.name, "a/store"), s3.S3Files(place.name, "a/store")
    (tmp_path / "ours").write_bytes(b"ours")
    (tmp_path / "theirs").write_bytes(b"them")
    look = ours._head

    def look_late(path):
        theirs.publish(tmp_path / "theirs", path, "digest of theirs")
        return look(path)

    monkeypatch.setattr(ours, "_head", look_late)
    assert ours.publish(tmp_path / "ours", "bias/x", "digest of ours").stamp == ""
    assert place.read("bias/x") == b"them"


def test_a_bucket_without_prefix_is_a_store(place):
    store = open_store(f"s3://{place.name}", PROVENANCE)
    built(store, maker=Maker())
    assert [one.ref for one in store.list(bias().kind)] == [bias()]
    assert store.uri(bias()) == f"s3://{place.name}/{bias().path}"


def test_another_process_is_seen_at_once(store, place):
    # s3fs remembers listings unless told not to.
    other = open_store(place.url, PROVENANCE)
    assert store.list(bias().kind) == other.list(bias().kind) == []
    for n in range(3):
        made = built(store, maker=Maker(bytes([n])), inputs=[raw(n)])
        assert other.list(bias().kind) == [made]
        assert content_of(other, bias()) == bytes([n])
    store.remove(bias())
    assert other.list(bias().kind) == []
    assert other.find(bias()) is None


def test_a_server_that_does_not_answer_may_answer_later(place, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(s3.s3fs.S3FileSystem, "retries", 1)
        store = open_store(place.url, PROVENANCE)
        for ask in (
            store.find,
            lambda ref: store.list(ref.kind),
            store.verify,
            lambda ref: built(store, maker=Maker()),
        ):
            with pytest.raises(TransientError, match="no answer"):
                ask(bias())


def test_a_server_that_is_slow_may_be_faster_later(place, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(s3.s3fs.S3FileSystem, "retries", 1)
        files = s3.S3Files(place.name, "", {"read_timeout": 0.2, "retries": {"total_max_attempts": 1}})
        with pytest.raises(TransientError, match="no answer"):
            files.stat("x")


def test_missing_credentials_are_told(place, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PermissionError, match="no credentials found"):
        open_store(place.url, PROVENANCE).find(bias())
