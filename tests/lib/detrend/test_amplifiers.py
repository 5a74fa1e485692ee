"""An amplifier that does not work is left out: its quadrant, or its frames, and nothing of its neighbours."""

import numpy as np
import pytest

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS, Detector, write_raw
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.amplifiers import amplifier_fault
from ztf_in2p3.detrend.bad_pixels import bad_pixel_masks
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import MaskBit
from ztf_in2p3.recipes import QuadrantRecipe
from ztf_in2p3.simulate.faults import BAD_AMPLIFIERS, spoil_amplifier

FAULTS = sorted(BAD_AMPLIFIERS)
BROKEN = 2


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Six bias frames and four flats of one LED, of a detector whose amplifiers all work."""
    folder, detector = tmp_path_factory.mktemp("frames"), Detector()
    return detector.biases(folder, 6), detector.flats(folder, 2, 4)


def spoilt(paths, folder, fault, which, qids=(BROKEN,)):
    """Copies of the frames, some with amplifiers that do not work."""
    copies = []
    for index, path in enumerate(paths):
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())
        for qid in qids if index in which else ():
            spoil_amplifier(copy, qid, fault)
        copies.append(copy)
    return copies


def assert_same(one, other, qids):
    for qid in qids:
        np.testing.assert_array_equal(one.data[qid], other.data[qid])
        np.testing.assert_array_equal(one.variance[qid], other.variance[qid])
        np.testing.assert_array_equal(one.count[qid], other.count[qid])


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_broken_amplifier_writes_is_told_from_a_signal(fault):
    image = np.random.default_rng(1).normal(900, 5, (20, 30)).astype(np.float32)
    assert amplifier_fault(image) == ""
    BAD_AMPLIFIERS[fault](image)
    assert amplifier_fault(image)


def test_stars_and_single_bad_pixels_are_a_signal():
    image = np.random.default_rng(1).normal(900, 5, (20, 30)).astype(np.float32)
    image[:9] = 65535
    image[15] = np.nan
    assert amplifier_fault(image) == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_frames_in_which_an_amplifier_failed_are_left_out_of_its_quadrant_alone(frames, tmp_path, fault):
    bias_frames, _ = frames
    master = master_bias(spoilt(bias_frames, tmp_path, fault, {1, 4}), TINY, 3, RECIPE.bias)
    whole = master_bias(bias_frames, TINY, 3, RECIPE.bias)
    without = master_bias([path for i, path in enumerate(bias_frames) if i not in (1, 4)], TINY, 3, RECIPE.bias)
    assert_same(master, whole, set(QIDS) - {BROKEN})
    assert_same(master, without, {BROKEN})
    assert master.count[BROKEN].max() == 4
    assert set(master.left_out) == {f"left_out_q{BROKEN}"}
    assert "2 of 6 frames left out" in master.left_out[f"left_out_q{BROKEN}"]
    assert bias_frames[1].name in master.left_out[f"left_out_q{BROKEN}"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_dead_amplifier_leaves_masters_of_three_quadrants_that_serve(frames, tmp_path, fault):
    bias_frames, flat_frames = frames
    recipe = RECIPE.flat
    biases = spoilt(bias_frames, tmp_path, fault, range(6))
    bias = master_bias(biases, TINY, 3, RECIPE.bias)
    led = led_flat(spoilt(flat_frames, tmp_path, fault, range(4)), bias, TINY, 3, recipe.led)
    flat = combine_leds([led], recipe)
    for master in (bias, led, flat):
        assert np.isnan(master.data[BROKEN]).all()
        assert all(np.isfinite(master.data[qid]).mean() > 0.99 for qid in QIDS if qid != BROKEN)
    for master in (bias, flat):
        found = compare(master)
        assert (found.quality, set(found.unfit)) == ("good", {BROKEN})
    assert bias.left_out[f"dead_q{BROKEN}"] is True
    assert_same(bias, master_bias(bias_frames, TINY, 3, RECIPE.bias), set(QIDS) - {BROKEN})
    bias.write(tmp_path / "bias.fits")
    masks = bad_pixel_masks(biases, bias, flat, TINY, QuadrantRecipe().bad_pixel_map)
    assert (masks[BROKEN] & MaskBit.NAN).all()
    assert all((masks[qid] == 0).mean() > 0.98 for qid in QIDS if qid != BROKEN)


@pytest.mark.parametrize("fault", FAULTS)
def test_flats_with_and_without_an_amplifier_are_brought_to_one_level(frames, tmp_path, fault):
    bias_frames, flat_frames = frames
    bias = master_bias(bias_frames, TINY, 3, RECIPE.bias)
    whole = led_flat(flat_frames, bias, TINY, 3, RECIPE.flat.led)
    master = led_flat(spoilt(flat_frames, tmp_path, fault, {0, 2}), bias, TINY, 3, RECIPE.flat.led)
    # Photon noise of 20 000 ADU at a gain of 6 is 0.003 of a pixel, of a level (median of 1000s of pixels) 1e-4;
    # responses of the amplifiers differ by 0.025, which a level over the others alone would take in.
    for qid in QIDS:
        ratio = np.nanmedian(master.data[qid] / whole.data[qid])
        assert ratio == pytest.approx(1, abs=5e-4)
    assert master.count[BROKEN].max() == 2
    assert master.value("NFRAMES") == 4


def test_a_frame_without_any_amplifier_is_left_out(frames, tmp_path):
    bias_frames, flat_frames = frames
    bias = master_bias(bias_frames, TINY, 3, RECIPE.bias)
    master = led_flat(spoilt(flat_frames, tmp_path, "nan", {3}, QIDS), bias, TINY, 3, RECIPE.flat.led)
    assert_same(master, led_flat(flat_frames[:3], bias, TINY, 3, RECIPE.flat.led), QIDS)
    assert master.value("NFRAMES") == 3


def test_a_ccd_whose_amplifiers_all_fail_is_bad_data(frames, tmp_path):
    bias_frames, _ = frames
    with pytest.raises(BadData, match=r"no quadrant of CCD 3 can be made: q1: 6 of 6 frames left out"):
        master_bias(spoilt(bias_frames, tmp_path, "constant", range(6), QIDS), TINY, 3, RECIPE.bias)


@pytest.mark.parametrize("read_noise", [9.0, 0.0])
def test_a_ccd_that_reads_one_number_everywhere_is_dead_unless_its_frames_are_said_to_have_no_noise(
    tmp_path, read_noise
):
    image, overscan = np.full(TINY.shape, 1060.0), np.full((TINY.shape[0], TINY.overscan_columns), 1000.0)
    frames = [
        write_raw(
            tmp_path / f"{number}.fits.fz",
            dict.fromkeys(QIDS, image),
            dict.fromkeys(QIDS, overscan),
            quadrant_keywords={"READNOI": read_noise},
        )
        for number in range(3)
    ]
    if read_noise:
        with pytest.raises(BadData, match=r"no quadrant of CCD 3 can be made: .*has 1060 ADU in all pixels"):
            master_bias(frames, TINY, 3, RECIPE.bias)
        return
    master = master_bias(frames, TINY, 3, RECIPE.bias)
    # 60 ADU over the offset, less what the linearity takes: below 1 %.
    for qid in QIDS:
        np.testing.assert_allclose(master.data[qid], 60, rtol=0.01)
