"""Masters are the detector's truth, with the noise they state."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.detrend.raw_files import QIDS, Detector
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.masters import CcdMaster, combine_leds, led_flat, master_bias
from ztf_in2p3.detrend.stack import median_variance
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.recipes import BiasRecipe, FlatRecipe, LedFlatRecipe, SensorRecipe
from ztf_in2p3.sensor.readout import Readout

ROOT = Path(__file__).parents[3]
N_PIXEL = TINY.shape[0] * TINY.shape[1]
ONE_VARIANCE = 4 * np.sqrt(2 / N_PIXEL)
"""Four standard deviations of the variance over a quadrant's pixels, relative."""
OFFSET = 1.5 / np.sqrt(5 * TINY.shape[0])
"""ADU.  Error of the mean offset of one frame's rows: read noise, mean of five columns and of the rows."""


def assert_same(one, other):
    for planes, others in ((one.data, other.data), (one.variance, other.variance), (one.count, other.count)):
        for qid in QIDS:
            np.testing.assert_array_equal(planes[qid], others[qid])


def with_hidden(path, folder, qid, **changes):
    """Copy of a raw file with a pixel of one quadrant changed: {(row, column): ADU}."""
    target = folder / path.name
    with fits.open(path) as hdus:
        for (row, column), adu in changes.pop("pixels").items():
            hdus[qid].data[row, column] += adu
        hdus.writeto(target)
    return target


@pytest.mark.parametrize("qid", QIDS)
def test_the_bias_pattern_is_recovered_with_the_noise_of_a_median(bias, detector, qid):
    error = bias.data[qid] - detector.bias[qid]
    expected = 1.5**2 * median_variance(10)
    # The offsets of ten frames, each by its own fit, move whole quadrants: four sigma of their median.
    assert abs(error.mean()) < 4 * np.hypot(OFFSET * np.sqrt(median_variance(10)), np.sqrt(expected / N_PIXEL))
    # The fitted cubics add their four coefficients' variance, 4 / 256 of the profiles' (0.45 %).
    np.testing.assert_allclose(error.var(), expected, rtol=ONE_VARIANCE + 0.0045)
    # The stated variance: pooled over a sixteenth of the pixels, nine degrees of freedom each; a median knows a
    # variance by sqrt(pi / 2) worse than a mean.
    pooled = 4 * 1.25 * np.sqrt(2 / (9 * N_PIXEL / 16))
    np.testing.assert_allclose(np.median(bias.variance[qid]), expected, rtol=pooled)


def test_a_cosmic_ray_in_one_bias_leaves_no_trace(bias, bias_frames, tmp_path):
    hit = with_hidden(bias_frames[4], tmp_path, 2, pixels={(100, 50): 30_000.0})
    others = [*bias_frames[:4], *bias_frames[5:]]

    with_hit, without = (master_bias(paths, TINY, 3, BiasRecipe()) for paths in ([*others, hit], others))

    assert with_hit.count[2][100, 50] == 9
    assert with_hit.data[2][100, 50] == without.data[2][100, 50]


def test_neither_order_nor_chunks_matter(bias, bias_frames):
    # 256 rows at once, and seven at a time.
    assert_same(bias, master_bias(bias_frames[::-1], TINY, 3, BiasRecipe(), chunk_bytes=70_000))


def test_flats_depend_on_neither_order_nor_chunks(led_flats, flat_frames, bias):
    assert_same(led_flats[2], led_flat(flat_frames[2][::-1], bias, TINY, 3, LedFlatRecipe(), chunk_bytes=50_000))


def test_the_fast_way_is_the_straight_way(bias, bias_frames):
    """Whole frames in memory, numpy's functions, one quadrant."""
    frames = []
    for path in bias_frames:
        with RawCcd.open(path, TINY) as raw:
            frames.append(Readout.of(raw, 3, SensorRecipe()).linear(raw.pixels(3)))
    ordered = np.sort(frames, axis=0).astype(np.float64)
    keep = np.abs(ordered - np.median(frames, axis=0)) <= 3 * ordered.std(axis=0)
    np.testing.assert_array_equal(bias.data[3], np.nanmedian(np.where(keep, ordered, np.nan), 0).astype(np.float32))
    np.testing.assert_array_equal(bias.count[3], keep.sum(axis=0))


