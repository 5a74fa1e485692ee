"""What a solved survey leaves behind belongs to the stars and pixels it names."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit import sources
from ztf_in2p3.fit.external import External
from ztf_in2p3.fit.sources import ParquetSource, TableSource
from ztf_in2p3.recipes import RobustRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.ubercal.model import fit_ubercal
from ztf_in2p3.ubercal.tables import (
    beside,
    external_levels,
    focal_plane_map,
    mean_stars,
    repeatability_table,
    sky_map,
    summary,
    zero_point_table,
)

PLAIN = UbercalRecipe(zero_points="quadrant", robust=RobustRecipe(draws=0))


def columns(table):
    return {name: np.asarray(table[name].to_numpy(zero_copy_only=False)) for name in table.column_names}


@pytest.fixture(scope="module")
def measured():
    """A survey whose first thousand rows have no magnitude, with positions."""
    pointings = survey(2, 5, TINY, seed=3)
    table, truth = star_measurements(TINY, pointings, 1500, Effects(map=0, colour_map=0, airmass=0), seed=3)
    star = (table["star_id"].to_numpy() - 4_000_000_000) // 7
    mag = table["mag"].to_numpy().copy()
    mag[:1000] = np.nan
    rng = np.random.default_rng(0)
    place = np.column_stack([359.9 + 0.2 * rng.random(1500), 5 + 0.2 * rng.random(1500)])[star]
    jitter = rng.normal(0, 1e-6, place.shape)
    table = table.set_column(table.column_names.index("mag"), "mag", pa.array(mag))
    for name, values in (("ra", (place + jitter)[:, 0] % 360), ("dec", (place + jitter)[:, 1])):
        table = table.append_column(name, pa.array(values))
    return table, truth, place


@pytest.fixture(params=["sorted table", "shuffled table", "files"])
def source(request, measured, tmp_path, monkeypatch):
    table, _, _ = measured
    monkeypatch.setattr(sources, "ROWS", 700)
    if request.param == "files":
        pq.write_table(table, tmp_path / "table.parquet")
        return ParquetSource([tmp_path / "table.parquet"], rows=400)
    if request.param == "shuffled table":
        table = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    return TableSource(table)


def test_further_columns_are_of_the_same_rows(source):
    solved = fit_ubercal(source, TINY, PLAIN)
    n = 0
    for part, beside_it in beside(solved.fit.model, source, ["mag", "rcid"]):
        star = part.star_of_rows()
        np.testing.assert_array_equal(beside_it["star_id"], part.star_id[star])
        np.testing.assert_allclose(beside_it["mag"] - part.reference[star], part.y, atol=1e-6)
        n += len(star)
    assert n == solved.fit.intake.used < source.n_row - 900


def test_mean_stars_have_their_places_and_their_external_magnitudes(source, measured):
    _, truth, place = measured
    table = measured[0]
    at = dict(zip(table["star_id"].to_numpy(), place, strict=True))
    ids = 4_000_000_000 + 7 * np.arange(0, 1500, 2)
    other = External(pa.table({"source_id": ids[::-1], "mag": truth.star_mag[::2][::-1] + 1}), 1.0)
    solved = fit_ubercal(source, TINY, PLAIN)

    stars = columns(pa.concat_tables(mean_stars(solved, source, other)))

    np.testing.assert_array_equal(stars["star_id"], solved.fit.stars.star_id)
    np.testing.assert_array_equal(stars["mag"], solved.fit.stars.mag)
    expected = np.array([at[one] for one in stars["star_id"]])
    # Measured a few times with 1e-6 degrees.
    assert np.abs((stars["ra"] - expected[:, 0] + 180) % 360 - 180).max() < 1e-5
    assert np.abs(stars["dec"] - expected[:, 1]).max() < 1e-5
    assert np.all((stars["ra"] >= 0) & (stars["ra"] < 360))
    number = (stars["star_id"] - 4_000_000_000) // 7
    even = number % 2 == 0
    assert np.isnan(stars["external"][~even]).all()
    np.testing.assert_array_equal(stars["external"][even], truth.star_mag[number[even]] + 1)


@pytest.fixture(scope="module")
def solved(measured):
    return fit_ubercal(measured[0], TINY, UbercalRecipe(zero_points="quadrant"))


def test_a_response_that_the_fit_was_not_given_shows_on_the_focal_plane(measured, solved):
    """Against an external catalogue: half of a quadrant fainter, which its zero point cannot take up."""
    table, truth, _ = measured
    ids = 4_000_000_000 + 7 * np.arange(1500)
    other = External(pa.table({"star_id": ids, "mag": truth.star_mag}), 1.0)
    half = (table["x"].to_numpy() < TINY.shape[1] / 2) & (table["rcid"].to_numpy() == 30)
    mag = pa.array(table["mag"].to_numpy() + np.where(half, 0.1, 0))
    spoilt = TableSource(table.set_column(table.column_names.index("mag"), "mag", mag))
    # One zero point for all exposures of a quadrant: of its own in each it would follow the few stars there.
    rigid = {"zero_points": "hierarchical", "residual_sigma": 0.0005}
    result = fit_ubercal(spoilt, TINY, UbercalRecipe(robust=RobustRecipe(clip=np.inf, variable=np.inf), **rigid))
    stars = list(mean_stars(result, spoilt, other))
    levels = external_levels(stars)

    cells = columns(focal_plane_map(result, spoilt, stars, levels, TINY, 2))

    here = cells["rcid"] == 30
    left, right = (here & (cells["column"] == k) for k in (0, 1))
    step = np.average(cells["external"][left]) - np.average(cells["external"][right])
    error = np.hypot(np.hypot(*cells["external_e"][left]), np.hypot(*cells["external_e"][right])) / 2
    # Outliers of up to 0.5 mag in 1 % of forty measurements a cell add 5 mmag to the errors of the four cells.
    assert abs(step - 0.1) < 4 * np.hypot(error, 0.005)
    assert cells["count"].sum() > 0.5 * table.num_rows


def test_cells_of_the_sky_hold_their_stars(measured, solved):
    table, truth, _ = measured
    source = TableSource(table)
    ids = 4_000_000_000 + 7 * np.arange(1500)
    stars = list(mean_stars(solved, source, External(pa.table({"star_id": ids, "mag": truth.star_mag}), 1.0)))
    levels = external_levels(stars)

    sky = columns(sky_map(stars, levels, 10))

    all_stars = columns(pa.concat_tables(stars))
    good = (all_stars["count"] >= 2) & ~all_stars["variable"]
    assert sky["stars"].sum() == good.sum()
    assert np.average(sky["measurements"], weights=sky["stars"]) == pytest.approx(all_stars["count"][good].mean())
    many = sky["compared"] > 20
    # Correlated errors of neighbouring zero points add to the stars' own.
    assert np.abs(sky["external"][many]).max() < 5 * np.max(sky["external_e"][many]) + 0.01
    assert columns(sky_map([], {}, 5))["pixel"].size == 0


def test_zero_points_name_the_best_measured_of_each_component(solved):
    table = columns(zero_point_table(solved))
    for one in np.unique(table["component"][table["component"] >= 0]):
        of = table["component"] == one
        assert table["reference"][of].sum() == 1
        assert table["count"][of & table["reference"]] == table["count"][of].max()
    assert not table["reference"][table["component"] < 0].any()
    told = summary(solved)
    assert told["zero_points"] == len(table["rcid"]) == told["undetermined"] + (table["component"] >= 0).sum()
    assert told["rejected"] == len(solved.fit.rejected)


def test_without_stars_held_out_there_is_no_repeatability(measured):
    solved = fit_ubercal(
        measured[0], TINY, UbercalRecipe(zero_points="quadrant", held_out=0, robust=RobustRecipe(draws=0))
    )
    assert repeatability_table(solved).num_rows == 0


def test_an_external_catalogue_needs_magnitudes_of_something():
    nothing = pa.table({"mag": [1.0], "ra": [2.0]})
    with pytest.raises(BadData, match="it needs mag and"):
        External(nothing, 1.0)
    by_place = External(pa.table({"mag": [15.0, 16.0], "ra": [0.0001, 10.0], "dec": [0.0, 0.0]}), 1.0)
    found = by_place.magnitudes(
        np.arange(4), np.array([359.9999, 10.0, 10.0, np.nan]), np.array([0, 0.0002, 0.001, 0.0])
    )
    # 0.72" through RA 0; 0.72" north; 3.6" north; nowhere.
    np.testing.assert_array_equal(found, [15.0, 16.0, np.nan, np.nan])
    with pytest.raises(BadData, match="mag_e"):
        by_place.anchors()
    held = External(pa.table({"star_id": [7, 3], "mag": [1.0, 2.0], "mag_e": [0.1, 0.2]}), 1.0).anchors()
    np.testing.assert_array_equal(held.star_id, [3, 7])
    np.testing.assert_array_equal(held.sigma, [0.2, 0.1])
