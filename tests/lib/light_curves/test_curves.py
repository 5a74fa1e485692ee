"""Light curves of a simulated survey: true magnitudes, errors that hold, and every star that varies."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.lib.light_curves.conftest import RECIPE, calibration_of
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit.parameter_table import parameter_table
from ztf_in2p3.light_curves.calibration import PointFlag, SurveyCalibration
from ztf_in2p3.light_curves.curves import star_curves
from ztf_in2p3.tables import CURVE_OBJECTS, CURVE_POINTS, star_curves_schema
from ztf_in2p3.ubercal.tables import zero_point_table


def flat(curves: pa.Table) -> dict[str, np.ndarray]:
    """Measurements of all stars, with the row of their star."""
    nested = curves["lightcurve"].combine_chunks()
    columns = {c.name: nested.field(c.name).flatten().to_numpy(zero_copy_only=False) for c in CURVE_POINTS}
    return columns | {"star": np.repeat(np.arange(curves.num_rows), nested.field("mjd").value_lengths().to_numpy())}


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy(zero_copy_only=False)


@pytest.fixture(scope="module")
def compared(solved):
    """Measurements of stars that are constant in truth: all columns, and off, their distance from the truth."""
    points, number = flat(solved.curves), solved.number(column(solved.curves, "star_id"))
    true = solved.truth.star_mag[number][points["star"]]
    # A star with several outliers is taken for variable, whose measurements are spared: none of a hundred.
    mistaken = column(solved.curves, "variable") & ~solved.truth.variable[number]
    assert mistaken.mean() < 0.01
    constant = ~(solved.truth.variable[number] | mistaken)[points["star"]]
    home = column(solved.curves, "component")[points["star"]]
    used = constant & ((points["flags"] & RECIPE.unusable) == 0) & (home == 0)
    off = points["mag"] - true
    held_out = column(solved.curves, "held_out")[points["star"]]
    return {name: values[used] for name, values in points.items()} | {
        "off": (off - np.median(off[used]))[used],  # the level of the survey is nobody's to know
        "held_out": held_out[used],
        "true": true[used],
    }


@pytest.mark.parametrize("held_out", [False, True])
def test_errors_hold(compared, held_out):
    pulls = (compared["off"] / compared["mag_e"])[compared["held_out"] == held_out]
    # Known to 1 / sqrt(2n): 1 % of 5000.  The rest of the five per cent is for zero points shared by many.
    assert len(pulls) > 5000
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    assert abs(np.mean(pulls)) < 0.1


def test_bright_stars_repeat_as_well_as_the_floor(solved):
    points, number = flat(solved.curves), solved.number(column(solved.curves, "star_id"))
    true = solved.truth.star_mag[number]
    constant = ~solved.truth.variable[number] & ~column(solved.curves, "variable")
    bright = (true < 15.5) & constant & (column(solved.curves, "n") > 5)
    good = ((points["flags"] & RECIPE.unusable) == 0) & bright[points["star"]]
    n = column(solved.curves, "n")
    square = column(solved.curves, "scatter")[bright] ** 2
    rms = np.sqrt(np.average(square, weights=n[bright] - 1))
    floor = np.sqrt(np.mean(0.005**2 + (0.001 * 10 ** (0.3 * (true[points["star"][good]] - 14))) ** 2))
    assert good.sum() > 1000  # its square is known to 4.5 %: sqrt(2 / n)
    assert rms == pytest.approx(floor, rel=0.05)


def test_chi2_and_scatter_tell_constant_stars_from_variable_ones(solved):
    number = solved.number(column(solved.curves, "star_id"))
    variable = solved.truth.variable[number]
    often = column(solved.curves, "n") >= 8
    chi2, dof = column(solved.curves, "chi2"), column(solved.curves, "n") - 1
    constant = often & ~variable & ~column(solved.curves, "variable")
    # Mean of chi2 per degree of freedom: 1 +- sqrt(2 / all degrees of freedom), and errors known to five per cent.
    assert np.average(chi2[constant], weights=dof[constant]) == pytest.approx(1, abs=0.05)
    # Amplitudes of 50 to 300 mmag, scatter 0.7 of that, beside errors of up to 17 mmag.
    assert np.mean(column(solved.curves, "excess")[often & variable] > 0.025) > 0.9
    assert np.mean(column(solved.curves, "excess")[constant] > 0.025) < 0.01
    # White noise has 2, and one star of n measurements scatters by about 2 / sqrt(n).
    assert np.nanmean(column(solved.curves, "neumann")[constant]) == pytest.approx(2, abs=0.1)


def test_injected_outliers_are_flagged(solved):
    points = flat(solved.curves)
    key = np.lexsort([column(solved.table, name) for name in ("exposure", "mjd", "star_id")])
    injected = solved.truth.outlier[key]
    star_id = column(solved.curves, "star_id")[points["star"]]
    np.testing.assert_array_equal(star_id, column(solved.table, "star_id")[key])
    calm = ~column(solved.curves, "variable")[points["star"]] & (column(solved.curves, "n") >= 4)[points["star"]]
    calm &= ~solved.truth.variable[solved.number(star_id)] & np.isfinite(points["mag"])
    flagged = (points["flags"] & PointFlag.OUTLIER) > 0
    # 0.1 to 0.5 mag off, six errors of the faintest or more: a few hide where the star's median moved.
    assert flagged[calm & injected].mean() > 0.97
    assert flagged[calm & ~injected].mean() < 1e-3


def test_rows_are_the_objects_and_their_order_is_time(solved):
    assert solved.curves.schema.equals(star_curves_schema())
    points = flat(solved.curves)
    assert len(points["mjd"]) == solved.table.num_rows
    same = np.diff(points["star"]) == 0
    assert np.all(np.diff(points["mjd"])[same] >= 0)
    np.testing.assert_array_equal(
        column(solved.curves, "n") + column(solved.curves, "n_flagged"), np.bincount(points["star"])
    )
    ra = column(solved.curves, "ra")
    assert np.all((ra < 1.01) | (ra > 358.99))  # through 0


def test_parts_of_a_table_give_the_same_light_curves(solved):
    stars, half = solved.ubercal.fit.stars.to_table(), int(column(solved.table, "star_id").mean())
    low = column(solved.table, "star_id") < half
    parts = [
        star_curves(solved.table.filter(pa.array(rows)), stars, solved.calibration, "zr", RECIPE)
        for rows in (low, ~low)
    ]
    for name, values in flat(pa.concat_tables(parts)).items():
        np.testing.assert_array_equal(values, flat(solved.curves)[name])
    for name in (object_column.name for object_column in CURVE_OBJECTS):
        np.testing.assert_array_equal(column(pa.concat_tables(parts), name), column(solved.curves, name))


def test_an_external_level_is_taken_off(solved):
    stars = solved.ubercal.fit.stars.to_table()
    shifted = star_curves(
        solved.table, stars, calibration_of(solved.ubercal, levels=json.dumps({0: -25.0})), "zr", RECIPE
    )
    main = column(solved.curves, "component") == 0
    difference = column(shifted, "mag")[main] - column(solved.curves, "mag")[main]
    np.testing.assert_allclose(difference[np.isfinite(difference)], 25.0, atol=1e-9)
    elsewhere = calibration_of(solved.ubercal, levels=json.dumps({1: -25.0}))
    assert np.isnan(column(star_curves(solved.table, stars, elsewhere, "zr", RECIPE), "mag")).all()  # of unknown level


def test_exposures_that_the_survey_does_not_know_are_flagged(solved):
    known = solved.calibration
    kept = known.code // 64 != known.code[0] // 64
    fewer = replace(
        known,
        **{name: getattr(known, name)[kept] for name in ("code", "zero_point", "sigma", "component", "flags")},
        error_factor=known.error_factor[kept],
    )
    points = flat(star_curves(solved.table, solved.ubercal.fit.stars.to_table(), fewer, "zr", RECIPE))
    lost = points["exposure"] == known.code[0] // 64
    assert lost.any()
    assert np.all(points["flags"][lost] & PointFlag.UNCALIBRATED)
    assert np.isnan(points["mag"][lost]).all()
    assert not np.any(points["flags"][~lost & np.isfinite(points["mag"])] & PointFlag.UNCALIBRATED)


def test_a_survey_of_before_is_refused_with_what_to_do(solved):
    with pytest.raises(BadData, match=r"colour_centre .*run it again"):
        SurveyCalibration.of_tables(zero_point_table(solved.ubercal), parameter_table(solved.ubercal.fit, {}))
