"""As many rows as the real camera has, read through a pocket, come back: background, first columns, overscan."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.lib.sensor.test_pocket_fit import profiles_of
from ztf_in2p3.camera import flip_readout
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.recipes import SensorRecipe
from ztf_in2p3.sensor.pocket_calibration import CcdPockets
from ztf_in2p3.sensor.pocket_fit import fit_equilibrium
from ztf_in2p3.sensor.readout import Readout
from ztf_in2p3.simulate.pocket import equilibrium_charge, pocket_of

CCD, NIGHT, KELVIN = 6, date(2020, 4, 5), 173.0
ROWS, COLUMNS, OVERSCAN = 3080, 104, 30
"""A pocket forgets within a few columns, so the rest of the real 3072 would add nothing but time."""
GAIN, NOISE, BIAS = 6.0, 1.5, 60.0
"""Electrons per ADU; ADU of read noise; ADU."""
MEAN_OFFSET = 1.015 * NOISE / np.sqrt(5 * ROWS)
"""ADU; error of the mean of a cubic through means of five columns, 0.0123: clipping at 3 sigma costs 3 % of it."""
QIDS, LEVELS = (1, 2, 3, 4), (100, 400, 1000)


@dataclass
class Frame:
    """What the readout asks of a raw file; linear, so that the pocket is all there is."""

    stored: np.ndarray
    behind: np.ndarray
    ccdid: int = CCD
    night: date = NIGHT
    path: str = "raw"
    header: fits.Header = field(default_factory=lambda: fits.Header({f"CCDTMP{CCD:02d}": KELVIN}))

    def pixels(self, qid, rows=slice(None)):
        return self.stored[rows].copy()

    def overscan(self, qid):
        return self.behind

    def gain(self, qid):
        return GAIN

    def read_noise(self, qid):
        return NOISE * GAIN


def exposed(level, model, qid, *, columns=COLUMNS, drift=None):
    """A frame of even sky, its photons (row, column) and its offset (row,), as stored."""
    rng = np.random.default_rng([qid, level])
    true = rng.poisson(level * GAIN, (ROWS, columns)) / GAIN
    pocket = pocket_of(model, NIGHT, Quadrant(CCD, qid), KELVIN)
    seen, behind = true, np.zeros((ROWS, OVERSCAN))
    if pocket:
        seen, behind = (flip_readout(part, qid) for part in pocket.read(flip_readout(true, qid), OVERSCAN))
    coefficients = 3 * rng.uniform(-1, 1, 4) if drift is None else drift
    offset = 1000 + np.polynomial.Polynomial(coefficients)(np.linspace(-1, 1, ROWS))
    parts = [
        (part + offset[:, None] + NOISE * rng.standard_normal(part.shape)).astype(np.float32)
        for part in (seen + BIAS, behind)
    ]
    return Frame(*parts), true, offset


@pytest.fixture(scope="module")
def measured():
    """Pockets of the CCD as a calibration from exposures finds them, not as they are."""
    functions = {}
    for qid in range(1, 5):

        def truth(observed, kelvin, qid=qid):
            return equilibrium_charge(observed, kelvin, Quadrant(CCD, qid))

        functions[qid] = fit_equilibrium(profiles_of(truth, qid, n_sky=150, n_flat=30))
    return CcdPockets(CCD, "ccd", functions)


def detrended(frame, model, qid, measured=None):
    """Light of a frame over its bias in readout order, and the readout that it was found with."""
    bias = np.full(frame.stored.shape, BIAS, np.float32)
    sensor = SensorRecipe(pocket=model or "none", linearise=False)
    readout = Readout.of_light(frame, qid, sensor, bias, pixels=frame.stored, pockets=measured)
    light = readout.linear(frame.pixels(qid)) - bias
    readout.recover(light)
    return light, readout


@pytest.fixture(scope="module", params=["powerlaw", "equilibrium"])
def errors(request, measured):
    """Of every level and amplifier: columns of light and of overscan; through a pocket, and without."""
    found = {}
    for model in (request.param, ""):
        for level in LEVELS:
            for qid in QIDS:
                frame, true, offset = exposed(level, model, qid)
                light, readout = detrended(frame, model, qid, measured)
                behind = flip_readout(frame.behind - readout.offset[:, None], qid)
                if model:
                    ends = flip_readout(frame.stored - offset[:, None] - BIAS, qid)[:, -64:].astype(np.float32)
                    left, _ = readout.pocket.recover(ends, np.zeros(ends.shape, bool), backwards=False)
                    behind = behind - readout.pocket.trailed_charge(left, OVERSCAN)
                columns = flip_readout(light - true, qid).mean(axis=0)
                found[bool(model), level, qid] = columns, behind.mean(axis=0)
    return found


def test_the_background_is_as_good_as_without_a_pocket(errors):
    for level in LEVELS:
        for qid in QIDS:
            through, without = (errors[model, level, qid][0][5:].mean() for model in (True, False))
            # The same noise, so what is left of the pocket alone; what is asked for is 0.05.
            assert abs(through - without) < 0.02
            assert abs(through) < 4 * MEAN_OFFSET
    every = [columns.mean() for (model, *_), (columns, _) in errors.items() if model]
    assert abs(np.mean(every)) < 4 * MEAN_OFFSET / np.sqrt(len(every))


@pytest.mark.parametrize("where", [0, 1], ids=["light", "overscan"])
def test_the_first_columns_are_right_to_a_tenth(errors, where):
    """Of the light, and of the overscan when the release that was predicted is taken out of it."""
    first = np.array([one[where][:5] for (model, *_), one in errors.items() if model])
    # A column's mean of read noise, up to 1.5 times as large where charge was put back, and the offset's: 0.05 ADU.
    noise = np.hypot(1.5 * NOISE / np.sqrt(ROWS), MEAN_OFFSET)
    assert np.abs(first).max() < 4.5 * noise
    # All levels and amplifiers together: 0.05 of noise, and what f is wrong by; what is asked for is 0.1.
    assert np.abs(first.mean(axis=0)).max() < 4 * noise / np.sqrt(len(first)) + 0.03


@settings(max_examples=30, deadline=None)
@given(
    coefficients=arrays(float, 4, elements=st.floats(-5, 5)),
    qid=st.sampled_from(QIDS),
    model=st.sampled_from(["", "powerlaw"]),
    level=st.sampled_from(LEVELS),
)
def test_any_cubic_drift_is_found_to_a_tenth(coefficients, qid, model, level):
    frame, _, offset = exposed(level, model, qid, columns=80, drift=coefficients)
    _, readout = detrended(frame, model, qid)
    # Four coefficients, each with the mean's error: a sum of four squares is 35 times one of them once in a million.
    assert np.sqrt(np.mean((readout.offset - offset) ** 2)) < 0.1
