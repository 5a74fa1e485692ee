"""On a bad day a master is right within its errors, or says why it is not: never silent."""

import pytest

from tests.lib.detrend.bad_frames import bias_cell, flat_cell, science_cell, series
from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS, Detector
from tests.lib.detrend.test_quadrant import science_header
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.frame_checks import check_bias_frames
from ztf_in2p3.detrend.frame_samples import sample_frames
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.simulate.frame_faults import BIAS_FAULTS, FLAT_FAULTS, SCIENCE_FAULTS


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return series(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def sound_bias(sound):
    return master_bias(sound.biases, TINY, 3, RECIPE.bias)


@pytest.fixture(scope="module")
def sound_flat(sound, sound_bias):
    return led_flat(sound.flats, sound_bias, TINY, 3, RECIPE.flat.led)


@pytest.mark.parametrize("name", BIAS_FAULTS)
def test_spoilt_biases_are_left_out_or_the_quadrant_refused(sound, tmp_path, name):
    cell = bias_cell(sound, tmp_path, name)
    assert cell.outcome == cell.expected, cell
    assert cell.reason


@pytest.mark.parametrize("name", FLAT_FAULTS)
def test_spoilt_flats_are_left_out_or_the_quadrant_refused(sound, sound_bias, tmp_path, name):
    cell = flat_cell(sound, tmp_path, name, sound_bias)
    assert cell.outcome == cell.expected, cell
    assert cell.reason


@pytest.mark.parametrize("name", SCIENCE_FAULTS)
def test_a_spoilt_quadrant_of_the_sky_is_left_out_alone(sound, sound_bias, sound_flat, tmp_path, name):
    light = {qid: 300.0 * sound.detector.leds[2][qid] for qid in QIDS}
    path = sound.detector.expose(tmp_path / sound.detector.name(1, "o", "zr"), 1, light)
    (tmp_path / "spoilt").mkdir()
    flat = combine_leds([sound_flat], RECIPE.flat)
    cell = science_cell(
        path, 300.0, tmp_path / "spoilt", name, sound_bias, flat, {qid: science_header(qid) for qid in QIDS}
    )
    assert cell.outcome == cell.expected, cell


def test_sound_masters_have_nothing_to_say(sound_bias, sound_flat):
    for master in (sound_bias, sound_flat):
        assert (compare(master).quality, compare(master).unfit, master.left_out) == ("good", {}, {})
        # Pooled from 3 or 9 degrees of freedom of a sixteenth of the pixels: known to 5 %, four sigma.
        assert all(master.value(f"EXCESS{qid}") == pytest.approx(1, abs=0.2) for qid in QIDS)


def test_a_slow_drift_of_the_level_parts_no_series(tmp_path):
    detector = Detector()
    paths = []
    for index in range(12):
        detector.bias = {qid: plane + 1.0 for qid, plane in detector.bias.items()}
        paths.append(detector.expose(tmp_path / detector.name(index), index))
    raws = [RawCcd.open(path, TINY, 3) for path in paths]
    usable = check_bias_frames(sample_frames(raws, RECIPE.sensor), RECIPE.bias.frames)
    for raw in raws:
        raw.close()
    assert all(len(frames.indices) == 12 for frames in usable.values())