def test_the_mean_of_the_frames_is_taken_where_the_recipe_says(bias, bias_frames, detector):
    mean = master_bias(bias_frames, TINY, 3, BiasRecipe(combine="mean"))
    assert (bias.value("COMBINE"), mean.value("COMBINE")) == ("median", "mean")
    assert_same(mean, master_bias(bias_frames, TINY, 3, BiasRecipe(mean_from=10)))
    error = mean.data[1] - detector.bias[1]
    # As for the median, with a tenth of a frame's variance.
    np.testing.assert_allclose(error.var(), 1.5**2 / 10, rtol=ONE_VARIANCE + 0.0045)
    np.testing.assert_allclose(
        np.median(mean.variance[1]), 1.5**2 / 10, rtol=4 * 1.25 * np.sqrt(2 / (9 * N_PIXEL / 16))
    )
    with pytest.raises(ValueError, match="expected auto, mean or median"):
        master_bias(bias_frames, TINY, 3, BiasRecipe(combine="best"))


@pytest.mark.parametrize(("led", "adu", "n"), [(2, 20_000, 4), (3, 22_000, 5)])
def test_the_flat_of_a_led_is_recovered_though_the_lamp_varies(led_flats, detector, led, adu, n):
    flat = led_flats[led]
    pulls = np.stack([(flat.data[q] - detector.leds[led][q]) / np.sqrt(flat.variance[q]) for q in QIDS])
    # The lamp varies by 1 %, the level is that of the median frame: four sigma of it.
    np.testing.assert_allclose(flat.value("LEDNORM"), adu, rtol=4 * 0.01 * np.sqrt(median_variance(n)))
    # Pulls of mean 0 and variance 1.  The CCD's median, by which all is divided, is known to 1.25 / sqrt(n) sigma, and
    # the frames' levels, from a sixteenth of the pixels, four times worse.
    assert abs(pulls.mean()) < 4 * np.sqrt(1 + 1.25**2 + 1.25**2 * 16) / np.sqrt(pulls.size)
    # The noise is pooled from n - 1 degrees of freedom of a sixteenth of each quadrant's pixels.
    pooled = 4 * 1.25 * np.sqrt(2 / ((n - 1) * N_PIXEL / 16)) / np.sqrt(4)
    np.testing.assert_allclose(pulls.var(), 1, atol=4 * np.sqrt(2 / pulls.size) + pooled)


def test_the_flat_of_a_filter_is_the_mean_of_its_leds(flat, led_flats, detector):
    pulls = np.stack([(flat.data[q] - detector.flat[q]) / np.sqrt(flat.variance[q]) for q in QIDS])
    np.testing.assert_allclose(pulls.var(), 1, atol=4 * np.sqrt(2 / pulls.size) + 0.02)  # pooled noise as above
    assert flat.value("FLTNORM") == np.mean([one.value("LEDNORM") for one in led_flats.values()])
    assert (flat.value("LEDS"), flat.value("NFRAMES")) == ("2,3", 9)
    assert flat.count[1].max() == 9
    np.testing.assert_allclose(flat.value("FLTMED"), np.median(np.stack(list(flat.data.values()))))


def test_leds_weigh_what_the_recipe_says(led_flats):
    weighted = combine_leds(led_flats.values(), FlatRecipe(weights=((2, 3.0),)))
    expected = (3 * led_flats[2].data[4] + led_flats[3].data[4]) / 4
    np.testing.assert_allclose(weighted.data[4], expected, rtol=1e-6)
    np.testing.assert_allclose(
        weighted.variance[4], (9 * led_flats[2].variance[4] + led_flats[3].variance[4]) / 16, rtol=1e-5
    )
    levels = [led_flats[led].value("LEDNORM") for led in (2, 3)]
    assert (weighted.value("LEDS"), weighted.value("LEDWEIGH")) == ("2,3", "3,1")
    assert weighted.value("FLTNORM") == pytest.approx((3 * levels[0] + levels[1]) / 4)


