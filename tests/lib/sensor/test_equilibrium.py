"""The equilibrium pocket is undone; the forward model is the simulator's."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.sensor.equilibrium import NODES, Equilibrium
from ztf_in2p3.simulate.pocket import equilibrium_charge, pocket_of

QUADRANT, KELVIN = Quadrant(6, 1), 173.0
POCKET = Equilibrium(equilibrium_charge(NODES.astype(float), KELVIN, QUADRANT).astype(np.float32))
COLUMNS = 30


def read(true, kelvin=KELVIN):
    return pocket_of("equilibrium", date(2020, 1, 1), QUADRANT, kelvin).read(true, COLUMNS)


def recovered(observed, *, backwards=False):
    light = observed.astype(np.float32, order="C")
    left, n_lost = POCKET.recover(light, np.zeros(light.shape, bool), backwards=backwards)
    assert n_lost == 0
    return light, left


@settings(max_examples=60, deadline=None)
@given(rows=arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=st.floats(20, 60_000)))
def test_any_row_comes_back_with_its_overscan(rows):
    observed, behind = read(rows)
    light, left = recovered(observed)
    # The table is straight between nodes 1/64 of an octave apart: 1e-5 of 300 ADU, and float32 of 60 000.
    np.testing.assert_allclose(light, rows, atol=0.02)
    np.testing.assert_allclose(POCKET.trailed_charge(left, COLUMNS), behind, atol=0.01)


@settings(max_examples=40, deadline=None)
@given(rows=arrays(np.float32, (2, 40), elements=st.floats(-1e4, 7e4, width=32)))
def test_charge_is_kept_and_sides_do_not_matter(rows):
    light, left = recovered(rows)
    # What a row lacks is in the pocket: float32 sums of 40 values of up to 7e4.
    np.testing.assert_allclose(light.sum(axis=1, dtype=float) - rows.sum(axis=1, dtype=float), left, atol=1.0)
    mirrored, left_there = recovered(rows[:, ::-1], backwards=True)
    np.testing.assert_array_equal(mirrored[:, ::-1], light)
    np.testing.assert_array_equal(left_there, left)


def test_a_missing_pixel_leaves_the_pocket_as_it_was():
    observed, _ = read(np.full((1, 100), 400.0))
    whole, _ = recovered(observed)
    observed[:, 50] = np.nan
    for backwards in (False, True):
        part = observed[:, ::-1] if backwards else observed
        light = recovered(part, backwards=backwards)[0]
        light = light[:, ::-1] if backwards else light
        np.testing.assert_allclose(np.delete(light, 50, 1), np.delete(whole, 50, 1), atol=0.01)


def test_a_pocket_that_empties_with_the_level_is_none():
    with pytest.raises(ValueError, match="not fall with the level"):
        Equilibrium(POCKET.charge[::-1].copy())
