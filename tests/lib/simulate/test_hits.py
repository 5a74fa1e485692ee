"""Radiation hits come at their rate, and with the charge of what made them."""

import numpy as np
import pytest

from ztf_in2p3.simulate import hits
from ztf_in2p3.simulate.seeds import generator

SHAPE = (600, 600)
AREA_CM2 = (600 * 15e-4) ** 2


def test_hits_come_at_their_rate():
    n = sum(len(list(hits.hits(SHAPE, 60.0, generator(i, "hits")))) for i in range(100))
    expected = 100 * AREA_CM2 * (hits.MUON_RATE + hits.WORM_RATE + hits.POINT_RATE)
    assert n == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_diffusion_keeps_the_charge_and_spreads_it_by_a_third_of_a_pixel():
    charge = np.zeros((41, 41))
    hits.deposit(charge, np.full(1, 20.0), np.full(1, 20.0), np.array([1e6]), generator(1, "deposit"))
    assert charge.sum() == pytest.approx(1e6)
    row = np.arange(41) - 20
    spread = (charge.sum(axis=1) * row**2).sum() / 1e6
    # Rounded to pixels: 9 % of the charge lie further than half a pixel away, all of it in the next one.
    assert spread == pytest.approx(0.0956, rel=0.05)
    np.testing.assert_array_equal(np.flatnonzero(charge.sum(axis=1)), np.arange(18, 23)[1:-1])


def test_a_muon_leaves_what_the_depth_makes_of_its_inclination():
    rng = generator(2, "muons")
    tracks = [hits.muon(rng) for _ in range(2000)]
    length = np.array([np.hypot(*(place[-1] - place[0] for place in track[:2])) for track in tracks])
    electrons = np.array([track[2].sum() for track in tracks])
    path = np.hypot(length * hits.PIXEL_UM, hits.DEPTH_UM)
    # 80 electrons per micrometre, with the scatter of a lognormal of 0.3: its mean is 4.6 % above the median.
    assert np.median(electrons / path) == pytest.approx(hits.MUON_E_PER_UM, rel=4 * 0.3 * 1.25 / np.sqrt(2000) + 0.04)
    assert 0.5 < np.median(length) < 4


def test_tracks_are_straight_and_worms_are_not():
    def straightness(track):
        steps = np.hypot(np.diff(track[0]), np.diff(track[1])).sum()
        return np.hypot(track[0][-1] - track[0][0], track[1][-1] - track[1][0]) / steps

    rng = generator(3, "tracks")
    muons = [straightness(track) for track in (hits.muon(rng) for _ in range(200)) if len(track[0]) > 1]
    assert min(muons) == pytest.approx(1)
    assert np.median([straightness(hits.worm(rng)) for _ in range(200)]) < 0.9
