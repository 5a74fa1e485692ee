"""What is compiled about one exposure's pixels, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.scene.test_dense import small
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.node_kernels import LANES, pick_pixels
from ztf_in2p3.scene.pixel_kernels import border_level, keep_pixels, orthonormal


@given(seed=st.integers(0, 2**32 - 1), alike=st.floats(-6, 0))
def test_columns_nearly_alike_become_orthonormal(seed, alike):
    random = np.random.default_rng(seed)
    columns = random.normal(size=(5, 60)) * 10.0 ** random.uniform(-4, 4, size=(5, 1))
    columns[3] = columns[0] + 10**alike * columns[3]
    q = columns.copy()
    r = orthonormal(q)
    # Rounding errors of sums over 60 numbers, each part in 1e16 of them.
    np.testing.assert_allclose(q @ q.T, np.eye(5), atol=1e-13)
    np.testing.assert_allclose(r.T @ q, columns, atol=1e-13 * np.abs(columns).max())
    assert np.array_equal(r, np.triu(r))


def test_a_column_of_nothing_stays_nothing():
    columns = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    assert np.array_equal(orthonormal(columns), [[5.0, 0.0], [0.0, 0.0]])
    assert np.array_equal(columns[1], np.zeros(3))


@given(side=st.integers(2, 31), seed=st.integers(0, 99))
def test_the_border_is_every_outermost_pixel_once(side, seed):
    light = np.random.default_rng(seed).normal(size=(side, side))
    outside = np.ones((side, side), bool)
    outside[1:-1, 1:-1] = False
    assert border_level(light) == np.median(light[outside])


def test_only_pixels_beyond_the_threshold_and_near_the_worst_go():
    rest = np.array([3.0, 5.5, 20.0, 8.0, 50.0, np.nan])
    start = np.array([True, True, True, True, False, False])
    keep, pull, variance = np.zeros(6, bool), np.zeros(6), np.zeros(6)
    keep_pixels(rest, start, np.array([0.0, -9.0, 0.0, 3.0, 0.0, 0.0]), 1.0, 0.0, 5.0, keep, pull, variance)
    # 5.5 is beyond the threshold, but the worst may have drawn it there; light below the border has no photons.
    assert keep.tolist() == [True, True, False, True, False, False]
    np.testing.assert_allclose(pull, [3, 5.5, 20, 4, 0, 0])
    np.testing.assert_allclose(variance, [1, 1, 1, 4, 1, 1])
    keep_pixels(rest, start, np.full(6, 3.0), 0.0, 1.0, 5.0, keep, pull, variance)
    assert keep.tolist() == [True, True, False, True, False, False]
    np.testing.assert_allclose(pull[:4], rest[:4])  # what the model may be wrong by rejects less, and pulls no less


@given(side=st.integers(LANES, 2 * LANES + 1), x=st.floats(-2, 2), y=st.floats(-2, 2))
def test_nodes_are_drawn_alike_in_stamps_of_any_size(side, x, y):
    """The same nodes, in the corner of a large stamp and in a small one: lanes that overlap write what they should."""
    series = small(3, n=2, side=2 * LANES + 1)
    series.origin[:] += (x, y)
    nodes = Nodes(1.0, 4)
    whole = Design(series, nodes, np.arange(2)).draw(1).reshape(len(nodes), series.side, series.side)
    part = small(3, n=2, side=side)
    part.origin[:] = series.origin
    drawn = Design(part, nodes, np.arange(2)).draw(1).reshape(len(nodes), side, side)
    np.testing.assert_allclose(drawn, whole[:, :side, :side], atol=2e-6 * whole.max())


def test_a_stamp_too_small_for_a_galaxy_is_refused():
    series = small(3, n=2, side=LANES - 1)
    with pytest.raises(ValueError, match=f"stamps of {LANES - 1} pixels: a galaxy needs at least {LANES}"):
        Design(series, Nodes(1.0, 4), np.arange(2))


def test_picked_pixels_are_those_of_the_nodes():
    nodes = np.random.default_rng(1).normal(size=(4, 9))
    some, weights, out = np.array([1, 5, 8]), np.array([2.0, 1.0, 0.5]), np.full((6, 3), 7.0)
    pick_pixels(nodes, some, weights, out)
    np.testing.assert_array_equal(out[:4], nodes[:, some] * weights)
    np.testing.assert_array_equal(out[4:], 7.0)
