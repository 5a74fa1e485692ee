"""Readout channels of a simulated night, bent as the dated table says, are found so from its flats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flows.download import download
from flows.linearity import linearity
from tests.flows.night import NIGHT, opened
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.exposures import NightPlan, tiny_night
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.store.parquet import read_table

CCD, N_FLAT = 3, 8
ADU_PER_SECOND, LAMP_SCATTER = 3000.0, 0.005
SCOPE = {"camera": "tiny", "ccds": [CCD], "filters": ["zr"], "workers": 0}


def night(seconds: np.ndarray) -> NightPlan:
    """Flats of one lamp that shone so long, with its scatter."""
    plan = tiny_night(ccdids=(CCD,), filters=(Filter.ZR,), n_bias=3, n_led=1, n_flat=N_FLAT, n_object=0)
    lamp = 1 + LAMP_SCATTER * np.random.default_rng(8).standard_normal(N_FLAT)
    flats = tuple(
        replace(flat, exptime=float(time), level_adu=float(ADU_PER_SECOND * time * factor))
        for flat, time, factor in zip(plan.flats, seconds, lamp, strict=True)
    )
    return replace(plan, flats=flats)


def fetched(plan: NightPlan, folder, store) -> str:
    simulate_night(plan, folder)
    download(NIGHT, str(store), archive=str(folder), reference=str(folder / "reference"), **SCOPE)
    return str(store)


def test_the_channels_bend_as_the_detector_does(tmp_path):
    store = fetched(night(np.linspace(1.5, 15, N_FLAT)), tmp_path / "tree", tmp_path / "store")
    outcome = linearity(NIGHT, store, **SCOPE)
    assert outcome.set_aside == ()
    made = {row["product"]: row["made"] for row in outcome.table()}
    assert made == {"bias": 1, "linearity": 1, "figure": 1}
    (built,) = outcome.of(Kind.LINEARITY)
    with opened(store).open(built) as path:
        rows = read_table(path).to_pylist()
    for row in rows:
        signal = np.array([10_000.0, 25_000.0, 40_000.0])
        found, true = (1 / ((row[a] * signal + row[b]) * signal + 1) for a, b in (("a", "b"), ("table_a", "table_b")))
        cross = row["ab_correlation"] * row["a_error"] * row["b_error"]
        covariance = np.array([[row["a_error"] ** 2, cross], [cross, row["b_error"] ** 2]])
        slope = np.stack([signal**2, signal], axis=1)
        error = np.sqrt(np.einsum("ij,jk,ik->i", slope, covariance, slope))
        # The simulator's lamp scatters as the recipe says, and its channels are those of the table.
        assert np.abs((found / true - 1) / error).max() < 4.5
        assert row["n_frame"] == N_FLAT
        # Levels of a quadrant: photons of 61 440 pixels, 0.1 to 0.4 ADU, and the offset's 0.1.
        assert np.abs(row["left"]).max() < 4.5 * 0.4 / 4500
    assert linearity(NIGHT, store, **SCOPE).n_made == 0


def test_flats_of_one_time_are_set_aside_with_the_reason(store):
    outcome = linearity(NIGHT, str(store), **SCOPE, max_set_aside=1.0)
    (aside,) = outcome.set_aside
    assert outcome.of(Kind.LINEARITY) == []
    assert "take flats of one lamp with several exposure times" in aside.reason
