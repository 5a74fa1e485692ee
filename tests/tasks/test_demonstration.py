"""The parts of the demonstration fit together: periods, nights, and the target that is followed."""

import numpy as np
import pytest

from tasks.simulation import TOLERANCE_DAYS, demonstration_of, supernova_nights
from ztf_in2p3.periods import Period
from ztf_in2p3.scene.target import read_targets
from ztf_in2p3.simulate.follow import TARGETS


@pytest.fixture(scope="module")
def shown():
    return demonstration_of("tiny")


@pytest.fixture(scope="module")
def followed(shown):
    return supernova_nights(shown.night)[0]


def test_a_part_meets_only_its_own_nights(shown, followed):
    """So that a second run, which finds the frames of all parts in the store, does what the first did."""
    periods = [Period.of(shown.night.night), *map(Period.parse, shown.later)]
    nights = [plan.night for plan in (*shown.plans, *followed)]
    assert len(set(nights)) == len(nights)
    assert sum(night in period for period in periods for night in nights) == len(shown.plans)


def test_the_target_of_the_file_is_the_supernova(followed):
    target = next(one for one in read_targets(TARGETS) if one.name == "supernova")
    (one,) = followed[0].sky.supernovae
    off = np.hypot((target.ra - one.ra) * np.cos(np.deg2rad(one.dec)), target.dec - one.dec) * 3600
    assert 0.1 < off < 0.5  # arcsec: as a search would give its place
    frames = [plan.objects[0].exposure for plan in followed]
    assert set(target.bands) == {str(frame.filter) for frame in frames}
    shining = [plan.night for plan in followed if one.magnitude(plan.objects[0].mjd) < np.inf]
    assert shining == [plan.night for plan in followed if plan.night in target.shines]


def test_the_masters_of_the_night_serve_all_nights(shown, followed):
    assert max(abs((plan.night - shown.night.night).days) for plan in followed) <= TOLERANCE_DAYS
