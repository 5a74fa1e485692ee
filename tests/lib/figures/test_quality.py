"""The verdict on a night follows from its numbers."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from tests.lib.figures.synthetic import catalogue, true_stars
from ztf_in2p3.camera import TINY
from ztf_in2p3.figures.quality import MAX_SEEING_ARCSEC, quality_checks, summarise_night
from ztf_in2p3.figures.residuals import residuals
from ztf_in2p3.figures.summary import join, quadrant_summary

NIGHT = date(2019, 4, 5)
STARS = true_stars(2000)
TABLE = catalogue(STARS)


@pytest.fixture(scope="module")
def good():
    quadrants = join([quadrant_summary(TABLE)])
    return summarise_night(NIGHT, TINY, quadrants, residuals(TABLE, STARS, radius=6.0), n_made=90, n_set_aside=10)


def words(summary) -> dict[str, str]:
    return {check.name: check.word for check in quality_checks(summary)}


def test_a_good_night_passes(good):
    assert "FAIL" not in words(good).values()
    assert good.n_exposure == 1
    assert good.n_quadrant == 4
    assert good.seeing_arcsec == pytest.approx(2.0 * TINY.pixel_scale)
    assert good.background_adu == pytest.approx(300)
    assert good.set_aside == 0.1


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"seeing_arcsec": MAX_SEEING_ARCSEC + 0.1}, "seeing, median"),
        ({"background_adu": 4100.0}, "background, median"),
        ({"noise_adu": 101.0}, "noise of the background, median"),
        ({"stars_per_quadrant": 5.0}, "stars per quadrant, median"),
        ({"set_aside": 0.3}, "inputs set aside"),
        ({"n_exposure": 0}, "exposures measured"),
    ],
)
def test_each_limit_is_kept_watch_on(good, change, fails):
    assert [name for name, word in words(replace(good, **change)).items() if word == "FAIL"] == [fails]


def test_a_bias_of_the_fluxes_fails(good):
    assert good.bright is not None
    off = replace(good, bright=replace(good.bright, bias_mmag=5.0, bias_error_mmag=0.3))
    assert words(off)["flux residual of bright stars, mean"] == "FAIL"
    uncertain = replace(good, bright=replace(good.bright, bias_mmag=5.0, bias_error_mmag=2.0))
    assert words(uncertain)["flux residual of bright stars, mean"] == "OK"


def test_wrong_errors_fail(good):
    table = residuals(TABLE, STARS, radius=6.0)
    k = table.schema.get_field_index("pull")
    wide = table.set_column(k, "pull", pa.array(1.3 * table["pull"].to_numpy()))
    found = words(replace(good, bright=summarise_night(NIGHT, TINY, join([]), wide).bright))
    assert found["(flux - truth) / error, standard deviation: bright"] == "FAIL"


def test_what_is_not_known_is_not_judged():
    nothing = summarise_night(NIGHT, TINY, join([]))
    assert np.isnan(nothing.seeing_arcsec)
    checks = {check.name: check for check in quality_checks(nothing)}
    assert checks["seeing, median"].value == "-"
    assert checks["seeing, median"].word == "-"
    assert checks["exposures measured"].word == "FAIL"
    assert not any("truth" in name for name in checks)
