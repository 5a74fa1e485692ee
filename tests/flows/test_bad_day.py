"""A day of spoilt calibration frames: what is left makes right masters, and every frame left out is named."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from flows.calibrate import calibrate
from flows.download import download
from tests.flows.night import opened
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.focal_plane import common_level, n_ccd_of
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.products import Kind, ccdid_of
from ztf_in2p3.simulate import chain, files
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.flats import flat_levels
from ztf_in2p3.simulate.frame_faults import BIAS_FAULTS, FLAT_FAULTS, spoil_frame
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.store.parquet import read_table

NIGHT = "20190405"
SCOPE = {"camera": "tiny", "filters": ["zr"], "workers": 0}
PLAN = tiny_night(
    date.fromisoformat(NIGHT),
    1,
    ccdids=(3, 6),
    filters=(Filter.ZR,),
    n_bias=6,
    n_led=1,
    n_flat=4,
    n_object=1,
    n_field=1,
)


@pytest.fixture(scope="module")
def calibrated(orchestrator, tmp_path_factory):
    """Store, and what `calibrate` said of a day with a lit bias, an unlit flat, and a flat that an operator rejects."""
    tree, store = tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("bad day") / "store"
    simulate_night(PLAN, tree)
    spoil_frame(tree / files.raw_path(CcdExposure(PLAN.biases[1].exposure, 3)), BIAS_FAULTS["light in a fifth"])
    spoil_frame(tree / files.raw_path(CcdExposure(PLAN.flats[2].exposure, 3)), FLAT_FAULTS["one unlit"])
    download(NIGHT, str(store), archive=str(tree), reference=str(tree / "reference"), ccds=[3, 6], **SCOPE)
    deployments = tmp_path_factory.mktemp("deployments")
    rejected = PLAN.flats[0].exposure.filefracday
    (deployments / "verdicts.toml").write_text(
        f'[[rejected]]\nexposure = "{rejected}"\nccds = [6]\nreason = "dome lights"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZTF_DEPLOYMENTS", str(deployments))
        outcome = calibrate(NIGHT, str(store), ccds=[3, 6], max_set_aside=1.0, **SCOPE)
    return store, outcome


def test_bad_frames_are_named_and_the_masters_made_of_the_others(calibrated):
    store, outcome = calibrated
    aside = {line.what: line.reason for line in outcome.set_aside}
    lit, unlit = (frames[at].exposure.filefracday for frames, at in ((PLAN.biases, 1), (PLAN.flats, 2)))
    assert lit in aside[f"bias c03 {NIGHT}_{NIGHT}"]
    assert "ADU above the 5 others" in aside[f"bias c03 {NIGHT}_{NIGHT}"]
    assert any(unlit in reason and "was the lamp on" in reason for reason in aside.values())
    assert "rejected by the operator: dome lights" in aside.values()
    assert len(aside) == 3
    for product in outcome.of(Kind.BIAS):
        with opened(store).open(product) as path:
            master = CcdMaster.read(path, TINY)
        for quadrant in (q for q in PLAN.camera.quadrants if q.ccdid == ccdid_of(product.ref)):
            error = master.data[quadrant.qid] - chain.bias_pattern(PLAN, quadrant)
            # The offset of each frame is known to 0.08 ADU: its polynomial, whole numbers and five columns.
            assert abs(np.median(error)) < 0.2
            assert 0.9 < np.std(error / np.sqrt(master.variance[quadrant.qid])) < 1.15


def test_one_ccd_does_not_set_the_level_of_the_focal_plane(calibrated):
    store, outcome = calibrated
    (before,) = outcome.of(Kind.FOCAL_PLANE)
    again = calibrate(NIGHT, str(store), ccds=[6], max_set_aside=1.0, **SCOPE)  # the rejected flat is back
    (after,) = again.of(Kind.FOCAL_PLANE)
    assert after.ref == before.ref
    with opened(store).open(after) as path:
        table = read_table(path)
    assert n_ccd_of(table) == 2
    assert table["ccd"].to_pylist() == [3, 6]
    levels = table["level"].to_numpy() * table["median"].to_numpy() / table["light"].to_numpy()
    # CCD 3 lacks a flat, whose lamp differs by 0.5 %; the frames' levels are medians of 15,000 pixels, known to 1e-4.
    truth = flat_levels(PLAN, Filter.ZR)
    assert levels[0] / levels[1] == pytest.approx(truth.fltnorm(3) / truth.fltnorm(6), rel=5e-4)
    assert common_level(table) == pytest.approx(float(np.median(levels)))
    assert np.ptp(levels) > 0.01 * levels.mean()  # what one CCD alone would have moved it by
