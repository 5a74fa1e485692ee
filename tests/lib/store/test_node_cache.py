"""A cache on a machine's disk: entries are whole or absent, bounded, and shared by any number of processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from ztf_in2p3.store.node_cache import DAY, NodeCache


def filling(content: bytes, calls: list[str] | None = None):
    def fill(folder: Path) -> None:
        if calls is not None:
            calls.append(folder.name)
        (folder / "content").write_bytes(content)

    return fill


def read(cache: NodeCache, name: str, content: bytes, calls: list[str] | None = None) -> bytes:
    with cache.entry(name, filling(content, calls)) as folder:
        return (folder / "content").read_bytes()


def names(cache: NodeCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir()}


def test_an_entry_is_filled_once(tmp_path):
    cache, calls = NodeCache(tmp_path / "cache"), []
    assert [read(cache, "a", b"bias", calls) for _ in range(3)] == [b"bias"] * 3
    assert len(calls) == 1
    assert names(cache) == {"a"}


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def fill(folder: Path) -> None:
        (folder / "content").write_bytes(b"half")
        raise OSError("disk full")

    cache = NodeCache(tmp_path / "cache")
    with pytest.raises(OSError, match="disk full"), cache.entry("a", fill):
        raise AssertionError
    assert names(cache) == set()


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = NodeCache(tmp_path / "cache", most_bytes=250)
    for age, name in ((3, "a"), (2, "b")):
        read(cache, name, bytes(100))
        then = time.time() - age * 1000
        os.utime(cache.folder / name / "complete", (then, then))
    read(cache, "a", bytes(100))  # used again
    assert read(cache, "c", bytes(100)) == bytes(100)
    assert names(cache) == {"a", "c"}


def test_what_is_too_large_is_used_and_not_kept(tmp_path):
    cache = NodeCache(tmp_path / "cache", most_bytes=50)
    assert read(cache, "a", bytes(100)) == bytes(100)
    assert names(cache) == set()


def test_what_nobody_used_for_long_goes(tmp_path):
    cache = NodeCache(tmp_path / "cache", most_days=7)
    read(cache, "old", b"bias")
    abandoned = cache.folder / "dead.part"
    abandoned.mkdir()
    for path, age in ((cache.folder / "old" / "complete", 8 * DAY), (abandoned, DAY)):
        os.utime(path, (time.time() - age,) * 2)
    read(cache, "new", b"flat")
    assert names(cache) == {"new"}


def test_an_open_file_outlives_an_entry_that_is_discarded(tmp_path):
    cache = NodeCache(tmp_path / "cache")
    with cache.entry("a", filling(b"bias")) as folder, (folder / "content").open("rb") as file:
        cache.discard("a")
        assert file.read() == b"bias"
    assert names(cache) == set()


def _read_often(folder: Path) -> int:
    cache = NodeCache(folder, most_bytes=3500)
    wrong = 0
    for k in range(200):
        name = f"{k * 7 % 5}"  # more than there is room for: entries come and go
        wrong += read(cache, name, name.encode() * 1000) != name.encode() * 1000
    return wrong


def test_processes_that_fill_and_remove_at_once_read_what_was_written(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_read_often, [tmp_path / "cache"] * 3) == [0, 0, 0]
    assert not list((tmp_path / "cache").glob("*.part"))


def test_an_entry_in_use_stays(tmp_path):
    cache = NodeCache(tmp_path / "cache", most_bytes=150)
    with cache.entry("a", filling(bytes(100))) as folder:
        assert read(cache, "b", bytes(100)) == bytes(100)
        assert (folder / "content").read_bytes() == bytes(100)
    assert names(cache) == {"a"}
    read(cache, "b", bytes(100))
    assert names(cache) == {"b"}
