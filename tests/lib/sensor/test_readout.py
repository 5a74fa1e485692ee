"""A raw quadrant becomes linear ADU, whatever the amplifier and however its rows are cut."""

import numpy as np
import pytest

from tests.lib.detrend.raw_files import FLOOR, QIDS, Detector, write_raw
from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.readout import Readout


@pytest.fixture
def detector():
    return Detector()


@pytest.mark.parametrize("qid", QIDS)
def test_known_light_comes_back(tmp_path, detector, qid):
    light = {q: np.full(TINY.shape, 30_000.0) for q in QIDS}
    path = detector.expose(tmp_path / "raw.fits.fz", 1, light)

    with RawCcd.open(path, TINY, ccdid=3) as raw:
        error = Readout.of(raw, qid, SensorRecipe()).linear(raw.pixels(qid)) - detector.bias[qid] - 30_000
        bent = Readout.of(raw, qid, SensorRecipe(linearise=False)).linear(raw.pixels(qid)) - detector.bias[qid]

    # Photon noise sqrt(30000 / 6) = 71 ADU a pixel; the mean over the pixels to four sigma.
    assert abs(error.mean()) < 4 * 71 / np.sqrt(error.size)
    assert abs(bent.mean() - 30_000) > 20  # the correction matters here


@pytest.mark.parametrize("qid", QIDS)
def test_rows_alone_are_as_rows_together(tmp_path, detector, qid):
    path = detector.expose(tmp_path / "raw.fits.fz", 1)
    with RawCcd.open(path, TINY) as raw:
        readout = Readout.of(raw, qid, SensorRecipe())
        together = readout.linear(raw.pixels(qid))
        for rows in (slice(0, 7), slice(100, 101), slice(250, None)):
            np.testing.assert_array_equal(readout.linear(raw.pixels(qid, rows), rows), together[rows])


def test_what_is_wrong_names_the_file_and_the_quadrant(tmp_path):
    planes = {q: np.full(TINY.shape, FLOOR) for q in QIDS}
    overscans = {q: np.full((TINY.shape[0], TINY.overscan_columns), FLOOR if q != 2 else np.nan) for q in QIDS}
    path = write_raw(tmp_path / "raw.fits.fz", planes, overscans)
    with RawCcd.open(path, TINY) as raw, pytest.raises(BadData, match=r"raw\.fits\.fz, quadrant 2: 0 of 256 rows"):
        Readout.of(raw, 2, SensorRecipe())


def test_a_night_before_the_table_names_the_file(tmp_path, detector):
    path = detector.expose(tmp_path / "raw.fits.fz", 1, keywords={"OBSMJD": 50_000.0})
    with RawCcd.open(path, TINY) as raw, pytest.raises(BadData, match=r"raw\.fits\.fz, quadrant 1: no linearity"):
        Readout.of(raw, 1, SensorRecipe())
