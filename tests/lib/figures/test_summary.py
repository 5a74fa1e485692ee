"""A night's summary says what its stars say."""

import numpy as np
import pyarrow as pa
import pytest

from tests.lib.figures.synthetic import NO_STARS, catalogue, true_stars
from ztf_in2p3.figures.summary import (
    EXPOSURE_SUMMARY,
    exposure_summary,
    filters_in,
    join,
    quadrant_summary,
    relative_background,
    stars_per_quadrant,
)
from ztf_in2p3.robust_statistics import finite_median


@pytest.fixture(scope="module")
def night() -> pa.Table:
    """Two exposures of two CCDs in zr, one of one CCD in zg; CCD 6 sees a background twice that of CCD 5."""
    parts = [
        quadrant_summary(
            catalogue(
                true_stars(40 * ccdid, ccdid), ccdid=ccdid, exposure=exposure, mjd=mjd, filter=filter,
                background=100.0 * level * (ccdid - 4), seeing=level,
            )
        )
        for exposure, mjd, filter, level, ccdids in (
            (3, 58578.3, "zr", 3.0, (5, 6)),
            (1, 58578.1, "zr", 1.0, (5, 6)),
            (2, 58578.2, "zg", 2.0, (5,)),
        )
        for ccdid in ccdids
    ]  # fmt: skip
    return join(parts)


def test_stars_are_counted_and_levels_taken_exposure_by_exposure(night):
    exposures = exposure_summary(night)
    assert exposures["exposure"].to_pylist() == [1, 2, 3]  # in the order of time
    assert exposures["n_star"].to_pylist() == [440, 200, 440]
    assert exposures["n_quadrant"].to_pylist() == [8, 4, 8]
    assert exposures["filter"].to_pylist() == ["zr", "zg", "zr"]
    assert exposures["seeing"].to_pylist() == [1.0, 2.0, 3.0]
    assert exposures["background"].to_pylist() == [150.0, 200.0, 450.0]  # between 100 and 200; 300 and 600
    assert filters_in(night) == ["zg", "zr"]


def test_background_is_compared_within_its_exposure(night):
    relative = relative_background(night)
    # Whatever the level of the sky, CCD 5 has 2/3 of the median of its exposure and CCD 6 4/3.
    assert relative["zr"] == pytest.approx(
        {16: 2 / 3, 17: 2 / 3, 18: 2 / 3, 19: 2 / 3} | dict.fromkeys(range(20, 24), 4 / 3)
    )
    assert relative["zg"] == pytest.approx(dict.fromkeys(range(16, 20), 1.0))


def test_every_star_belongs_to_one_quadrant(night):
    assert sum(stars_per_quadrant(night)["zr"].values()) == 200 + 240


def test_isolated_stars_are_counted_apart():
    stars = true_stars(100)
    isolated = np.arange(100) % 4 == 0
    summary = quadrant_summary(catalogue(stars, isolated=isolated))
    assert sum(summary["n_isolated"].to_pylist()) == 25


def test_a_night_without_stars_has_an_empty_summary():
    empty = join([quadrant_summary(NO_STARS)])
    assert empty.num_rows == 0
    assert exposure_summary(empty).num_rows == 0
    assert exposure_summary(empty).column_names == [column.name for column in EXPOSURE_SUMMARY]
    assert relative_background(join([])) == {}


def test_what_is_unknown_is_left_out_of_a_median():
    assert finite_median([np.nan, 1.0, np.inf, 3.0]) == 2.0
    assert np.isnan(finite_median([np.nan]))
    summary = quadrant_summary(catalogue(true_stars(8), seeing=np.nan))
    assert np.isnan(exposure_summary(summary)["seeing"][0].as_py())
