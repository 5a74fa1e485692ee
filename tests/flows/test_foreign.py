"""A table of another program comes into the store, and our fits read it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.foreign import foreign
from tasks.runtime.product_flow import TooMuchSetAside
from tasks.star_table import partitions_of
from tests.flows.night import opened
from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.sources import ParquetSource
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import StarflatRecipe, StarTableRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.model import fit_starflat

NIGHT = "20190405"
HOW = {"camera": "tiny", "workers": 0}


@pytest.fixture(scope="module")
def measured():
    effects = Effects(map_cells=2, colour_map=0, airmass=0, outliers=0, variables=0)
    return star_measurements(TINY, dithered_sequence(10, TINY), 1200, effects, seed=5)


@pytest.fixture
def table(measured, tmp_path):
    """As the other program wrote it: two files, other names."""
    names = {"star_id": "starid", "ccd": "ccdid", "mag_e": "emag"}
    rows = measured[0].drop_columns(["exposure", "rcid"])
    rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
    rows = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    (tmp_path / "theirs").mkdir()
    for k, part in enumerate((rows.slice(0, 3000), rows.slice(3000))):
        pq.write_table(part, tmp_path / f"theirs/{k}.parquet")
    return str(tmp_path / "theirs")


def test_a_foreign_table_is_fitted_like_one_of_ours(measured, table, tmp_path):
    store, recipe = str(tmp_path / "store"), StarTableRecipe(foreign_rows=3000)
    outcome = foreign(table, NIGHT, "zr", store, recipe=recipe, **HOW)
    assert outcome.set_aside == ()
    (index,) = outcome.of(Kind.STAR_INDEX)
    parts = partitions_of(index, opened(store))
    assert len(parts) == len(outcome.of(Kind.STAR_TABLE)) == -(-measured[0].num_rows // 3000)
    assert index.about["found"] == measured[0].num_rows

    files = [tmp_path / "store" / one.ref.path for one in parts]
    fit = StarflatRecipe(model="zp", superpixels=2)
    theirs, ours = (fit_starflat(some, TINY, fit) for some in (ParquetSource(files), enough(measured[0])))
    # The same numbers but for pixels and colours as float32, in another order of stars.
    np.testing.assert_allclose(theirs.map, ours.map, atol=1e-5)

    assert foreign(table, NIGHT, "zr", store, recipe=recipe, **HOW).n_made == 0


def enough(table):
    star = table["star_id"].to_numpy()
    values, counts = np.unique(star, return_counts=True)
    return table.filter(pa.array(np.isin(star, values[counts >= StarTableRecipe().observations])))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(TooMuchSetAside, match=r"no Parquet file at .*nothing"):
        foreign(str(tmp_path / "nothing"), NIGHT, "zr", str(tmp_path / "store"), **HOW)


def test_a_filter_that_does_not_exist_is_named(table, tmp_path):
    with pytest.raises(ValueError, match=r"\['zz'\]; known: zg, zr, zi"):
        foreign(table, NIGHT, "zz", str(tmp_path / "store"), **HOW)
