"""A table of another program comes into the store, and starflat and ubercal find the truth in it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from flows.import_table import import_table
from flows.starflat import starflat
from flows.ubercal import ubercal
from tasks.inputs.recipes import noted_recipe
from tasks.runtime.product_flow import TooMuchSetAside
from tasks.star_table import partitions_of
from tests.flows.night import opened
from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.sources import ParquetSource
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import SequenceRecipe, StarflatRecipe, StarTableRecipe, SurveyRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements, survey
from ztf_in2p3.starflat.model import fit_starflat

NIGHT = "20190405"
HOW = {"camera": "tiny", "workers": 0}
SEQUENCE = SequenceRecipe(fit=StarflatRecipe(model="zp", superpixels=2))
SURVEY = SurveyRecipe(fit=UbercalRecipe(zero_points="quadrant"), sky_order=9)


@pytest.fixture(scope="module")
def measured():
    effects = Effects(map_cells=2, colour_map=0, airmass=0, outliers=0, variables=0)
    return star_measurements(TINY, dithered_sequence(10, TINY), 1200, effects, seed=5)


@pytest.fixture
def table(measured, tmp_path):
    """As the other program wrote it: two files, other names, and some rows that are no use."""
    names = {"star_id": "starid", "ccd": "ccdid", "mag_e": "emag"}
    rows = measured[0].drop_columns(["exposure", "rcid"])
    rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
    rows = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    stars = pa.array([f"star {number}" for number in rows["starid"].to_numpy()])
    rows = rows.set_column(0, "starid", stars)
    useless = rows.slice(0, 1).set_column(0, "starid", pa.array([None], pa.string()))
    (tmp_path / "theirs").mkdir()
    for k, part in enumerate((rows.slice(0, 3000), pa.concat_tables([rows.slice(3000), useless, rows.slice(7, 1)]))):
        pq.write_table(part, tmp_path / f"theirs/{k}.parquet")
    return str(tmp_path / "theirs")


def test_an_imported_table_is_fitted_like_one_of_ours(measured, table, tmp_path):
    store, recipe = str(tmp_path / "store"), StarTableRecipe(imported_rows=3000)
    outcome = import_table(NIGHT, store, table, filters=["zr"], recipe=recipe, **HOW)
    assert outcome.set_aside == ()
    (index,) = outcome.of(Kind.STAR_INDEX)
    assert (index.about["no star id"], index.about["the same row again"]) == (1, 1)
    assert index.about["found"] == measured[0].num_rows + 2
    (names,) = outcome.of(Kind.STAR_NAMES)
    with opened(store).open(names) as path:
        known = pq.read_table(path).to_pydict()
    assert set(known["name"]) == {f"star {number}" for number in measured[0]["star_id"].to_numpy()}

    parts = partitions_of(index, opened(store))
    files = [tmp_path / "store" / one.ref.path for one in parts]
    theirs, ours = (fit_starflat(some, TINY, SEQUENCE.fit) for some in (ParquetSource(files), enough(measured[0])))
    # The same numbers but for pixels and colours as float32, in another order of stars.
    np.testing.assert_allclose(theirs.map, ours.map, atol=1e-5)

    assert import_table(NIGHT, store, table, filters=["zr"], recipe=recipe, **HOW).n_made == 0
    fitted = starflat(NIGHT, store, filters=["zr"], recipe=SEQUENCE, **HOW)  # nothing else is in the store: it is found
    with opened(store).open(fitted.of(Kind.STARFLAT_MAP)[0]) as path:
        map_ = pq.read_table(path).sort_by([("rcid", "ascending"), ("row", "ascending"), ("column", "ascending")])
    np.testing.assert_allclose(map_["map"].to_numpy(), ours.map.ravel(), atol=1e-5)
    again = starflat(NIGHT, store, filters=["zr"], recipe=SEQUENCE, table=index.ref.recipe, **HOW)
    assert again.n_made == 0


def enough(table):
    star = table["star_id"].to_numpy()
    values, counts = np.unique(star, return_counts=True)
    return table.filter(pa.array(np.isin(star, values[counts >= StarTableRecipe().observations])))


def test_a_file_without_pixels_gives_zero_points_within_their_errors(tmp_path):
    """As a light-curve service has it: stars named by text, no x and y, filters in a column, nights of a month."""
    pointings = survey(2, 8, TINY, seed=3, mjd=58578.2)
    effects = Effects(quadrant_zero_point=0.003, map=0, colour_map=0, airmass=0, outliers=0, variables=0)
    rows, truth = star_measurements(TINY, pointings, 2500, effects, seed=3)
    columns = {
        "oid": pa.array([f"ZTF{number}" for number in rows["star_id"].to_numpy()]),
        "filefracday": rows["exposure"], "mjd": rows["mjd"], "mag": rows["mag"], "magerr": rows["mag_e"],
        "filtercode": pa.array(["zr"] * rows.num_rows), "ccdid": rows["ccd"], "qid": rows["qid"],
        "catflags": pa.array([0] * rows.num_rows),
    }  # fmt: skip
    pacsv.write_csv(pa.table(columns), tmp_path / "curves.csv")
    store = str(tmp_path / "store")

    outcome = ubercal("20190405_20190505", store, table=str(tmp_path / "curves.csv"), recipe=SURVEY, **HOW)

    assert outcome.set_aside == ()
    with opened(store).open(outcome.of(Kind.ZERO_POINTS)[0]) as path:
        zero = pq.read_table(path).to_pandas()
    zero = zero[zero.component == 0]
    order = np.argsort(pointings.exposure)
    at = order[np.searchsorted(pointings.exposure[order], zero.exposure)]
    off = zero.zero_point - truth.zero_point[at] - truth.quadrant_zero_point[at, zero.rcid]
    assert len(zero) > 0.9 * len(set(zip(rows["exposure"].to_pylist(), rows["rcid"].to_pylist(), strict=True)))
    # The level is nobody's to know; errors are correlated over the sky: within a third of what is told.
    assert np.std(off) == pytest.approx(np.sqrt(np.mean(zero.sigma**2)), rel=0.33)
    assert noted_recipe(opened(store), outcome.of(Kind.ZERO_POINTS)[0].ref, SurveyRecipe).stars.imported.x == ""


def test_a_table_in_memory_is_taken(measured, tmp_path):
    frame = measured[0].to_pandas().rename(columns={"ccd": "ccdid"})
    outcome = import_table(NIGHT, str(tmp_path / "store"), frame, filters=["zr"], **HOW)
    (index,) = outcome.of(Kind.STAR_INDEX)
    assert index.about["kept"] == enough(measured[0]).num_rows


WRONG = [
    ({"table": "nothing"}, TooMuchSetAside, r"no table at nothing"),
    ({"columns": "theirs"}, ValueError, r"'theirs' is no map of columns; known: auto, .*irsa"),
    ({"filters": ["zz"]}, ValueError, r"\['zz'\]; known: zg, zr, zi"),
    ({"filters": None}, TooMuchSetAside, r"does not tell the filter"),
]


@pytest.mark.parametrize(("changed", "kind", "message"), WRONG)
def test_what_cannot_be_taken_is_named(table, tmp_path, changed, kind, message):
    asked = {"period": NIGHT, "store": str(tmp_path / "store"), "table": table, "filters": ["zr"]} | changed
    with pytest.raises(kind, match=message):
        import_table(**asked, **HOW)
