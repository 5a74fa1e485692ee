"""A frame that is lacking does not move the level of what lacks it, however much the lamp varies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.detrend.combine import _common_levels
from ztf_in2p3.detrend.focal_plane import FlatLevel, common_level, focal_plane, level_for
from ztf_in2p3.detrend.lamp_light import LampLevel, exposure_of, relative_light, separate
from ztf_in2p3.errors import BadData

LAMP_SCATTER = 0.2
"""Far more than real lamps have, so that a bias would be seen above any rounding."""


def ccd_flats(*, missing, led_missing=(), seed=1, n_ccd=5, n_frame=6, leds=(7, 8, 9)):
    """Levels of flats whose CCDs lack frames (ccd, led, frame), or whole LEDs (ccd, led), and the CCDs' responses."""
    draw = np.random.default_rng(seed)
    response = draw.uniform(0.8, 1.2, n_ccd)
    lamp = {led: draw.uniform(2e4, 4e4) * (1 + LAMP_SCATTER * draw.uniform(-1, 1, n_frame)) for led in leds}
    flats = []
    for ccd in range(n_ccd):
        lamps = []
        for led in leds:
            frames = {f"{at}": lamp[led][at] * response[ccd] for at in range(n_frame) if (ccd, led, at) not in missing}
            if frames and (ccd, led) not in led_missing:
                lamps.append(LampLevel(led, 1.0, float(np.median(list(frames.values()))), frames))
        flats.append(FlatLevel(ccd + 1, float(np.mean([lamp.level for lamp in lamps])), 1.0, tuple(lamps)))
    return flats, response


gaps = st.sets(st.tuples(st.integers(0, 4), st.sampled_from((7, 8, 9)), st.integers(1, 5)), max_size=30)


@given(missing=gaps, led_missing=st.sets(st.tuples(st.integers(0, 4), st.sampled_from((8, 9))), max_size=5))
def test_ccds_keep_their_relative_levels_whatever_frames_and_lamps_they_lack(missing, led_missing):
    flats, response = ccd_flats(missing=missing, led_missing=led_missing)
    table = focal_plane(flats)
    # An even sky is as bright as the CCD responds; over FLTNORM and at the level for the CCD, it is even again.
    sky = [response[flat.ccdid - 1] / flat.level * level_for(table, flat.ccdid) for flat in flats]
    np.testing.assert_allclose(sky, sky[0], rtol=1e-9)


def test_without_a_gap_the_light_is_exactly_the_same():
    flats, _ = ccd_flats(missing=())
    assert relative_light([flat.lamps for flat in flats]) == [1.0] * len(flats)
    table = focal_plane(flats)
    assert {level_for(table, flat.ccdid) for flat in flats} == {common_level(table)}


def test_frames_of_no_other_ccd_are_taken_to_be_lit_as_usual():
    flats, _ = ccd_flats(missing={(0, led, at) for led in (7, 8, 9) for at in range(3)})
    alone = {(ccd, led, at) for ccd in range(1, 5) for led in (7, 8, 9) for at in range(3, 6)}
    apart, _ = ccd_flats(missing=alone | {(0, led, at) for led in (7, 8, 9) for at in range(3)})
    assert relative_light([flat.lamps for flat in flats])[0] != 1.0
    assert relative_light([flat.lamps for flat in apart]) == pytest.approx([1.0] * 5)


def test_a_suspect_flat_has_a_level_and_does_not_count():
    flats, _ = ccd_flats(missing=())
    table, without = focal_plane(flats, suspects=[2]), focal_plane([flat for flat in flats if flat.ccdid != 2])
    assert common_level(table) == pytest.approx(common_level(without))
    assert level_for(table, 2) == common_level(table)
    assert table.schema.metadata[b"N_CCD"] == b"4"
    with pytest.raises(BadData, match=r"CCD 2 is not in the focal-plane table"):
        level_for(without, 2)


@given(
    kept=st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=2, max_size=8),
    seed=st.integers(0, 99),
)
def test_quadrants_that_lack_frames_do_not_move_the_levels_of_the_frames(kept, seed):
    draw = np.random.default_rng(seed)
    kept[0] = {0, 1, 2, 3}  # so that all quadrants can be compared
    lamp = 1 + LAMP_SCATTER * draw.uniform(-1, 1, len(kept))
    response = draw.uniform(2e4, 4e4, 4)
    pixels = [
        {qid + 1: np.full(9, light * response[qid]) for qid in qids} for light, qids in zip(lamp, kept, strict=True)
    ]
    levels = _common_levels(pixels)
    if any(qids != kept[0] for qids in kept):
        np.testing.assert_allclose(levels / levels[0], lamp / lamp[0], rtol=1e-9)


def test_one_odd_value_does_not_move_the_factors_of_rows():
    rows, columns = np.array([0.9, 1.0, 1.2]), np.arange(1.0, 17.0)
    values = np.outer(rows, columns)
    values[0, 3] *= 1.5
    values[2, 5] = np.nan
    factors, _ = separate(values)
    # The sixteen columns' mean takes 1 / 16 of what the odd value is off in three rows; the median of the row none.
    np.testing.assert_allclose(factors, rows, rtol=0.01)


def test_a_flat_tells_its_frames_in_its_header():
    lamp = LampLevel(7, 2.0, 31234.5, {exposure_of("ztf_20190405090000_000000_zr_c06_f.fits.fz"): 31229.87, "b": 1e4})
    assert LampLevel.read(lamp.cards(), 7, 2.0) == lamp
    assert LampLevel.read({}, 7, 2.0) is None
    with pytest.raises(BadData, match="FRLEV7 is 'a:b:c', expected"):
        LampLevel.read({**lamp.cards(), "FRLEV7": "a:b:c"}, 7, 2.0)
