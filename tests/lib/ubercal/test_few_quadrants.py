"""Exposures of one quadrant or CCD, and stars that stay where they are: what is known of zero points is not lost."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.recipes import RobustRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.ubercal.model import fit_ubercal

CLEAN = Effects(quadrant_zero_point=0.004, map=0, colour_map=0, airmass=0, outliers=0, variables=0)
DEFAULT = UbercalRecipe()


@pytest.fixture(scope="module")
def undithered():
    """Ten exposures of one field that do not move at all."""
    pointings = survey(1, 10, TINY, seed=2)
    pointings = dataclasses.replace(pointings, centre=np.zeros((10, 2)))
    return pointings, *star_measurements(TINY, pointings, 1200, CLEAN, seed=2)


def errors(zero, pointings, truth):
    """Zero points minus true ones, each connected part's own level taken out."""
    order = np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
    off = zero.value - truth.zero_point[at] - truth.quadrant_zero_point[at, zero.rcid]
    for component in range(zero.component.max() + 1):
        off[zero.component == component] -= np.mean(off[zero.component == component])
    return off


@pytest.mark.parametrize("rcids", [[20], [20, 21, 22, 23], list(range(64))])
def test_quadrants_whose_stars_are_on_no_other_have_zero_points_each_in_a_part_of_its_own(undithered, rcids):
    pointings, table, truth = undithered
    table = table.filter(pa.array(np.isin(table["rcid"].to_numpy(), rcids)))

    solved = fit_ubercal(table, TINY, DEFAULT)

    zero = solved.zero_points
    assert np.isfinite(zero.value).all()
    assert np.isfinite(zero.sigma).all()
    # Nothing compares two quadrants, and every exposure of a quadrant is compared with all others of it.
    assert zero.component.max() + 1 == len(rcids)
    for component in range(len(rcids)):
        assert len(np.unique(zero.rcid[zero.component == component])) == 1
    pull = errors(zero, pointings, truth) / zero.sigma
    # Ten exposures a quadrant, known to 1 / sqrt(2 n); the prior of the residuals is not their scatter: a tenth.
    assert np.std(pull) < 1.1 + 4 / np.sqrt(2 * len(pull))
    assert any("quadrants that share no star" in d.name and d.count == len(rcids) for d in solved.fit.degeneracies)
    assert np.isfinite(solved.repeatability.rms).any()


def test_healthy_measurements_of_an_only_quadrant_all_count():
    """Terms of the model that nothing determines do not change the errors, and so do not cost any row."""
    draw = np.random.default_rng(5)
    star, exposure = (index.ravel() for index in np.indices((50, 10)))
    seen = draw.random(len(star)) < 0.7
    star, exposure = star[seen], exposure[seen]
    noise, zero_point = draw.normal(0, 0.003, len(star)), draw.normal(0, 0.05, 10)
    columns = {
        "star_id": star,
        "exposure": exposure + 20190405000000,
        "rcid": np.full(len(star), 20, np.int8),
        "x": draw.uniform(5, 230, len(star)),
        "y": draw.uniform(5, 250, len(star)),
        "mag": draw.uniform(-12, -10, 50)[star] + zero_point[exposure] + noise,
        "mag_e": np.full(len(star), 0.003),
    }

    solved = fit_ubercal(pa.table(columns), TINY, dataclasses.replace(DEFAULT, held_out=0))

    assert solved.fit.quality.rows == len(star)  # 5 sigma: one of a million Gaussian deviates
    off = solved.zero_points.value - zero_point
    # Ten zero points but for their mean: chi2 of 9 degrees of freedom, in a thousand draws below 27.9.
    assert np.sum(((off - off.mean()) / solved.zero_points.sigma) ** 2) < 27.9


def test_an_exposure_without_a_star_in_common_has_no_zero_point(undithered):
    _, table, _ = undithered
    table = table.filter(pa.array(table["rcid"].to_numpy() == 20))
    last = table["exposure"].to_numpy() == table["exposure"].to_numpy().max()
    star = np.where(last, table["star_id"].to_numpy() + 1, table["star_id"].to_numpy())
    table = table.set_column(0, "star_id", pa.array(star)).sort_by("star_id")

    zero = fit_ubercal(table, TINY, DEFAULT).zero_points

    unknown = np.isnan(zero.value)
    np.testing.assert_array_equal(zero.exposure[unknown], [table["exposure"].to_numpy().max()])
    np.testing.assert_array_equal(zero.component < 0, unknown)


def test_dates_are_needed_only_by_terms_that_use_them(undithered):
    _, table, _ = undithered
    dated, undated = (fit_ubercal(t, TINY, DEFAULT).zero_points for t in (table, table.drop_columns(["mjd"])))
    np.testing.assert_array_equal(dated.value, undated.value)


def test_free_quadrants_are_factored_part_by_part_to_the_same_zero_points(undithered):
    _, table, _ = undithered
    plain = {"clip": np.inf, "variable": np.inf, "draws": 0}
    found = [
        fit_ubercal(table, TINY, UbercalRecipe(zero_points="quadrant", robust=RobustRecipe(method=method, **plain)))
        for method in ("direct", "iterative")
    ]
    np.testing.assert_allclose(*(one.zero_points.value for one in found), atol=1e-6)
