"""Another program's table becomes one of ours, in any format, whatever its columns and its stars are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from ztf_in2p3.camera import ZTF
from ztf_in2p3.catalogue.column_maps import COLUMN_MAPS, guessed
from ztf_in2p3.catalogue.imported_rows import Wanted
from ztf_in2p3.catalogue.imported_table import scatter, sorted_partition
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import ImportedColumns, StarTableRecipe
from ztf_in2p3.simulate.measurements import dithered_sequence, star_measurements
from ztf_in2p3.tables import STAR_TABLE, schema_of
from ztf_in2p3.tables.files import TableFile, arrow_of

RECIPE = StarTableRecipe(imported=ImportedColumns())
ALL = replace(RECIPE, observations=1)
NAMES = {"star_id": "starid", "ccd": "ccdid", "mag_e": "emag"}
"""What the table `starid ccdid qid x y mjd airmass colour mag emag` calls differently."""
NIGHT = Wanted(Period.of(date(2019, 4, 5)), [Filter.ZR])


@pytest.fixture(scope="module")
def measured():
    """Simulated measurements in an order of their own."""
    table, _ = star_measurements(ZTF, dithered_sequence(6, ZTF), 300, seed=2)
    return table.take(np.random.default_rng(0).permutation(table.num_rows))


def theirs(measured, **but):
    """As the other program would have written it."""
    table = measured.drop_columns(["exposure", "rcid"])
    table = table.rename_columns([NAMES.get(name, name) for name in table.column_names])
    for name, values in but.items():
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    return table


def written(folder, *tables):
    for k, table in enumerate(tables):
        pq.write_table(table, folder / f"{k}.parquet", row_group_size=1000)
    return sorted(folder.glob("*.parquet"))


def taken(paths, recipe, folder, wanted=NIGHT):
    """Partitions with the counts of each, of the only filter; the counts of the whole."""
    folder.mkdir()
    scattered = scatter(paths, ZTF, recipe, wanted, folder)
    ((group, parts),) = scattered.parts.items()
    tables = [sorted_partition(part, recipe) for part in parts]
    counts = scattered.counts[group] + sum((Counter(counts) for _, counts in tables), Counter())
    left_out = sum(n for reason, n in counts.items() if reason not in ("found", "kept", "stars"))
    assert counts["found"] == counts["kept"] + left_out  # no row is lost without a reason
    return [table for table, _ in tables], counts


def rows(tables, *names):
    names = names or ("star_id", "rcid", "x", "y", "mjd", "airmass", "colour", "mag", "mag_e")
    return Counter(zip(*(np.concatenate([t[name].to_numpy() for t in tables]).tolist() for name in names), strict=True))


def enough(measured):
    """Without stars that were seen once or twice."""
    star = measured["star_id"].to_numpy()
    values, counts = np.unique(star, return_counts=True)
    return measured.filter(pa.array(np.isin(star, values[counts >= RECIPE.observations])))


def test_every_measurement_arrives_as_it_was(measured, tmp_path):
    [table], counts = taken(written(tmp_path, theirs(measured)), RECIPE, tmp_path / "parts")
    assert table.schema.equals(schema_of(STAR_TABLE))
    assert rows([table]) == rows([enough(measured)])
    assert counts["found"] == measured.num_rows
    assert (counts["kept"], counts["stars"]) == (table.num_rows, len(table["star_id"].unique()))


WRITERS = {
    "Parquet": pq.write_table,
    "CSV": pacsv.write_csv,
    "FITS": lambda table, path: Table(table.to_pydict()).write(path, format="fits"),
    "ECSV": lambda table, path: Table(table.to_pydict()).write(path, format="ascii.ecsv"),
    "VOTable": lambda table, path: Table(table.to_pydict()).write(path, format="votable"),
}


@pytest.mark.parametrize("format", WRITERS)
def test_every_format_is_read_with_every_kind_of_star(measured, tmp_path, format):
    """Large, unsigned, negative and named stars, and a row without star: none is lost, none is invented, none is a
    float."""
    part = measured.slice(0, 600)
    star = (part["star_id"].to_numpy() - 4_000_000_000) // 7
    kinds = {
        "gaia": pa.array(5_853_498_713_190_525_696 + star),
        "negative": pa.array(-5_853_498_713_190_525_696 + star),
        "text": pa.array([f"ZTF star {number:05d}" for number in star]),
    }
    if format not in ("FITS", "VOTable"):  # these have no unsigned numbers of 64 bits
        kinds["unsigned"] = pa.array(2**63 + 12_345 + star.astype(np.uint64))
    for name, ids in kinds.items():
        path = tmp_path / f"{name}.table"
        null = pa.array([None], ids.type) if format in ("Parquet", "CSV") else ids.slice(0, 1)
        WRITERS[format](theirs(part, starid=pa.concat_arrays([null, ids.slice(1)])), path)
        assert TableFile(path).format == format
        [table], counts = taken([path], ALL, tmp_path / f"{name} parts")
        lost = 1 if format in ("Parquet", "CSV") else 0
        assert counts["no star id"] == lost
        grouped = [np.sort(group) for _, group in table.to_pandas().groupby("star_id").mag]
        expected = [np.sort(group) for _, group in part.slice(lost).to_pandas().groupby("star_id").mag]
        assert sorted(map(tuple, grouped)) == sorted(map(tuple, expected))
        assert int(table["star_id"].to_numpy().min()) >= 0


def test_a_null_among_large_identifiers_costs_one_row(measured, tmp_path):
    ids = 5_853_498_713_190_525_696 + measured["star_id"].to_numpy() * 1000
    table = theirs(measured, starid=pa.array([None, *ids[1:].tolist()], pa.int64()))
    [kept], counts = taken(written(tmp_path, table), ALL, tmp_path / "parts")
    assert counts["no star id"] == 1
    assert set(kept["star_id"].to_pylist()) == set(ids[1:].tolist())
    assert kept.num_rows == measured.num_rows - 1


def test_identifiers_that_a_float_has_rounded_are_not_believed(measured, tmp_path):
    ids = (5_853_498_713_190_525_696 + measured["star_id"].to_numpy()).astype(float)
    with pytest.raises(BadData, match=r"none of its \d+ measurements.*star id that is a rounded floating-point number"):
        taken(written(tmp_path, theirs(measured, starid=ids)), ALL, tmp_path / "parts")
    short = measured["star_id"].to_numpy().astype(float)
    [table], _ = taken(written(tmp_path, theirs(measured, starid=short)), ALL, tmp_path / "short")
    assert rows([table]) == rows([measured])


def test_stars_have_the_same_numbers_whatever_the_order_and_the_files(measured, tmp_path):
    names = np.array([f"star {number}" for number in measured["star_id"].to_numpy()])
    whole = theirs(measured, starid=names)
    [one], _ = taken(written(tmp_path, whole), ALL, tmp_path / "one")
    (tmp_path / "halves").mkdir()
    halves = written(tmp_path / "halves", whole.slice(700), whole.slice(0, 700))
    [two], _ = taken(halves, ALL, tmp_path / "two")
    pd.testing.assert_frame_equal(one.to_pandas(), two.to_pandas())


def test_measurements_of_one_time_are_of_one_exposure(measured, tmp_path):
    [table], _ = taken(written(tmp_path, theirs(measured)), RECIPE, tmp_path / "parts")
    pairs = set(zip(table["exposure"].to_pylist(), table["mjd"].to_pylist(), strict=True))
    assert len(pairs) == len(set(measured["mjd"].to_pylist())) == len(table["exposure"].unique())


def test_places_on_the_focal_plane_follow_from_pixels_counted_from_one(measured, tmp_path):
    counted = theirs(measured, x=measured["x"].to_numpy() + 1, y=measured["y"].to_numpy() + 1)
    recipe = replace(RECIPE, imported=ImportedColumns(first_pixel=1.0))
    [table], _ = taken(written(tmp_path, counted), recipe, tmp_path / "parts")
    for row in table.slice(0, 20).to_pylist():
        u, v = ZTF.focal_plane(Quadrant.of_rcid(row["rcid"]), row["x"], row["y"])
        assert (row["u"], row["v"]) == pytest.approx((u, v), abs=0.01)  # float32 of ten thousand pixels
    plain = enough(measured).to_pandas().sort_values(["star_id", "mjd", "rcid"])
    np.testing.assert_allclose(table.to_pandas().sort_values(["star_id", "mjd", "rcid"]).x, plain.x, atol=1e-3)


def test_a_large_table_comes_in_parts_that_share_no_star(measured, tmp_path):
    recipe = replace(RECIPE, imported_rows=300)
    halves = [theirs(measured.slice(0, 500)), theirs(measured.slice(500))]
    made, _ = taken(written(tmp_path, *halves), recipe, tmp_path / "parts")
    assert len(made) == -(-measured.num_rows // 300)
    assert rows(made) == rows([enough(measured)])
    stars = [set(table["star_id"].to_pylist()) for table in made]
    assert sum(map(len, stars)) == len(set().union(*stars))
    for table in made:
        assert np.all(np.diff(table["star_id"].to_numpy()) >= 0)


def test_what_is_unknown_passes_the_cuts_that_would_need_it_and_what_is_known_is_cut(measured, tmp_path):
    g = measured["mag"].to_numpy()
    named = replace(ALL, bright=15.0, faint=17.0, imported=ImportedColumns(g="g"))
    table = theirs(measured, g=g)
    [cut], counts = taken(written(tmp_path, table), named, tmp_path / "with g")
    assert cut.num_rows == int(((g >= 15) & (g <= 17)).sum()) == measured.num_rows - counts["magnitude"]
    [kept], _ = taken(written(tmp_path, table), replace(named, imported=ImportedColumns()), tmp_path / "without")
    assert kept.num_rows == measured.num_rows


SPOILED = {
    "mag not finite": ("mag", [np.nan, np.inf, None]),
    "mag_e not finite": ("emag", [np.nan, None, np.inf]),
    "mag_e negative": ("emag", [-0.01, -1.0, -1e-9]),
    "no such quadrant": ("ccdid", [0, 17, None]),
    "no exposure": ("mjd", [np.nan, None, np.inf]),
}


@pytest.mark.parametrize("reason", SPOILED)
@pytest.mark.parametrize("format", ["Parquet", "CSV"])
def test_rows_that_cannot_be_used_are_counted_by_reason_and_cost_nothing_else(measured, tmp_path, reason, format):
    name, wrong = SPOILED[reason]
    table = theirs(measured)
    values = [*wrong, *table[name].to_pylist()[3:]]
    WRITERS[format](theirs(measured, **{name: pa.array(values)}), tmp_path / "table")
    [kept], counts = taken([tmp_path / "table"], ALL, tmp_path / "parts")
    assert counts[reason] == 3
    assert rows([kept], "star_id", "rcid", "mag") == rows([measured.slice(3)], "star_id", "rcid", "mag")


def test_the_same_row_twice_is_one_and_two_different_ones_are_none(measured, tmp_path):
    table = theirs(measured)
    other = theirs(measured.slice(5, 1), mag=measured["mag"].slice(5, 1).to_numpy() + 0.3)
    twice = pa.concat_tables([table, table.slice(2, 1), table.slice(2, 1), other])
    [kept], counts = taken(written(tmp_path, twice), ALL, tmp_path / "parts")
    assert (counts["the same row again"], counts["measured twice, differently"]) == (2, 2)
    assert rows([kept]) == rows([measured]) - rows([measured.slice(5, 1)])


def test_each_filter_is_a_table_and_strange_ones_are_counted(measured, tmp_path):
    n = measured.num_rows
    codes = np.array(["zr", "ZTF_g", "i", "3", "OO", ""])[np.arange(n) % 6]
    table = theirs(measured, filter=codes)
    recipe = replace(ALL, imported=ImportedColumns(filter="filter"))
    (tmp_path / "parts").mkdir()
    wanted = replace(NIGHT, filters=[Filter.ZG, Filter.ZR])
    scattered = scatter(written(tmp_path, table), ZTF, recipe, wanted, tmp_path / "parts")
    assert [str(filter) for filter, _ in scattered.parts] == ["zg", "zr"]
    assert sum(counts["unknown filter"] for counts in scattered.counts.values()) == int(
        np.isin(codes, ["OO", ""]).sum()
    )
    assert sum(counts["other filter"] for counts in scattered.counts.values()) == int(np.isin(codes, ["i", "3"]).sum())
    assert sum(counts["found"] for counts in scattered.counts.values()) == n


def test_nights_outside_the_period_are_left_out_and_none_at_all_is_named(measured, tmp_path):
    mjd = measured["mjd"].to_numpy() + np.where(np.arange(measured.num_rows) < 10, 3.0, 0.0)
    [_], counts = taken(written(tmp_path, theirs(measured, mjd=mjd)), ALL, tmp_path / "parts")
    assert counts["outside the period"] == 10
    later = replace(NIGHT, period=Period.of(date(2020, 1, 1)))
    with pytest.raises(BadData, match=r"its nights are 20190405 to 20190408, wanted were 20200101"):
        taken(written(tmp_path, theirs(measured, mjd=mjd)), ALL, tmp_path / "none", later)


def light_curves(measured, path):
    """As IRSA's light-curve service answers: no pixels, hexadecimal integers, one bad measurement."""
    t = measured.to_pydict()
    flags = [hex(32768), *["0x0"] * (measured.num_rows - 1)]
    columns = {
        "oid": t["star_id"], "expid": [1] * measured.num_rows, "hjd": t["mjd"], "mjd": t["mjd"], "mag": t["mag"],
        "magerr": t["mag_e"], "catflags": flags, "filtercode": ["zr"] * measured.num_rows,
        "ra": t["colour"], "dec": t["airmass"],
        "chi": t["mag"], "sharp": t["mag"], "filefracday": t["exposure"], "field": [655] * measured.num_rows,
        "ccdid": t["ccd"], "qid": [hex(qid) for qid in t["qid"]], "exptime": [30] * measured.num_rows,
        "airmass": t["airmass"], "programid": [1] * measured.num_rows,
    }  # fmt: skip
    pacsv.write_csv(pa.table(columns), path)


