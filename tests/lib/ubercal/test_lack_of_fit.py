"""What the model lacks is named with its date, CCD and size; and nothing is where nothing lacks."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.sources import TableSource
from ztf_in2p3.recipes import RobustRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.ubercal.lack_of_fit import lack_of_fit
from ztf_in2p3.ubercal.model import fit_ubercal
from ztf_in2p3.ubercal.tables import summary

EFFECTS = Effects(quadrant_zero_point=0.003, map=0, colour_map=0, airmass=0, outliers=0.01, variables=0.01)
RECIPE = UbercalRecipe(robust=RobustRecipe(draws=0))


@pytest.fixture(scope="module")
def month():
    pointings = survey(2, 16, TINY, seed=6)
    return pointings, star_measurements(TINY, pointings, 3000, EFFECTS, seed=6)[0]


def fainter(table, by):
    return table.set_column(table.column_names.index("mag"), "mag", pa.array(table["mag"].to_numpy() + by))


def lack_of(table, recipe=RECIPE):
    solved = fit_ubercal(table, TINY, recipe)
    return solved, lack_of_fit(solved, TableSource(table))


def test_a_healthy_survey_lacks_nothing(month):
    solved, lack = lack_of(month[1])
    assert str(lack) == "none"
    assert lack.epochs == ()
    assert summary(solved, lack)["lack_of_fit"] == "none"


def test_a_step_of_a_quadrant_is_found_with_its_date_and_its_epoch_cures_it(month):
    pointings, table = month
    change = float(np.median(pointings.mjd)) + 0.3
    stepped = (table["rcid"].to_numpy() == 21) & (table["mjd"].to_numpy() > change)
    table = fainter(table, 0.03 * stepped)

    solved, lack = lack_of(table)

    (step,) = lack.steps
    assert step.rcid == 21
    assert abs(step.size - 0.03) < 5 * step.sigma + 0.005  # good measurements far from the mean of both were rejected
    # Between the same two exposures of this quadrant, or one further.
    dates = np.unique(table.filter(pa.array(table["rcid"].to_numpy() == 21))["mjd"].to_numpy())
    assert abs(np.searchsorted(dates, step.mjd) - np.searchsorted(dates, change)) <= 1
    assert "rcid 21 by +" in str(summary(solved, lack)["lack_of_fit"])
    cured = lack_of(table, dataclasses.replace(RECIPE, epochs=lack.epochs))[1]
    assert cured.steps == ()


def test_a_colour_term_of_a_ccd_is_found_and_fitting_it_cures_it(month):
    _, table = month
    colour = table["colour"].to_numpy().astype(float)
    table = fainter(table, np.where(table["ccd"].to_numpy() == 7, 0.03 * (colour - 1), 0))

    lack = lack_of(table)[1]

    (slopes,) = (one for one in lack.slopes if one.against == "colour")
    # Its neighbours share stars with it, whose means took up a part: they lean the other way, and less.
    assert slopes.ccd[np.argmax(np.abs(slopes.slope))] == 7
    assert slopes.significant[6]
    assert slopes.significant.sum() <= 3
    # A part of it is in the stars' means, of those that CCD 7 measured more than once.
    assert 0.015 < slopes.slope[6] < 0.035
    assert "CCD 7" in str(lack)
    cured = lack_of(table, dataclasses.replace(RECIPE, colour=True))[1]
    assert not next(one for one in cured.slopes if one.against == "colour").significant.any()
