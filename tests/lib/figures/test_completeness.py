"""What was asked for decides whether a night is good: in all, of each CCD, of each filter."""

from __future__ import annotations

import pytest

from ztf_in2p3.figures.completeness import Completeness
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType


def asked(n_exposure: int, n_ccd: int, filters: tuple[Filter, ...] = (Filter.ZR,)) -> list[CcdExposure]:
    exposures = [
        Exposure(f"20190405{100000 + n}", 655, filters[n % len(filters)], ImageType.OBJECT) for n in range(n_exposure)
    ]
    return [CcdExposure(exposure, ccdid) for exposure in exposures for ccdid in range(1, n_ccd + 1)]


def parts(wanted: list[CcdExposure], lost: set[CcdExposure], tolerated: float = 0.2) -> list[str]:
    return [share.part for share in Completeness.of(wanted, set(wanted) - lost).exceeding(tolerated)]


def test_a_whole_ccd_is_not_outweighed_by_the_others():
    wanted = asked(9, 16)
    lost = {ccd for ccd in wanted if ccd.ccdid == 3}
    assert len(lost) / len(wanted) < 0.2
    assert parts(wanted, lost) == ["c03"]


def test_a_whole_filter_is_not_outweighed_by_the_others():
    wanted = asked(40, 4, (Filter.ZR,) * 9 + (Filter.ZI,))
    lost = {ccd for ccd in wanted if ccd.exposure.filter is Filter.ZI}
    assert len(lost) / len(wanted) < 0.2
    assert parts(wanted, lost) == ["zi"]


@pytest.mark.parametrize("n_exposure", [1, 2, 5])
def test_one_lost_exposure_is_bad_luck_unless_its_ccd_has_no_other(n_exposure):
    wanted = asked(n_exposure, 16)
    assert parts(wanted, {wanted[2]}) == (["c03"] if n_exposure == 1 else [])


def test_everything_lost_exceeds_every_limit_but_that_of_all():
    wanted = asked(2, 2)
    assert parts(wanted, set(wanted), tolerated=0.99) == ["all", "c01", "c02", "zr"]
    assert parts(wanted, set(wanted), tolerated=1.0) == []


def test_nothing_asked_for_lacks_nothing():
    assert parts([], set()) == []


def test_what_was_made_beside_it_does_not_count():
    wanted = asked(2, 1)
    assert Completeness.of(wanted, set(asked(5, 3))).all.n_missing == 0
