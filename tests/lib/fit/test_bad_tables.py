"""On a bad day zero points and response maps are right within their errors, or say that they are not: never silent."""

import pytest

from tests.lib.fit.bad_tables import (
    is_acceptable,
    sequence_cell,
    sequence_table,
    survey_cell,
    survey_table,
    undithered_cell,
)
from ztf_in2p3.simulate.table_faults import RIGHT, SURVEY_FAULTS, TABLE_FAULTS, TableFault

SOUND = TableFault(lambda rows, draw: None, RIGHT)


@pytest.fixture(scope="module")
def months():
    return survey_table()


@pytest.fixture(scope="module")
def night():
    return sequence_table()


def test_sound_tables_have_nothing_to_say(months, night):
    assert survey_cell(months, "sound", SOUND).outcome == RIGHT
    assert sequence_cell(night, "sound", SOUND).outcome == RIGHT


@pytest.mark.parametrize(
    "name", ["magnitudes that are none", "mistaken stars", "an exposure of another field", "bright stars of a CCD"]
)
def test_a_spoilt_survey_is_right_or_flagged(months, name):
    cell = survey_cell(months, name, SURVEY_FAULTS[name])
    assert is_acceptable(cell), cell


@pytest.mark.parametrize("name", ["uneven clouds in a fifth", "errors that are none", "an exposure of another field"])
def test_a_spoilt_sequence_makes_a_right_map_or_a_flagged_one(night, name):
    cell = sequence_cell(night, name, TABLE_FAULTS[name])
    assert is_acceptable(cell), cell


def test_exposures_without_dithers_make_no_map():
    cell = undithered_cell()
    assert is_acceptable(cell), cell
