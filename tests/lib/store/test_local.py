"""A store on a disk, and on a disk where processes die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lib.store.contract import StoreContract, built, content_of
from tests.lib.store.places import PROVENANCE, Disk, Maker, bias, manifest_of, raw
from ztf_in2p3.errors import TransientError
from ztf_in2p3.products import Kind
from ztf_in2p3.store import Store, open_store

spawn = multiprocessing.get_context("spawn")


class TestLocalFiles(StoreContract):
    @pytest.fixture
    def place(self, tmp_path):
        return Disk(tmp_path / "a store")


@pytest.fixture
def store(tmp_path) -> Store:
    return open_store(str(tmp_path / "store"), PROVENANCE)


def test_a_path_and_a_file_url_are_one_place(tmp_path):
    place = tmp_path / "with a space"
    built(open_store(str(place), PROVENANCE), maker=Maker())
    assert built(open_store(place.as_uri(), PROVENANCE)).found


NO_PLACES = [
    "", "  ", "http://host/store", "s3:///prefix", "file://host/store", "s3://b/p?x=1", "s3:/bucket/x", "s3:bucket",
    "file:/data/ztf", "irods:/zone/x", "s3://bucket/a#b", "/data/a#b", "file:///data/x?y", "~nobody-of-that-name/ztf",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_PLACES)
def test_what_is_no_place_is_told_so(url):
    with pytest.raises(ValueError, match="is no place for a store"):
        open_store(url, PROVENANCE)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    built(open_store("~/ztf", PROVENANCE), maker=Maker())
    assert built(open_store(str(tmp_path / "ztf"), PROVENANCE)).found


def test_a_colon_in_the_name_of_a_folder_makes_no_url_of_it(tmp_path):
    place = tmp_path / "night:2" / "x"
    assert open_store(str(place), PROVENANCE).files.uri("a") == f"{place.as_uri()}/a"


def test_what_is_lacking_of_a_place_is_said_and_nothing_is_created(tmp_path):
    file, place = tmp_path / "file", tmp_path / "not here"
    file.write_text("")
    assert "is a file" in open_store(str(file), PROVENANCE).files.absence()
    assert "is a file" in open_store(str(file), PROVENANCE).files.obstacle()
    store = open_store(str(place), PROVENANCE)
    assert str(place) in store.files.absence()
    assert store.files.obstacle() == ""
    assert store.list(Kind.RAW) == []
    assert not place.exists()
    built(store, maker=Maker())
    assert store.files.absence() == ""


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="no place") as told:
        open_store("s3://key:secret@bucket/prefix", PROVENANCE)
    assert "secret" not in str(told.value)


def test_a_file_of_an_archive_is_linked_not_copied(store, tmp_path):
    archived = tmp_path / "archived.fits.fz"
    archived.write_bytes(b"raw" * 1000)

    def link(spool: Path) -> None:
        os.link(archived, spool)

    for n in range(3):  # made anew in place of another link to the same file, which a rename leaves alone
        made = built(store, maker=link, inputs=[raw(n)])
        assert content_of(store, made) == archived.read_bytes()
    assert (tmp_path / "store" / bias().path).samefile(archived)
    assert archived.stat().st_nlink == 2  # no link is left over in the spool
    archived.write_bytes(b"x")  # written over in the archive
    assert store.find(bias()) is None


def test_a_store_that_was_copied_is_looked_at_once(store, tmp_path, monkeypatch):
    maker = Maker()
    built(store, maker=maker)
    file = tmp_path / "store" / bias().path
    os.utime(file, ns=(0, 10**18))
    stamp = store.manifest(bias()).stamp

    assert built(store).found
    assert store.manifest(bias()).stamp == store.files.stat(bias().path).stamp != stamp
    monkeypatch.setattr("ztf_in2p3.store.records.sha256_of", lambda file: pytest.fail("hashed again"))
    assert built(store).found


def test_a_reader_keeps_the_file_it_opened(store):
    old = built(store, maker=Maker(b"old"), inputs=[raw(1)])
    with store.open(old) as file:
        built(store, maker=Maker(b"new"), inputs=[raw(2)])
        assert file.read_bytes() == b"old"
    assert content_of(store, bias()) == b"new"


def test_a_store_that_cannot_be_written_can_be_read(store, monkeypatch):
    built(store, maker=Maker(b"read me"))
    os.utime(store.files.root / bias().path, ns=(0, 0))

    def refused(*_, **__):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    assert [one.ref for one in store.list(Kind.BIAS)] == [bias()]
    assert content_of(store, store.require(bias())) == b"read me"


def test_a_stale_handle_of_a_network_file_system_can_be_tried_again(store, monkeypatch):
    built(store, maker=Maker())

    def stale(self):
        raise OSError(116, "Stale file handle", str(self))

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(TransientError, match="Stale"):
        store.find(bias())


# --- processes


def build_in_a_process(store: Store, content: bytes, meeting) -> None:
    def maker(spool: Path) -> None:
        spool.write_bytes(content)
        meeting.wait(timeout=60)

    built(store, maker=maker)


def test_two_processes_making_one_product_end_with_one_good_product(store, tmp_path):
    meeting = spawn.Barrier(2)
    writers = [spawn.Process(target=build_in_a_process, args=(store, b"the same", meeting)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert content_of(store, built(store)) == b"the same"
    assert Disk(tmp_path / "store").paths() == sorted([bias().path, manifest_of(bias())])


class Dying:
    """Files whose process is killed at a step of a publication."""

    def __init__(self, files, step):
        self.files, self.step = files, step

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.files, name)

    def remove(self, path):
        self._die_at("remove")
        self.files.remove(path)

    def publish(self, file, path, sha256):
        self._die_at("publish")
        return self.files.publish(file, path, sha256)

    def write(self, path, content):
        self._die_at("write")
        self.files.write(path, content)

    def _die_at(self, step):
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def die(root: str, step: str) -> None:
    store = open_store(root, PROVENANCE)

    def maker(spool: Path) -> None:
        spool.write_bytes(b"new" * 10_000)
        if step == "make":
            os.kill(os.getpid(), signal.SIGKILL)

    built(replace(store, files=Dying(store.files, step)), maker=maker, inputs=[raw(2)])


@pytest.mark.parametrize("step", ["make", "remove", "publish", "write"])
def test_a_killed_writer_leaves_the_old_product_or_none_and_a_rerun_completes(store, tmp_path, step):
    built(store, maker=Maker(b"old"), inputs=[raw(1)])
    failures, done = [], threading.Event()

    def poll():
        while not done.is_set():
            there = store.find(bias())
            if there is not None and content_of(store, there) != b"old":
                failures.append(there)

    reader = threading.Thread(target=poll)
    reader.start()
    victim = spawn.Process(target=die, args=(str(tmp_path / "store"), step))
    victim.start()
    victim.join()
    done.set()
    reader.join()

    assert victim.exitcode == -signal.SIGKILL
    assert failures == []
    spooled = [path for path in Disk(tmp_path / "store").paths() if path.startswith(".spool")]
    assert len(spooled) == (step != "write")  # what the killed process had not put in place
    there = store.find(bias())
    assert (there is not None) == (step in ("make", "remove"))
    assert len(store.list(Kind.BIAS)) == (there is not None)

    made = built(store, maker=Maker(b"new" * 10_000), inputs=[raw(2)])
    assert content_of(store, made) == b"new" * 10_000
    assert store.verify() == []
    assert not any(path.startswith(".spool") for path in Disk(tmp_path / "store").paths())


def test_a_folder_in_use_is_never_cleared(store):
    def maker(spool: Path) -> None:
        built(open_store(str(store.files.root), PROVENANCE), bias(4), Maker())  # clears, were there anything to clear
        spool.write_bytes(b"still here")

    assert content_of(store, built(store, maker=maker)) == b"still here"
