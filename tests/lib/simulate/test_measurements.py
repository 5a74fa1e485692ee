"""Simulated measurements are what their truth says."""

from dataclasses import replace

import numpy as np
import pytest

from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements, survey

NOTHING = Effects(
    zero_point=0, map=0, colour_map=0, airmass=0, error_floor=0, outliers=0, variables=0
)  # fmt: skip


def of(table, *names):
    return [table[name].to_numpy() for name in names]


def test_without_any_effect_a_star_is_seen_at_its_own_magnitude():
    table, truth = star_measurements(TINY, dithered_sequence(8, TINY), 500, NOTHING)
    star_id, mag, mag_e = of(table, "star_id", "mag", "mag_e")
    pull = (mag - truth.star_mag[(star_id - 4_000_000_000) // 7]) / mag_e
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * len(pull))
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))


def test_a_table_is_sorted_by_star_and_its_positions_are_on_their_quadrants():
    table, _ = star_measurements(ZTF, dithered_sequence(5, ZTF), 500)
    star_id, x, y, ccd, qid, rcid = of(table, "star_id", "x", "y", "ccd", "qid", "rcid")
    assert np.all(np.diff(star_id) >= 0)
    rows, columns = ZTF.shape
    # Stored as float32: the last position before an edge may be written as the edge.
    assert np.all((x >= -0.5) & (x <= columns - 0.5) & (y >= -0.5) & (y <= rows - 0.5))
    np.testing.assert_array_equal(rcid, [Quadrant(int(c), int(q)).rcid for c, q in zip(ccd, qid, strict=True)])


def test_a_star_stands_still_on_the_sky():
    pointings = dithered_sequence(12, ZTF, seed=3)
    table, _ = star_measurements(ZTF, pointings, 200, seed=3)
    star_id, exposure, x, y, rcid = of(table, "star_id", "exposure", "x", "y", "rcid")
    uv = np.array([ZTF.focal_plane(Quadrant.of_rcid(int(r)), *xy) for r, *xy in zip(rcid, x, y, strict=True)])
    sky = uv + pointings.centre[np.searchsorted(pointings.exposure, exposure)]
    for one in np.unique(star_id):
        np.testing.assert_allclose(np.ptp(sky[star_id == one], axis=0), 0, atol=2e-3)  # float32 pixels


@pytest.mark.parametrize(
    ("name", "amplitude"),
    [
        ("zero_point", {"zero_point": 0.1}),
        ("map", {"map": 0.1, "map_cells": 1}),
        ("colour_map", {"colour_map": 0.1, "colour_cells": 1}),
        ("airmass", {"airmass": 0.3}),
    ],
)
def test_each_effect_moves_measurements_by_what_the_truth_says(name, amplitude):
    effects = replace(NOTHING, **amplitude)
    pointings = dithered_sequence(10, ZTF, seed=1)
    table, truth = star_measurements(ZTF, pointings, 400, effects, seed=1)
    star_id, exposure, rcid, colour, airmass, mag, mag_e = of(
        table, "star_id", "exposure", "rcid", "colour", "airmass", "mag", "mag_e"
    )
    moved = {
        "zero_point": truth.zero_point[np.searchsorted(pointings.exposure, exposure)],
        "map": truth.map[rcid, 0, 0],
        "colour_map": truth.colour_map[rcid, 0, 0] * (colour - truth.colour_centre),
        "airmass": truth.airmass_coefficient * (airmass - 1),
    }[name]
    pull = (mag - truth.star_mag[(star_id - 4_000_000_000) // 7] - moved) / np.hypot(mag_e, effects.error_floor)
    assert moved.std() > 0.001
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * len(pull))


def test_outliers_are_as_many_and_as_far_off_as_asked_for():
    effects = Effects(zero_point=0, map=0, colour_map=0, airmass=0, outliers=0.05, variables=0)
    table, truth = star_measurements(TINY, dithered_sequence(20, TINY), 2000, effects)
    star_id, mag, mag_e = of(table, "star_id", "mag", "mag_e")
    off = np.abs(mag - truth.star_mag[(star_id - 4_000_000_000) // 7])
    n = table.num_rows
    assert abs(truth.outlier.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n)
    noise = 6 * np.hypot(mag_e, effects.error_floor)
    assert np.all(off[truth.outlier] > 0.1 - noise[truth.outlier])
    assert np.all(off[~truth.outlier] < noise[~truth.outlier])


def test_a_survey_overlaps_and_its_exposures_have_names_of_their_own():
    pointings = survey(6, 4, TINY)
    assert len(np.unique(pointings.exposure)) == len(pointings) == 24
    table, _ = star_measurements(TINY, pointings, 1500)
    star_id, exposure = of(table, "star_id", "exposure")
    field = np.searchsorted(np.sort(pointings.exposure), exposure)
    several = [len(np.unique(field[star_id == one])) for one in np.unique(star_id)[:200]]
    assert np.mean(several) > 3