def test_light_curves_of_the_archive_are_understood_without_being_told_how(measured, tmp_path):
    light_curves(measured, tmp_path / "curves.csv")
    columns = guessed(TableFile(tmp_path / "curves.csv").columns)
    assert columns == COLUMN_MAPS["irsa"]
    [table], counts = taken([tmp_path / "curves.csv"], replace(ALL, imported=columns), tmp_path / "parts")
    assert counts["flagged"] == 1
    names = ("star_id", "exposure", "rcid", "mag")
    assert rows([table], *names) == rows([measured.slice(1)], *names)
    assert np.isnan(table["x"].to_numpy()).all()


def test_psf_catalogues_of_the_archive_are_joined_by_place(measured, tmp_path):
    """One file a quadrant exposure, stars counted anew in each; what the columns do not tell is in name and header."""
    frame = measured.to_pandas()
    star = (frame.star_id - 4_000_000_000) // 7
    # 36 arcsec between stars, 0.1 arcsec of scatter: no two are confused, none is torn.
    frame["ra"] = 150 + 0.01 * star + np.random.default_rng(0).normal(0, 0.1 / 3600, len(star))
    for (exposure, ccd, qid), some in frame.groupby(["exposure", "ccd", "qid"]):
        table = Table({
            "sourceid": np.arange(len(some)), "xpos": some.x + 1, "ypos": some.y + 1, "ra": some.ra,
            "dec": np.full(len(some), 2.0), "mag": some.mag, "sigmag": some.mag_e,
        }, meta={"OBSMJD": float(some.mjd.iloc[0]), "AIRMASS": 1.2})  # fmt: skip
        table.write(tmp_path / f"ztf_{exposure}_000655_zr_c{ccd:02d}_o_q{qid}_psfcat.fits")
    paths = sorted(tmp_path.glob("*.fits"))
    [table], _ = taken(paths, replace(ALL, imported=COLUMN_MAPS["psfcat"]), tmp_path / "parts")
    assert rows([table], "exposure", "rcid", "mag") == rows([measured], "exposure", "rcid", "mag")
    grouped = [tuple(np.sort(group)) for _, group in table.to_pandas().groupby("star_id").mag]
    assert sorted(grouped) == sorted(tuple(np.sort(group)) for _, group in frame.groupby("star_id").mag)
    np.testing.assert_allclose(table["airmass"].to_numpy(), 1.2, rtol=1e-6)


