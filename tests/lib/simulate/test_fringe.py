"""The sky's lines make fringes in zi, and the truth tells them apart from the sky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.simulate.chain import dark_rate
from ztf_in2p3.simulate.exposures import NightPlan, tiny_night
from ztf_in2p3.simulate.fringe import AMPLITUDES, amplitudes, patterns
from ztf_in2p3.simulate.truth import Truth

PLAN = tiny_night(ccdids=(6,), filters=(Filter.ZR, Filter.ZI), n_bias=0, n_led=1, n_flat=1, n_object=4)
RED, INFRARED = CcdExposure(PLAN.objects[0].exposure, 6), CcdExposure(PLAN.objects[-1].exposure, 6)


def test_fringes_are_the_difference_that_switching_them_off_makes():
    with_, without = Truth(PLAN), Truth(replace(PLAN, effects=replace(PLAN.effects, fringes=False)))
    fringes = with_.fringes(INFRARED, 2)
    difference = with_.detrended(INFRARED, 2) - without.detrended(INFRARED, 2)
    # Where no star saturates and no hot pixel spoils the flat; float32 sums of some 1000 ADU are good to 1e-3 ADU.
    hot = dark_rate(PLAN, Quadrant(6, 2)) > 0
    away = (with_.detrended(INFRARED, 2) < 20_000) & np.isfinite(difference) & ~hot
    np.testing.assert_allclose(difference[away], fringes[away], atol=1e-2)
    assert np.ptp(fringes) > 0.01 * PLAN.objects[-1].sky_adu
    np.testing.assert_array_equal(with_.detrended(RED, 2), without.detrended(RED, 2))
    assert not with_.fringes(RED, 2).any()


def test_a_plan_remembers_how_strong_the_lines_were():
    assert [bool(frame.fringes) for frame in PLAN.objects] == [False, False, True, True]
    read = NightPlan.from_json(PLAN.to_json())
    assert read == PLAN
    assert len({frame.fringes for frame in read.objects[2:]}) == 2


def test_amplitudes_scatter_around_what_they_should():
    drawn = np.log([amplitudes(1, 20190405000000 + i) for i in range(400)])
    # Logarithms of mean log(AMPLITUDES) and scatter 0.3 sqrt(2), so known to 0.42 / sqrt(400); four of those.
    np.testing.assert_allclose(drawn.mean(axis=0), np.log(AMPLITUDES), atol=4 * 0.3 * np.sqrt(2 / 400))
    # What all lines have in common correlates them by a half, known to 0.75 / sqrt(400).
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.5, abs=4 * 0.75 / 20)


def test_a_pattern_is_smooth_and_has_no_mean():
    (one, *_) = patterns(1, 20, (800, 800))
    assert np.abs(one).max() <= 1
    # A cosine over many contours: mean square 1/2 and no mean, as far as some 60 independent contours tell.
    assert abs(one.mean()) < 4 * np.sqrt(0.5 / 60)
    assert one.var() == pytest.approx(0.5, rel=4 * np.sqrt(0.5 / 60))
    # No contour is finer than 20 pixels, so a step of one pixel is a phase below 2 pi / 20.
    assert np.abs(np.diff(one, axis=1)).max() < 2 * np.pi / 20
