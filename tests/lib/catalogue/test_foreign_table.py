"""Another program's table becomes one of ours, whatever its columns are called and however large it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ztf_in2p3.camera import ZTF
from ztf_in2p3.catalogue.foreign_table import scatter_foreign, sorted_partition
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.recipes import ForeignColumns, StarTableRecipe
from ztf_in2p3.simulate.measurements import dithered_sequence, star_measurements
from ztf_in2p3.tables import STAR_TABLE, schema_of

RECIPE = StarTableRecipe()
NAMES = {"star_id": "starid", "ccd": "ccdid", "mag_e": "emag"}
"""What the table `starid ccdid qid x y mjd airmass colour mag emag` calls differently."""


@pytest.fixture(scope="module")
def measured():
    """Simulated measurements in an order of their own."""
    table, _ = star_measurements(ZTF, dithered_sequence(6, ZTF), 300, seed=2)
    return table.take(np.random.default_rng(0).permutation(table.num_rows))


def foreign(measured, **but):
    """As the other program would have written it."""
    table = measured.drop_columns(["exposure", "rcid"])
    table = table.rename_columns([NAMES.get(name, name) for name in table.column_names])
    for name, values in but.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def written(folder, *tables):
    for k, table in enumerate(tables):
        pq.write_table(table, folder / f"{k}.parquet", row_group_size=1000)
    return sorted(folder.glob("*.parquet"))


def taken(paths, recipe, folder):
    folder.mkdir()
    parts, counts = scatter_foreign(paths, ZTF, recipe, folder)
    return [sorted_partition(part, recipe) for part in parts], counts


def rows(tables):
    names = ("star_id", "rcid", "x", "y", "mjd", "airmass", "colour", "mag", "mag_e")
    return Counter(zip(*(np.concatenate([t[name].to_numpy() for t in tables]).tolist() for name in names), strict=True))


def enough(measured):
    """Without stars that were seen once or twice."""
    star = measured["star_id"].to_numpy()
    values, counts = np.unique(star, return_counts=True)
    return measured.filter(pa.array(np.isin(star, values[counts >= RECIPE.observations])))


def test_every_measurement_arrives_as_it_was(measured, tmp_path):
    paths = written(tmp_path, foreign(measured))
    [(table, counts)], cut = taken(paths, RECIPE, tmp_path / "parts")
    assert table.schema.equals(schema_of(STAR_TABLE))
    assert rows([table]) == rows([enough(measured)])
    assert cut["found"] == measured.num_rows
    assert (counts["kept"], counts["stars"]) == (table.num_rows, len(table["star_id"].unique()))


def test_measurements_of_one_time_are_of_one_exposure(measured, tmp_path):
    [(table, _)], _ = taken(written(tmp_path, foreign(measured)), RECIPE, tmp_path / "parts")
    pairs = set(zip(table["exposure"].to_pylist(), table["mjd"].to_pylist(), strict=True))
    assert len(pairs) == len(set(measured["mjd"].to_pylist())) == len(table["exposure"].unique())


def test_places_on_the_focal_plane_follow_from_pixels_counted_from_one(measured, tmp_path):
    counted = foreign(measured, x=measured["x"].to_numpy() + 1, y=measured["y"].to_numpy() + 1)
    recipe = replace(RECIPE, foreign=ForeignColumns(first_pixel=1.0))
    [(table, _)], _ = taken(written(tmp_path, counted), recipe, tmp_path / "parts")
    for row in table.slice(0, 20).to_pylist():
        u, v = ZTF.focal_plane(Quadrant.of_rcid(row["rcid"]), row["x"], row["y"])
        assert (row["u"], row["v"]) == pytest.approx((u, v), abs=0.01)  # float32 of ten thousand pixels
    plain = enough(measured).to_pandas().sort_values(["star_id", "mjd", "rcid"])
    np.testing.assert_allclose(table.to_pandas().sort_values(["star_id", "mjd", "rcid"]).x, plain.x, atol=1e-3)


def test_a_large_table_comes_in_parts_that_share_no_star(measured, tmp_path):
    recipe = replace(RECIPE, foreign_rows=300)
    halves = [foreign(measured.slice(0, 500)), foreign(measured.slice(500))]
    made, _ = taken(written(tmp_path, *halves), recipe, tmp_path / "parts")
    assert len(made) == -(-measured.num_rows // 300)
    assert rows([table for table, _ in made]) == rows([enough(measured)])
    seen = [set(table["star_id"].to_pylist()) for table, _ in made]
    assert sum(map(len, seen)) == len(set().union(*seen))
    for table, _ in made:
        assert np.all(np.diff(table["star_id"].to_numpy()) >= 0)


def test_what_is_unknown_passes_the_cuts_that_would_need_it_and_what_is_known_is_cut(measured, tmp_path):
    g = measured["mag"].to_numpy()
    named = replace(RECIPE, observations=1, bright=15.0, faint=17.0, foreign=ForeignColumns(g="g"))
    table = foreign(measured).append_column("g", pa.array(g))
    [(cut, _)], counts = taken(written(tmp_path, table), named, tmp_path / "with g")
    assert cut.num_rows == int(((g >= 15) & (g <= 17)).sum()) == measured.num_rows - counts["magnitude"]
    [(kept, _)], _ = taken(written(tmp_path, table), replace(named, foreign=ForeignColumns()), tmp_path / "without")
    assert kept.num_rows == measured.num_rows


def test_measurements_that_are_no_numbers_are_left_out_and_counted(measured, tmp_path):
    mag = measured["mag"].to_numpy().copy()
    mag[:7] = np.nan
    _, counts = taken(written(tmp_path, foreign(measured, mag=mag)), RECIPE, tmp_path / "parts")
    assert counts["signal to noise"] == 7


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop_columns(["mjd"]), "no column mjd; it has starid, .*foreign"),
        (lambda t: t.set_column(0, "starid", t["starid"].cast(pa.string())), "starid is of type string"),
        (lambda t: t.set_column(t.column_names.index("ccdid"), "ccdid", pa.array([17] * t.num_rows)), "channel"),
    ],
    ids=["a column is missing", "names for stars", "no such CCD"],
)
def test_what_cannot_be_understood_is_named(measured, tmp_path, spoil, message):
    table = foreign(measured)
    moved = table.select(["starid", *(name for name in table.column_names if name != "starid")])
    with pytest.raises(BadData, match=message):
        taken(written(tmp_path, spoil(moved)), RECIPE, tmp_path / "parts")


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "0.parquet").write_text("starid,mag")
    with pytest.raises(BadData, match=r"0\.parquet cannot be read as Parquet"):
        taken([tmp_path / "0.parquet"], RECIPE, tmp_path / "parts")