def test_a_led_without_weight_is_left_out(led_flats):
    alone = combine_leds(led_flats.values(), FlatRecipe(weights=((2, 0.0),)))
    np.testing.assert_array_equal(alone.data[1], led_flats[3].data[1])
    assert alone.value("LEDS") == "3"


def test_a_pixel_one_led_does_not_know_is_made_of_the_other(led_flats):
    holed = replace(led_flats[2], data={q: plane.copy() for q, plane in led_flats[2].data.items()})
    holed.data[1][5, 6] = np.nan
    combined = combine_leds([holed, led_flats[3]], FlatRecipe())
    assert combined.data[1][5, 6] == led_flats[3].data[1][5, 6]
    assert combined.count[1][5, 6] == led_flats[3].count[1][5, 6]


def test_a_master_survives_its_file(flat, tmp_path):
    flat.write(tmp_path / "flat.fits")
    flat.write(tmp_path / "again.fits")
    read = CcdMaster.read(tmp_path / "flat.fits", TINY)
    assert (tmp_path / "flat.fits").read_bytes() == (tmp_path / "again.fits").read_bytes()
    assert read.ccdid == 3
    assert read.value("FLTNORM") == flat.value("FLTNORM")
    for qid in QIDS:
        # Steps of a 16th of the noise along a row, here the pixels' own 1 %: half a step, as the row's noise is known.
        np.testing.assert_allclose(read.data[qid], flat.data[qid], atol=0.015 / 16)
        np.testing.assert_allclose(read.variance[qid], flat.variance[qid], rtol=0.01)
        np.testing.assert_array_equal(read.count[qid], flat.count[qid], strict=True)
        assert read.data[qid].dtype == np.float32


def test_a_master_of_another_camera_or_no_master_is_refused(bias, bias_frames, tmp_path):
    bias.write(tmp_path / "bias.fits")
    with pytest.raises(BadData, match=r"bias\.fits: plane Q1 of shape \(3080, 3072\) expected"):
        CcdMaster.read(tmp_path / "bias.fits", ZTF)
    with pytest.raises(BadData, match="found none"):
        CcdMaster.read(bias_frames[0], TINY)
    (tmp_path / "page.fits").write_text("<html>")
    with pytest.raises(BadData, match=r"page\.fits"):
        CcdMaster.read(tmp_path / "page.fits", TINY)


@pytest.mark.parametrize(("value", "found"), [("bright", "'bright'"), (True, "True"), (("", "adu"), "''")])
def test_a_card_that_should_be_a_number_and_is_none_is_bad_data(bias, value, found):
    damaged = replace(bias, cards={**bias.cards, "FLTNORM": value})
    with pytest.raises(BadData, match=f"master of CCD {bias.ccdid}: FLTNORM is {found}, expected a number"):
        damaged.number("FLTNORM")
    assert replace(bias, cards={"FLTNORM": (20_000, "adu")}).number("FLTNORM") == 20_000.0


def test_cards_say_what_was_done(bias, bias_frames):
    without = BiasRecipe(sensor=SensorRecipe(linearise=False))
    other = master_bias(bias_frames[:2], TINY, 3, without, cards={"PERIOD": "20190405_20190405"})
    assert (bias.value("NFRAMES"), bias.value("LINCOR"), bias.value("POCKCOR")) == (10, True, False)
    assert (other.value("NFRAMES"), other.value("LINCOR"), other.value("PERIOD")) == (2, False, "20190405_20190405")
    np.testing.assert_allclose([bias.value(f"NOISE{q}") for q in QIDS], 1.5, rtol=0.03)  # pooled, as above


def test_one_bad_frame_is_named(bias_frames, tmp_path):
    broken = tmp_path / "broken.fits.fz"
    with fits.open(bias_frames[0]) as hdus:
        hdus[:7].writeto(broken)
    with pytest.raises(BadData, match=r"broken\.fits\.fz: 7 HDUs"):
        master_bias([*bias_frames, broken], TINY, 3, BiasRecipe())


