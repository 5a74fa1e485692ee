"""Responses of readout channels from flats: what light and clock tell, and what they cannot."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from ztf_in2p3.camera import ZTF
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import LinearityRecipe
from ztf_in2p3.sensor.linearity import linearity_of
from ztf_in2p3.sensor.linearity_fit import FlatLevel, fit_linearity, linearity_table
from ztf_in2p3.simulate.detector import linearity_constants, measured

CCD, NIGHT = 3, date(2019, 4, 5)
RECIPE = LinearityRecipe()
TRUE = [linearity_constants(Quadrant(CCD, qid), NIGHT) for qid in (1, 2, 3, 4)]
RESPONSE = np.array([1.0, 1.03, 0.97, 1.05])
TIMES = np.linspace(1, 16, 16)
"""Seconds."""
SEEDS = range(12)
SIGNALS = np.array([5_000.0, 20_000.0, 45_000.0])


def flats(seed, *, times=TIMES, repeats=2, scatter=RECIPE.lamp_scatter, power=30.0, bend=0.0):
    """Levels of flats of one lamp: 3 kADU a second; `bend`: of the lamp's light against time, at 50 kADU."""
    rng = np.random.default_rng(seed)
    dark = np.array([60.0, 75.0, 80.0, 90.0])
    found = []
    for time in np.repeat(times, repeats):
        light = 3000 * time * (1 + scatter * rng.normal()) * (1 + bend * 3000 * time / 50_000)
        true = RESPONSE * light + dark
        shown = np.array([measured(t, a, b) for t, (a, b) in zip(true, TRUE, strict=True)])
        error = np.full(4, 0.3)
        found.append(FlatLevel(2, power, float(time), shown + error * rng.normal(size=4), dark, error))
    return found


def correction(a, b, signals=SIGNALS):
    return 1 / ((a * signals + b) * signals + 1)


@pytest.fixture(scope="module")
def fits():
    return [fit_linearity(flats(seed), ZTF, RECIPE) for seed in SEEDS]


def test_the_response_is_found_within_its_errors(fits):
    pulls = []
    for fit in fits:
        for (a, b), found, covariance in zip(TRUE, fit.responses, fit.covariances, strict=True):
            slope = -np.stack([SIGNALS**2, SIGNALS], axis=1) * correction(a, b)[:, None] ** 2
            error = np.sqrt(np.einsum("ij,jk,ik->i", slope, covariance, slope))
            pulls.append((correction(found.a, found.b) - correction(a, b)) / error)
    pulls = np.array(pulls)
    assert np.abs(pulls).max() < 4.5
    # The lamp moves all channels and signals of a fit together: as many independent ones as fits.
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=4 / np.sqrt(2 * len(fits)))


def test_how_channels_differ_does_not_depend_on_the_lamp(fits):
    """It is known from the noise of the levels, many times better than what they have in common."""
    wrong = np.array([
        [correction(one.a, one.b, r * SIGNALS) / correction(*true, r * SIGNALS) - 1
         for r, one, true in zip(RESPONSE, fit.responses, TRUE, strict=True)]
        for fit in fits
    ])  # fmt: skip
    common = np.sqrt(np.mean(wrong.mean(axis=1) ** 2))
    own = np.sqrt(np.mean((wrong - wrong.mean(axis=1, keepdims=True)) ** 2))
    # 32 flats of 3 to 48 kADU, each with an error of 0.3 ADU: 2e-5 at the middle one, and less together.
    assert own < 2e-5
    # The lamp: 0.005 / sqrt(32) = 9e-4, and its lever.
    assert common > 20 * own


def test_a_lamp_that_bends_is_taken_for_the_channels_response():
    """The gauge: light is proportional to the time.  A lamp that breaks it moves all channels alike."""
    straight, bent = (fit_linearity(flats(0, bend=bend), ZTF, RECIPE) for bend in (0.0, 0.01))
    moved = np.array([
        correction(new.a, new.b) / correction(old.a, old.b)
        for old, new in zip(straight.responses, bent.responses, strict=True)
    ])  # fmt: skip
    relative = moved[:, 2] / moved[:, 0] - 1
    # 1 % at 50 kADU is 0.8 % from 5 to 45 kADU.
    np.testing.assert_allclose(relative, -0.008, atol=2e-3)
    assert np.ptp(relative) < 0.1 * abs(relative.mean())


def test_frames_that_tell_nothing_are_left_out():
    bright = flats(1, times=np.array([18.0, 19.0]))  # 54 kADU and more: too near saturation
    other = [replace(one, power=90.0) for one in flats(2, times=np.array([2.0, 3.0]))]  # too short a range
    fit = fit_linearity([*bright, *flats(3), *other], ZTF, RECIPE)
    assert sorted(fit.used) == list(range(len(bright), len(bright) + 32))


def test_flats_of_one_exposure_time_are_refused():
    with pytest.raises(BadData, match=r"32 flats of 1 lamps and powers.*over a range of 3 .widest: 1\.0.*several"):
        fit_linearity(flats(0, times=np.full(16, 10.0)), ZTF, RECIPE)


def test_the_table_stands_beside_the_dated_one(fits):
    table = linearity_table(fits[0], CCD, Period.of(NIGHT)).to_pylist()
    for row in table:
        known = linearity_of(Quadrant(CCD, row["qid"]).rcid, NIGHT)
        assert (row["table_a"], row["table_b"], row["n_frame"]) == (known.a, known.b, 32)
        # 0.3 ADU of 3000 at least.
        assert np.abs(row["left"]).max() < 4.5 * 0.3 / 3000
        assert np.std(row["lamp"]) == pytest.approx(RECIPE.lamp_scatter, rel=4 / np.sqrt(2 * 32))
