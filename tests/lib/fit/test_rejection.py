"""Rejection inside a star follows the plain rule and cannot go round in circles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.fit.model import Family, Model, Partition
from ztf_in2p3.fit.rejection import reject

CLIP = 5.0
NOTHING = np.zeros(1)


def one_star(y, sigma, kept=None):
    n = len(y)
    part = Partition(
        first=np.array([0, n]),
        index=np.zeros((n, 1), np.int32),
        value=np.zeros((n, 0), np.float32),
        y=np.asarray(y, np.float32),
        weight=(1 / np.asarray(sigma) ** 2).astype(np.float32),
        kept=np.ones(n, np.uint8) if kept is None else np.asarray(kept, np.uint8),
        star_id=np.array([1]),
        reference=np.zeros(1),
        anchor=np.zeros(1),
        anchor_mag=np.zeros(1),
        set_aside=np.zeros(1, np.uint8),
        origin=0,
    )
    return Model([Family("zero_point", np.arange(1))], [part]), part


def loss(part):
    """Sum of squared pulls, none counted for more than the clip: what rejection lowers."""
    w, kept = part.weight.astype(float), part.kept > 0
    mean = np.average(part.y, weights=w * kept)
    return np.sum(np.where(kept, w * (part.y - mean) ** 2, CLIP**2))


stars = arrays(np.float32, st.integers(1, 12), elements=st.floats(-100, 100, width=32))


@settings(deadline=None)
@given(stars, st.data())
def test_every_step_changes_one_measurement_and_lowers_the_loss(y, data):
    kept = data.draw(st.lists(st.booleans(), min_size=len(y), max_size=len(y)).filter(any))
    model, part = one_star(y, np.ones(len(y)), kept)
    before, was = loss(part), part.kept.copy()
    while changed := reject(model, NOTHING, CLIP, steps=1):
        assert changed == np.sum(was != part.kept) == 1
        assert loss(part) < before + 1e-4 * abs(before)
        before, was = loss(part), part.kept.copy()
    assert part.kept.any()


@settings(deadline=None)
@given(stars)
def test_at_rest_the_kept_are_within_the_clip_and_the_rejected_beyond(y):
    model, part = one_star(y, np.ones(len(y)))
    reject(model, NOTHING, CLIP)
    kept = part.kept > 0
    pull = np.abs(y - np.mean(y[kept], dtype=float))
    assert np.all(pull[kept] <= CLIP * (1 + 1e-4))
    assert np.all(pull[~kept] >= CLIP * (1 - 1e-4))


def test_the_worst_goes_first_and_the_others_are_judged_without_it():
    # With all, the mean is 4 and only the last is beyond the clip, by far; without it nothing is.
    model, part = one_star([0, 0.5, 1, -1, -0.5, 24], np.ones(6))
    assert reject(model, NOTHING, CLIP) == 1
    np.testing.assert_array_equal(part.kept, [1, 1, 1, 1, 1, 0])


def test_a_measurement_rejected_too_early_comes_back():
    model, part = one_star([0, 0.5, 1, -1, 3], np.ones(5), [1, 1, 1, 1, 0])
    assert reject(model, NOTHING, CLIP) == 1
    assert part.kept.all()


@pytest.mark.parametrize("pair", [[0.0, 30.0], [30.0, 0.0]])
def test_of_two_that_contradict_each_other_the_first_goes(pair):
    model, part = one_star(pair, np.ones(2))
    reject(model, NOTHING, CLIP)
    np.testing.assert_array_equal(part.kept, [0, 1])


def test_stars_set_aside_are_left_alone():
    model, part = one_star([0, 0, 0, 50], np.ones(4), [0, 0, 0, 0])
    part.set_aside[0] = 1
    assert reject(model, NOTHING, CLIP) == 0