def test_frames_of_several_leds_and_of_none_are_refused(flat_frames, bias_frames, bias):
    with pytest.raises(BadData, match="2 LEDs"):
        led_flat([flat_frames[2][0], flat_frames[3][0]], bias, TINY, 3, LedFlatRecipe())
    with pytest.raises(BadData, match=rf"{bias_frames[0].name}, .*: no LED number in ILUM_LED"):
        led_flat(bias_frames, bias, TINY, 3, LedFlatRecipe())


def test_a_flat_without_led_number_is_left_out_of_those_that_have_it(flat_frames, bias_frames, bias):
    with_unnamed = led_flat([*flat_frames[2], bias_frames[0]], bias, TINY, 3, LedFlatRecipe())
    assert_same(with_unnamed, led_flat(flat_frames[2], bias, TINY, 3, LedFlatRecipe()))
    assert bias_frames[0].name in with_unnamed.value("WHYLEFT1")


def test_a_lamp_without_a_quadrant_is_brought_to_the_scale_of_the_others(led_flats, detector):
    lacking = dict(led_flats[2].data)
    known = np.concatenate([lacking[qid].ravel() for qid in (1, 2, 3)])
    norm = float(np.median(known))
    three = replace(
        led_flats[2],
        data={qid: plane / norm if qid < 4 else np.full_like(plane, np.nan) for qid, plane in lacking.items()},
        cards={**led_flats[2].cards, "LEDNORM": led_flats[2].value("LEDNORM") * norm},
    )
    assert abs(norm - 1) > 0.005  # what would be mixed
    whole = combine_leds(led_flats.values(), FlatRecipe())
    mixed = combine_leds([three, led_flats[3]], FlatRecipe())
    # The lamps light the quadrants alike but for their gradients within each; exact if they differed in none.
    for qid in (1, 2, 3):
        assert np.median(mixed.data[qid] / whole.data[qid]) == pytest.approx(1, abs=1e-3)
    assert mixed.value("FLTNORM") == pytest.approx(whole.value("FLTNORM"), rel=1e-3)
    assert mixed.value("LEDLACK4") == "2"
    assert "lacks LED 2" in compare(mixed).unfit[4]
    assert set(compare(mixed).unfit) == {4}


def test_nothing_to_combine_says_what_is_missing(bias, led_flats):
    with pytest.raises(MissingProduct, match="no frames of CCD 3"):
        master_bias([], TINY, 3, BiasRecipe())
    with pytest.raises(MissingProduct, match="no LED flat"):
        combine_leds([], FlatRecipe())
    with pytest.raises(BadData, match="no card LED"):
        combine_leds([bias], FlatRecipe())
    with pytest.raises(BadData, match=r"CCDs \[3, 4\]"):
        combine_leds([led_flats[2], replace(led_flats[3], ccdid=4)], FlatRecipe())


PEAK = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from ztf_in2p3.camera import TINY
from ztf_in2p3.detrend.masters import master_bias
from ztf_in2p3.recipes import BiasRecipe

paths = sorted(Path(sys.argv[1]).iterdir())[:int(sys.argv[2])]
master_bias(paths, replace(TINY, shape=(400, 800)), 3, BiasRecipe(), chunk_bytes=2 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    detector = Detector(camera=replace(TINY, shape=(400, 800)))
    paths = detector.biases(tmp_path, 4)
    for i in range(36):
        (tmp_path / detector.name(500 + i)).hardlink_to(paths[i % 4])

    def peak(n):
        return int(subprocess.check_output([sys.executable, "-c", PEAK, tmp_path, str(n)], cwd=ROOT))

    frame = 4 * 400 * 800 * 4  # bytes
    # An open frame keeps headers and tables of tiles, 0.6 MB, but no pixels: an eighth of them is ample.
    assert peak(40) - peak(10) < 30 * frame / 8
