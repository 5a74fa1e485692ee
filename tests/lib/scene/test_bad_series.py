"""What else an exposure can have, beside trails and saturated cores: right, or flagged, and never the others' loss."""

import pytest

from tests.lib.detrend.bad_frames import SILENT
from tests.lib.scene.bad_series import noisy_series, series_cell
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.simulate.series_faults import SERIES_FAULTS


@pytest.fixture(scope="module")
def sound(clean):
    true, series = noisy_series(clean, 21)
    return true, series, fit_scene(series)


@pytest.mark.parametrize("name", ["asteroid beside", "another band", "half a stamp"])
def test_a_spoilt_exposure_is_right_or_flagged(sound, name):
    cell = series_cell(*sound, name, SERIES_FAULTS[name])
    assert cell.outcome != SILENT, cell
    assert cell.outcome == cell.expected, cell
