"""A master is suspect when more of it moved than chance and a few bad pixels explain."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.detrend.raw_files import QIDS
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.compare import compare

SHAPE, ERROR = (100, 100), 0.5


def master(seed, level=60.0, ccdid=3):
    rng = np.random.default_rng(seed)
    data = {q: rng.normal(level, ERROR, SHAPE).astype(np.float32) for q in QIDS}
    variance = {q: np.full(SHAPE, ERROR**2, np.float32) for q in QIDS}
    return CcdMaster(ccdid, data, variance, {q: np.full(SHAPE, 10, np.uint8) for q in QIDS}, {})


def test_two_masters_of_one_detector_are_alike():
    found = compare(master(1), master(2))
    # 6 sigma of 40 000 Gaussian pixels: a chance of 1 in 10 000 that any moved.
    assert (found.quality, found.reason, found.moved) == ("good", "", 0.0)
    assert abs(found.shift) < 4 * 1.2533 * ERROR * np.sqrt(2 / 40_000)


def test_a_shift_and_a_spoilt_quadrant_are_told():
    shifted = compare(master(1, level=66.0), master(2))
    assert shifted.quality == "suspect"
    assert shifted.shift == pytest.approx(6, abs=0.05)
    new = master(1)
    new.data[2][:20] += 30
    new.data[3][:5] = np.nan
    spoilt = compare(new, master(2))
    assert spoilt.moved == pytest.approx((20 * 100 + 5 * 100) / 40_000)
    assert set(spoilt.unfit) == {2, 3}
    assert "500 have no data any more" in spoilt.unfit[3]


def test_a_few_bad_pixels_and_the_detectors_own_changes_are_allowed():
    new = master(1)
    new.data[1][0, :50] += 1000
    assert compare(new, master(2)).quality == "good"
    drifted = replace(master(1), data={q: plane + 5 for q, plane in master(1).data.items()})
    assert compare(drifted, master(2)).quality == "suspect"
    assert compare(drifted, master(2), floor=1.0).quality == "good"


def test_masters_of_two_ccds_are_not_compared():
    with pytest.raises(ValueError, match="CCD 3 compared with one of CCD 4"):
        compare(master(1), master(2, ccdid=4))


def test_the_first_of_its_kind_is_judged_by_itself():
    assert compare(master(1)).quality == "good"
    noisy = replace(master(1), cards={"EXCESS2": (9.0, "")})
    assert set(compare(noisy).unfit) == {2}
    assert "9 times the variance" in compare(noisy).unfit[2]
    lit = compare(master(1, level=400.0))
    assert (lit.quality, set(lit.unfit)) == ("suspect", set(QIDS))
    unlit = replace(master(1, level=1.0), cards={"FLTNORM": 23.0})
    assert "was the lamp on" in compare(unlit).reason


@pytest.mark.parametrize("spoilt", ["lit", "noisy", "nan"])
def test_a_spoilt_predecessor_does_not_make_a_sound_master_suspect(spoilt):
    old = master(2, level=900.0 if spoilt == "lit" else 66.0)
    if spoilt == "noisy":
        old = replace(old, cards={f"EXCESS{qid}": 1000.0 for qid in QIDS})
    for plane in old.variance.values():
        plane[:] = np.nan if spoilt == "nan" else plane
    found = compare(master(1), old)
    assert (found.quality, found.unfit) == ("good", {})


def test_a_master_like_any_of_those_before_it_is_good():
    assert compare(master(1), master(2, level=70.0), master(3)).quality == "good"
    assert compare(master(1), master(2, level=70.0), master(3, level=70.0)).quality == "suspect"


def test_a_spoilt_frame_does_not_hide_itself_in_the_errors_that_it_widens():
    widened = replace(master(1, level=66.0), cards={f"EXCESS{qid}": 2.5 for qid in QIDS})
    for plane in widened.variance.values():
        plane *= 2.5
    assert compare(widened, master(2)).quality == "suspect"  # 6 ADU are 8.5 of the errors that headers predict


def test_a_shift_of_many_pixels_is_told_though_none_of_them_moved_beyond_its_error():
    new = master(1)
    new.data[2][:40] += 4
    # 6 sigma are 6 x sqrt(2 x 0.25 + 0.25) = 5.2 ADU, six floors 3 ADU.
    found = compare(new, master(2), floor=0.5)
    assert (found.quality, set(found.unfit)) == ("good", {2})
    assert "moved by 4" in found.unfit[2]


def test_a_pixel_that_never_had_data_is_not_lost():
    new, old = master(1), master(2)
    for one in (new, old):
        one.data[1][:50] = np.nan
    found = compare(new, old)
    assert (found.quality, found.moved) == ("good", 0.0)


def test_a_quadrant_without_data_serves_nobody_and_takes_nothing_from_its_neighbours():
    first = master(1)
    first.data[2][:] = np.nan
    for before in (None, master(2)):
        found = compare(first, before)
        assert (found.quality, found.reason) == ("good", "")
        assert set(found.unfit) == {2}
        assert found.moved == pytest.approx(1 / len(QIDS))


def test_a_master_without_any_data_is_suspect():
    empty = master(1)
    for plane in empty.data.values():
        plane[:] = np.nan
    found = compare(empty)
    assert found.quality == "suspect"
    assert all(f"quadrant {qid}: 100 % of its pixels have no data" in found.reason for qid in QIDS)


def test_a_quadrant_that_moved_is_left_out_and_the_others_serve():
    new = master(1)
    new.data[4] += 8
    found = compare(new, master(2))
    assert (found.quality, set(found.unfit)) == ("good", {4})
    assert "100.00 % of 10000 pixels moved" in found.unfit[4]
    # Three of four did not move, so the median of all is their two thirds quantile: 0.43 of 0.71 ADU.
    assert found.shift == pytest.approx(0.43 * np.sqrt(2) * ERROR, abs=0.05)


def test_a_quadrant_is_judged_by_its_own_pixels():
    for rows, unfit in ((1, set()), (2, {3})):
        new = master(1)
        new.data[3][:rows] += 50  # 1 % of a quadrant a row
        assert set(compare(new, master(2)).unfit) == unfit


def test_after_a_master_without_data_a_good_one_is_good():
    empty = master(1)
    for plane in empty.data.values():
        plane[:] = np.nan
    assert compare(master(2), empty).quality == "good"
