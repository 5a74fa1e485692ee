"""Processes that are killed in the middle of their work leave nothing behind that could be taken for a product."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from tests.flows.night import CCDS, NIGHT, Reduced, Survey, digests, opened, polling, products
from ztf_in2p3.products import Kind

ROOT = Path(__file__).parents[2]
MADE = (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.FOCAL_PLANE, Kind.CATALOGUE)
MASTERS = ("master_bias", "led_flat", "combine_leds", "focal_plane")
"""What makes the first four."""


@pytest.fixture
def downloaded(reduced: Reduced, tmp_path: Path) -> Path:
    """A store with what came from outside, and nothing made of it."""
    for kind in (Kind.RAW, Kind.HEADER, Kind.MASK, Kind.REFERENCE):
        shutil.copytree(reduced.store / kind, tmp_path / "store" / kind)
    return tmp_path / "store"


@contextmanager
def reader_of(store: Path) -> Iterator[list[int]]:
    """Another process that reads all the time; how much it read, afterwards."""
    stop, n_read = store.parent / "stop", []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.flows.reader", str(store), str(stop)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as reader:  # fmt: skip
        try:
            yield n_read
        finally:
            stop.touch()
            told, complaint = reader.communicate(timeout=120)
    assert reader.returncode == 0, complaint
    n_read.append(int(told))


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that compute for it (not the one that keeps track of their semaphores)."""
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


def at_work(store: Path) -> bool:
    """Whether somebody is making a product of the raw files just now: they are linked while they are read."""
    return any((store / ".spool").glob("*/*.fits.fz"))


def kill_a_worker_at_work(store: Path, killed: list[int]) -> None:
    for _ in polling(120):
        working = workers_of(psutil.Process())
        if working and at_work(store):
            working[0].send_signal(signal.SIGKILL)
            killed.append(working[0].pid)
            return


def test_a_worker_killed_at_work_costs_nothing_but_time(downloaded, survey, reduced):
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_at_work, args=(downloaded, killed), daemon=True)
    scope = survey.scope | {"workers": 2}
    with reader_of(downloaded) as n_read:
        killer.start()
        calibrated = calibrate(NIGHT, str(downloaded), **scope)
        killer.join()
        measured = catalogue(NIGHT, str(downloaded), **survey.scope)

    assert len(killed) == 1
    assert calibrated.set_aside == measured.set_aside == ()
    assert digests(downloaded, *MADE) == digests(reduced.store, *MADE)
    assert n_read[0] >= len(digests(downloaded, *MADE))
    assert opened(downloaded).verify() == []
    assert not at_work(downloaded)


def test_a_flow_killed_at_work_takes_its_workers_along_and_is_taken_up_where_it_stopped(
    downloaded: Path, survey: Survey, reduced: Reduced, calls
):
    scope = ["--camera", "tiny", "--ccds", *map(str, CCDS), "--filters", "zr", "--workers", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "flows", "calibrate", NIGHT, str(downloaded), *scope],
        cwd=ROOT, env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as flow:  # fmt: skip
        for _ in polling(120):
            # One master is there, another is being made.
            if list(downloaded.glob("bias/*/*/*/manifest.json")) and at_work(downloaded):
                break
        working = workers_of(psutil.Process(flow.pid))
        flow.kill()
        flow.wait()
        _, alive = psutil.wait_procs(working, timeout=30)

    assert working
    assert alive == []
    there = set(products(downloaded)) & set(digests(reduced.store, *MADE))
    there = {name for name in there if (downloaded / name / "manifest.json").exists()}
    assert 1 <= len(there) < 7
    n_bias = sum(name.startswith("bias/") for name in there)

    calibrate(NIGHT, str(downloaded), **survey.scope)
    made = calls.so_far()
    assert made.get("master_bias", 0) == len(CCDS) - n_bias
    assert sum(made.get(name, 0) for name in MASTERS) == 7 - len(there)
    masters = [kind for kind in MADE if kind is not Kind.CATALOGUE]
    assert digests(downloaded, *masters) == digests(reduced.store, *masters)
    assert opened(downloaded).verify() == []
