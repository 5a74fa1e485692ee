"""Partitions on the workers of a cluster give the fit of one process."""

import os
import signal
import time
from contextlib import nullcontext

import numpy as np
import pytest
from distributed import Client, Future, LocalCluster

from tests.lib.fit.conftest import RECIPE
from tests.lib.fit.test_streaming import assert_same, written
from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import TransientError
from ztf_in2p3.fit import normal
from ztf_in2p3.fit.checkpoint import Checkpoint
from ztf_in2p3.fit.sources import ParquetSource, TableSource
from ztf_in2p3.fit.workers import _answer, distributed, shares
from ztf_in2p3.recipes import UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.starflat.model import fit_starflat, starflat_model
from ztf_in2p3.ubercal.model import fit_ubercal


def say(what):
    """After a few looks."""
    time.sleep(0.3)
    if isinstance(what, Exception):
        raise what
    return what


@pytest.fixture(scope="module")
def client():
    """Two workers; in threads of this process, since it is not Dask that is tested."""
    with (
        LocalCluster(n_workers=2, processes=False, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_a_starflat_on_workers_is_the_one_in_memory(sequence, reference, client, tmp_path):
    source = ParquetSource(written(sequence, tmp_path))
    assert_same(fit_starflat(source, TINY, RECIPE, build=distributed(client, tmp_path / "spool")).fit, reference)


def test_a_survey_on_workers_is_the_one_in_memory_and_goes_on_after_an_interruption(client, tmp_path):
    table, _ = star_measurements(TINY, survey(2, 6, TINY, seed=5), 2000, Effects(map=0, colour_map=0), seed=5)
    recipe = UbercalRecipe(zero_points="hierarchical", airmass=True)
    source = ParquetSource(written(table, tmp_path))

    def stop(one):
        if one.round == 4:
            raise KeyboardInterrupt

    def kept():
        return Checkpoint(tmp_path / "state", "this fit")

    with pytest.raises(KeyboardInterrupt):
        fit_ubercal(source, TINY, recipe, build=distributed(client), progress=stop, checkpoint=kept())
    told = []
    there = fit_ubercal(source, TINY, recipe, build=distributed(client), progress=told.append, checkpoint=kept())
    here = fit_ubercal(table, TINY, recipe)

    assert told[0].round == 4
    assert_same(there.fit, here.fit)
    np.testing.assert_allclose(there.zero_points.sigma, here.zero_points.sigma, rtol=1e-3)
    np.testing.assert_array_equal(there.repeatability.count, here.repeatability.count)


def test_a_killed_worker_is_a_passing_fault_that_no_one_waits_for(tmp_path):
    table, _ = star_measurements(TINY, survey(2, 6, TINY, seed=5), 2000, Effects(map=0, colour_map=0), seed=5)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def kill_one(one):
            if one.round == 2:
                os.kill(cluster.workers[0].pid, signal.SIGKILL)

        source = ParquetSource(written(table, tmp_path))
        with pytest.raises(TransientError, match="lost a part of the measurements"):
            fit_ubercal(
                source,
                TINY,
                UbercalRecipe(zero_points="quadrant", airmass=True),
                build=distributed(client),
                progress=kill_one,
            )


def test_a_cluster_without_workers_is_told(sequence, tmp_path):
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
        pytest.raises(TransientError, match="no workers"),
    ):
        fit_starflat(ParquetSource(written(sequence, tmp_path)), TINY, RECIPE, build=distributed(client))


def test_a_client_that_is_closed_is_told(sequence, tmp_path):
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        client.close()
        with pytest.raises(TransientError, match="no workers"):
            fit_starflat(ParquetSource(written(sequence, tmp_path)), TINY, RECIPE, build=distributed(client))


@pytest.mark.parametrize("found", ["the answer", TimeoutError("of the work")])
def test_an_answer_that_comes_late_is_awaited_and_one_that_never_comes_is_not(found, monkeypatch):
    monkeypatch.setattr("ztf_in2p3.fit.workers.LOOK_AGAIN", 0.05)
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        late = client.submit(say, found, pure=False)
        with pytest.raises(TimeoutError, match="of the work") if isinstance(found, Exception) else nullcontext():
            assert _answer(late, lambda: True) == found
        with pytest.raises(RuntimeError, match="was lost"):
            _answer(Future("sent to nobody", client), lambda: False)


def test_only_parameters_travel(sequence, client, tmp_path):
    """A pass returns a vector as long as the parameters from each worker, whatever the number of measurements."""
    model, _, _ = starflat_model(ParquetSource(written(sequence, tmp_path)), TINY, RECIPE, build=distributed(client))
    p = np.random.default_rng(0).normal(size=model.n_param)
    parts = list(model.each(normal._apply, model.units, model.width, p))
    assert [part.shape for part in parts] == [p.shape] * 2
    whole, _, _ = starflat_model(sequence, TINY, RECIPE)
    np.testing.assert_allclose(normal.apply(model, p), normal.apply(whole, p), rtol=1e-9, atol=1e-6)
    assert (model.n_row, model.n_star) == (whole.n_row, whole.n_star)


def test_files_are_shared_out_in_order_and_evenly(sequence, tmp_path):
    source = ParquetSource(written(sequence, tmp_path, cuts=np.arange(0.1, 1, 0.1)))
    parts = shares(source, 3)
    assert [path for part in parts for path in part.paths] == list(source.paths)
    np.testing.assert_array_equal(np.cumsum([0, *(part.n_row for part in parts)])[:-1], [p.first_row for p in parts])
    # Ten files for three workers: none has more than four.
    assert max(part.n_row for part in parts) < 0.45 * source.n_row
    assert len(shares(source, 20)) == 10


def test_workers_want_files(sequence, client):
    with pytest.raises(TypeError, match="Parquet"):
        fit_starflat(TableSource(sequence), TINY, RECIPE, build=distributed(client))
