"""What a starflat leaves behind says what was fitted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.recipes import StarflatRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.correction import StarflatMap
from ztf_in2p3.starflat.model import fit_starflat
from ztf_in2p3.starflat.tables import map_table, parameter_table, residual_table, summary

RECIPE = StarflatRecipe(superpixels=3, gain=True)


@pytest.fixture(scope="module")
def measured():
    """As the recipe fits it, with outliers, variable stars and gains."""
    effects = Effects(map_cells=3, gain=0.01)
    table, truth = star_measurements(TINY, dithered_sequence(12, TINY), 1500, effects, seed=3)
    columns = {"u": table["x"], "v": table["y"], "ra": table["x"], "dec": table["y"], "g": table["colour"]}
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table, truth


@pytest.fixture(scope="module")
def starflat(measured):
    return fit_starflat(measured[0], TINY, RECIPE)


def test_squared_residuals_are_the_chi2_of_the_fit(measured, starflat):
    residuals = residual_table(starflat, measured[0]).to_pandas()
    used = ~(residuals.rejected | residuals.left_out)
    chi2 = ((residuals.residual / residuals.sigma)[used] ** 2).sum()
    assert chi2 == pytest.approx(starflat.fit.chi2, rel=1e-4)  # the fit keeps residuals in float32
    assert used.sum() == starflat.fit.stars.count[~starflat.fit.stars.variable].sum()
    assert residuals.rejected.sum() == len(starflat.fit.rejected) > 0
    assert residuals.left_out.sum() > 0


def test_residuals_of_outliers_tell_by_how_much_they_are_off(measured, starflat):
    table, truth = measured
    residuals = residual_table(starflat, table).to_pandas()
    used = ~(residuals.rejected | residuals.left_out)
    several = used.groupby(residuals.star_id).transform("sum") >= 3
    off = truth.outlier & ~residuals.left_out.to_numpy() & several.to_numpy()
    # Simulated 0.1 to 0.5 mag off; the mean of three others is good to a quarter of that at the faintest.
    assert off.sum() > 30
    assert residuals.residual[off].abs().min() > 0.1 - 5 * residuals.sigma[off].max() * np.sqrt(1 + 1 / 3)
    assert residuals.rejected[off].mean() > 0.95


def test_the_map_ready_to_apply_is_that_of_the_fit_with_the_gains(starflat):
    whole = StarflatMap.of_table(map_table(starflat, {"filter": "zr"}), TINY)
    assert (whole.map.shape, whole.colour_centre) == ((64, 3, 3), starflat.colour_centre)
    gain, flag = starflat.fit["gain"], starflat.fit["map"].flag.reshape(64, 3, 3)
    of_quadrant = dict(zip(gain.labels[:, 1].astype(int).tolist(), gain.value, strict=True))
    for rcid in range(64):
        trusted = np.where(flag[rcid] == 0, starflat.map[rcid] + of_quadrant[rcid], np.nan)
        np.testing.assert_allclose(whole.map[rcid], trusted)
    # At the centres of superpixels nothing is interpolated.
    x, y = (np.array([1, 0, 2]) + 0.5) * 80 - 0.5, (np.array([0, 2, 1]) + 0.5) * 256 / 3 - 0.5
    colour = np.array([0.5, 1.0, 2.0])
    expected = starflat.correction(7, x, y, colour) + of_quadrant[7]
    # The colour map has 2 x 2 cells: at a centre of the 3 x 3 it is that of the cell in which the centre lies.
    np.testing.assert_allclose(whole.correction(7, x, y, colour), expected, atol=1e-12)


def test_every_parameter_is_told_with_its_gauge(starflat):
    table = parameter_table(starflat)
    families = table["family"].to_pylist()
    assert {name: families.count(name) for name in set(families)} == {
        "zero_point": 12, "map": 64 * 9, "gain": 64, "colour_map": 64 * 4, "airmass": 1,
    }  # fmt: skip
    frame = table.to_pandas()
    for name, family in starflat.fit.parameters.items():
        np.testing.assert_array_equal(frame[frame.family == name].value, family.value)
        np.testing.assert_array_equal(frame[frame.family == name].sigma, family.sigma)
    told = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    assert set(told["gauge"]) == set(families)
    assert any("plane" in one["name"] for one in told["degeneracies"])
    assert told["fit"] == summary(starflat)
