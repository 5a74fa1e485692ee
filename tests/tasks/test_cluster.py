"""Work done by a Dask cluster comes home, errors and all, and survives the death of a worker."""

import os
from collections.abc import Iterator

import dask
import pytest
from distributed import Future, LocalCluster

from tasks.runtime.cluster import exposure
from tasks.runtime.engine import compute, running, scheduler
from tasks.ubercal import place
from tests.tasks.test_engine import die, die_once, refuse, where
from ztf_in2p3.errors import BadData, TransientError


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made,
    ):
        yield made


def test_it_is_done_there_and_its_errors_come_home(cluster):
    with running(2, cluster.scheduler_address) as engine:
        assert scheduler() == cluster.scheduler_address
        assert compute(where) != os.getpid()
        with pytest.raises(BadData, match="no"):
            compute(refuse)
        assert engine.peak_bytes > 1e7
    assert compute(where) == os.getpid()
    with running(0, cluster.scheduler_address):  # none but this process
        assert (compute(where), scheduler()) == (os.getpid(), None)


def test_what_a_dead_worker_had_under_way_another_does_again(cluster, tmp_path):
    with running(2, cluster.scheduler_address):
        before = compute(where)
        assert compute(die_once, tmp_path / "mark") not in (before, os.getpid())
        with pytest.raises(TransientError, match=r"lost tests\.tasks\.test_engine:die"):
            compute(die)
        assert compute(where) != os.getpid()


def test_an_address_where_nobody_answers_is_told():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ValueError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1"),
        running(2, "tcp://127.0.0.1:1"),
    ):
        pass


def test_a_fit_that_finds_its_scheduler_gone_is_tried_again(tmp_path):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(TransientError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1"),
        place(tmp_path, "tcp://127.0.0.1:1"),
    ):
        pass


def test_a_scheduler_that_is_gone_is_a_fault_that_a_new_one_cures():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as made,
        running(2, made.scheduler_address),
    ):
        assert compute(where) == os.getpid()  # its worker is a thread here
        made.close()
        for _ in range(2):  # while it is looked for, and after
            with pytest.raises(TransientError, match=r"the cluster lost|is gone"):
                compute(where)


def test_work_that_a_closing_client_takes_is_not_waited_for(cluster, monkeypatch):
    """Work given between the last look for the scheduler and the end of the client goes nowhere, without a word."""
    with running(2, cluster.scheduler_address) as engine:
        client = engine._client

        def take(*_, **__):
            client.status = "closing"
            return Future("sent to nobody", client)

        monkeypatch.setattr(client, "submit", take)
        monkeypatch.setattr("tasks.runtime.cluster.LOOK_AGAIN", 0.1)
        with pytest.raises(TransientError, match="is gone"):
            compute(where)
        client.status = "running"  # so that it does close


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://127.0.0.1:8786", False),
        ("tcp://10.158.1.2:8786", False),
        ("tcp://192.168.0.7:8786", False),
        ("tcp://134.158.69.10:8786", True),
        ("tls://134.158.69.10:8786", False),
        ("tcp://no-such-host.invalid:8786", False),
    ],
)
def test_a_scheduler_that_strangers_reach_is_warned_of(address, is_open):
    warning = exposure(address)
    assert bool(warning) is is_open
    assert not is_open or address in warning
