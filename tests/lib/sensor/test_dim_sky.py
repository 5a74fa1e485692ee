"""Where a pocket may have captured a pixel whole, nothing tells what it held: such pixels are flagged, not guessed."""

from datetime import date

import numpy as np
import pytest

from ztf_in2p3.camera import flip_readout
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.sensor.equilibrium import NODES, Equilibrium
from ztf_in2p3.sensor.pocket import power_law_of
from ztf_in2p3.simulate.pocket import equilibrium_charge, pocket_of

NIGHT, KELVIN, NOISE, GAIN, ROWS = date(2020, 4, 1), 172.0, 1.5, 6.0, 400
DEEP, SHALLOW = Quadrant(6, 1), Quadrant(11, 2)
"""Pockets that capture up to 69 and 18 ADU whole, of the 64 the deepest and the median."""


def recovered(model, quadrant, sky):
    """Recovered less true light (row, column) in ADU, and which of it is flagged."""
    rng = np.random.default_rng(int(sky))
    true = rng.poisson(sky * GAIN, (ROWS, 60)) / GAIN
    observed, _ = pocket_of(model, NIGHT, quadrant, KELVIN).read(true, 30)
    light = (observed + rng.normal(0, NOISE, observed.shape)).astype(np.float32)
    light, true = (np.ascontiguousarray(flip_readout(part, quadrant.qid)) for part in (light, true))
    lost = np.zeros(light.shape, bool)
    if model == "powerlaw":
        pocket = power_law_of(quadrant)
    else:
        pocket = Equilibrium(equilibrium_charge(NODES, KELVIN, quadrant).astype(np.float32))
    pocket.recover(light, lost, backwards=quadrant.qid in (2, 3), noise=NOISE)
    return flip_readout(light - true, quadrant.qid), flip_readout(lost, quadrant.qid)


@pytest.mark.parametrize("model", ["powerlaw", "equilibrium"])
@pytest.mark.parametrize("quadrant", [DEEP, Quadrant(6, 3), SHALLOW])
@pytest.mark.parametrize("sky", [10, 30, 60, 100])
def test_what_is_not_flagged_is_right(model, quadrant, sky):
    error, lost = recovered(model, quadrant, sky)
    for column in range(8):
        known = error[~lost[:, column], column]
        if len(known):
            # A column's mean to four sigma of the inverted read noise: the inversion widens it up to three times.
            assert abs(known.mean()) < 4 * 3 * NOISE / np.sqrt(len(known)), column


def test_a_sky_above_the_pocket_is_not_flagged_and_one_below_it_is():
    assert not recovered("powerlaw", DEEP, 100)[1].any()
    assert not recovered("powerlaw", SHALLOW, 60)[1].any()
    assert recovered("powerlaw", DEEP, 30)[1].all()
    # At 60 ADU over 57 only the first columns fill the pocket.
    lost = recovered("powerlaw", Quadrant(6, 3), 60)[1]
    assert lost[:, :8].all()
    assert lost[:, 20:].mean() < 0.02
