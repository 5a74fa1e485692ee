"""What the pocket did to a row is undone, whatever the row; the forward model is the simulator's own."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.sensor.pocket import pocket_of, power_law_of
from ztf_in2p3.simulate.pocket import power_law_pocket

EXACT = 0.01
"""ADU.  Float32 of 60 000 ADU is 0.004 apart, and the pocket passes errors of the last pixels on."""
rcids = st.integers(0, 63)


def recovered(observed, quadrant, *, backwards=False):
    light, lost = observed.astype(np.float32, order="C"), np.zeros(observed.shape, bool)
    charge, n_lost = power_law_of(quadrant).recover(light, lost, backwards=backwards)
    assert n_lost == lost.sum()
    return light, charge, lost


@pytest.mark.parametrize("rcid", range(64))
def test_sky_stars_and_edges_come_back_on_every_amplifier(rcid):
    rng, quadrant = np.random.default_rng(rcid), Quadrant.of_rcid(rcid)
    least = 1.3 * power_law_of(quadrant).threshold
    true = np.exp(rng.uniform(np.log(least), np.log(60_000), (300, 100)))  # jumps from any level to any other
    true[:100] = least + 100 + rng.poisson(600, (100, 100)) / 6
    true[50:100, 40:44] += rng.uniform(0, 58_000, (50, 4))
    observed, overscan = power_law_pocket(quadrant).read(true, 30)

    light, charge, lost = recovered(observed, quadrant)

    np.testing.assert_allclose(light, true, atol=EXACT)
    assert not lost.any()
    np.testing.assert_allclose(power_law_of(quadrant).trailed_charge(charge, 30), overscan, atol=EXACT)


@settings(max_examples=100, deadline=None)
@given(
    rows=arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=st.floats(0, 60_000)),
    rcid=rcids,
)
def test_no_charge_is_made_or_lost_and_what_is_known_is_right(rows, rcid):
    quadrant = Quadrant.of_rcid(rcid)
    observed, _ = power_law_pocket(quadrant).read(rows, 0)
    light, _, lost = recovered(observed, quadrant)
    for true, found, below in zip(rows, light, lost, strict=True):
        # Until the first pixel that was below threshold; the pocket is not known behind it.
        known = slice(0, int(np.argmax(below)) if below.any() else None)
        # Close to that charge the equation is flat: the slope there is 1 - beta, 0.5 at the least.
        np.testing.assert_allclose(found[known], true[known], atol=2 * EXACT)


@settings(max_examples=50, deadline=None)
@given(rows=arrays(np.float32, (3, 40), elements=st.floats(-50, 60_000, width=32)), rcid=rcids)
def test_the_side_of_the_amplifier_is_only_a_matter_of_order(rows, rcid):
    light, charge, lost = recovered(rows, Quadrant.of_rcid(rcid))
    mirrored = recovered(rows[:, ::-1], Quadrant.of_rcid(rcid), backwards=True)
    np.testing.assert_array_equal(mirrored[0][:, ::-1], light)
    np.testing.assert_array_equal(mirrored[1], charge)
    np.testing.assert_array_equal(mirrored[2][:, ::-1], lost)


@settings(max_examples=50, deadline=None)
@given(rows=arrays(np.float32, (3, 40), elements=st.floats(-1e6, 1e6, width=32)), rcid=rcids)
def test_rows_know_nothing_of_each_other_and_stay_finite(rows, rcid):
    together = recovered(np.vstack([rows] * 100), Quadrant.of_rcid(rcid))[0]
    alone = np.vstack([recovered(row[np.newaxis], Quadrant.of_rcid(rcid))[0] for row in rows])
    assert np.isfinite(alone).all()
    # As many lanes of a register as the rows fill: to the last bits.
    np.testing.assert_allclose(together[:3], alone, rtol=1e-5, atol=1e-3)


def test_a_dark_row_is_left_as_it_is_and_marked():
    rng, quadrant = np.random.default_rng(3), Quadrant(3, 1)
    dark = rng.normal(0, 1.5, (50, 500)).astype(np.float32)
    light, _, lost = recovered(dark, quadrant)
    np.testing.assert_array_equal(light[lost], dark[lost])
    assert lost.mean() > 0.5


def test_a_missing_pixel_does_not_spoil_those_behind_it():
    quadrant = Quadrant(3, 1)
    observed, _ = power_law_pocket(quadrant).read(np.full((2, 200), 400.0), 0)
    whole = recovered(observed, quadrant)[0]
    observed[:, 100] = np.nan
    light, _, lost = recovered(observed, quadrant)
    assert np.isnan(light[:, 100]).all()
    assert not lost.any()
    np.testing.assert_allclose(np.delete(light, 100, 1), np.delete(whole, 100, 1), atol=EXACT)


def test_a_pocket_begins_one_night_and_can_be_left_alone():
    quadrant = Quadrant(3, 1)
    assert pocket_of(quadrant, date(2019, 10, 22), "powerlaw") is None
    assert pocket_of(quadrant, date(2019, 10, 23), "powerlaw") == power_law_of(quadrant)
    assert pocket_of(quadrant, date(2020, 1, 1), "none") is None
    with pytest.raises(MissingProduct, match="calibrate the pocket first"):
        pocket_of(quadrant, date(2020, 1, 1), "equilibrium")
    with pytest.raises(ValueError, match="no pocket model 'magic'"):
        pocket_of(quadrant, date(2020, 1, 1), "magic")


def test_the_table_holds_what_was_published():
    threshold = np.sort([power_law_of(Quadrant.of_rcid(rcid)).threshold for rcid in range(64)])
    # Median 18 ADU; 29 of 64 above 20, three above 50, none above 69.
    assert np.median(threshold) == pytest.approx(18, abs=1)
    assert ((threshold > 20).sum(), (threshold > 50).sum(), (threshold > 69.5).sum()) == (29, 3, 0)