def test_tables_in_memory_keep_their_identifiers(measured):
    """One missing value makes a column of objects or of masks; it must not make it one of floats."""
    ids = [None, 2**63 + 5, 7]
    frame = pd.DataFrame({"star_id": pd.Series(ids, dtype=object), "name": ["a", None, "b"], "mag": [1.0, np.nan, 2.0]})
    assert arrow_of(frame)["star_id"].to_pylist() == ids
    assert arrow_of(frame)["name"].to_pylist() == ["a", None, "b"]
    nullable = pd.DataFrame({"star_id": pd.array([None, 5_853_498_713_190_525_697], dtype="Int64")})
    assert arrow_of(nullable)["star_id"].to_pylist() == [None, 5_853_498_713_190_525_697]
    masked = Table({"star_id": np.array([3, 5_853_498_713_190_525_697])}, masked=True)
    masked["star_id"].mask[0] = True
    assert arrow_of(masked)["star_id"].to_pylist() == [None, 5_853_498_713_190_525_697]
    assert arrow_of(measured) is measured


WRONG = {
    "a column is missing": (lambda t: t.drop_columns(["emag"]), "no column emag; it has starid, .*imported"),
    "no dates and no exposures": (lambda t: t.drop_columns(["mjd"]), "no column exposure"),
    "no rows": (lambda t: t.slice(0, 0), "none of its 0 measurements can be used"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_understood_is_named(measured, tmp_path, case):
    spoil, message = WRONG[case]
    with pytest.raises(BadData, match=message):
        taken(written(tmp_path, spoil(theirs(measured))), RECIPE, tmp_path / "parts")


def test_a_table_that_does_not_tell_its_filter_needs_one(measured, tmp_path):
    both = replace(NIGHT, filters=[Filter.ZG, Filter.ZR])
    with pytest.raises(BadData, match=r"does not tell the filter.*name the one .*zg, zr"):
        taken(written(tmp_path, theirs(measured)), ALL, tmp_path / "parts", both)


NO_TABLES = {
    "parquet": b"PAR1 and no more",
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "html": b"<html><body>log in</body></html>",
    "binary": bytes(range(256)),
    "empty": b"",
    "votable": b"<?xml version='1.0'?><VOTABLE><RESOURCE>",
    "ecsv": b"# %ECSV 1.0\n# nonsense",
    "text": b"starid,mag\n1,2,3\n",
}


@pytest.mark.parametrize("kind", NO_TABLES)
def test_a_file_that_is_no_table_is_named_and_its_neighbours_go_on(measured, tmp_path, kind):
    wrong = tmp_path / "wrong.parquet"
    wrong.write_bytes(NO_TABLES[kind])
    with pytest.raises(BadData, match=r"wrong\.parquet"):
        taken([wrong], ALL, tmp_path / "parts")
    (tmp_path / "right").mkdir()
    (right,) = written(tmp_path / "right", theirs(measured))
    (tmp_path / "both").mkdir()
    scattered = scatter([wrong, right], ZTF, ALL, NIGHT, tmp_path / "both")
    assert list(scattered.skipped) == [str(wrong)]
    assert sum(counts["found"] for counts in scattered.counts.values()) == measured.num_rows


def test_a_line_with_too_many_cells_costs_itself(measured, tmp_path):
    pacsv.write_csv(theirs(measured), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open("a") as file:
        file.write("1,2,3\n")
    [kept], counts = taken([tmp_path / "table.csv"], ALL, tmp_path / "parts")
    assert counts["line with another number of cells"] == 1
    assert kept.num_rows == measured.num_rows
