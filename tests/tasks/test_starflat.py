"""Which exposures make a sequence, and which pictures can be drawn of what was fitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from tasks.starflat_report import called, draw, sketches
from tests.tasks.shelf import NIGHT, Shelf
from ztf_in2p3.camera import TINY
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Kind, starflat_map_ref, starflat_ref, starflat_residuals_ref
from ztf_in2p3.recipes import SequenceRecipe, StarflatRecipe
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.tables import STARFLAT_MAP, schema_of

RECIPE = SequenceRecipe()
CATALOGUE = RECIPE.stars.catalogue


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def test_pictures_are_drawn_of_what_there_is(shelf):
    refs = {
        Kind.STARFLAT: starflat_ref,
        Kind.STARFLAT_MAP: starflat_map_ref,
        Kind.STARFLAT_RESIDUALS: starflat_residuals_ref,
    }
    products = {kind: shelf.put(ref(RECIPE, NIGHT, Filter.ZR), RECIPE) for kind, ref in refs.items()}
    usual = ["map", "quadrants", "residuals", "chi2"]
    assert [name for name, _ in sketches(products, RECIPE, None)] == usual
    assert [name for name, _ in sketches(products, RECIPE, "survey")] == [*usual, "truth", "pulls"]
    with_gain = replace(RECIPE, fit=StarflatRecipe(gain=True))
    assert "gains" in [name for name, _ in sketches(products, with_gain, None)]
    some = {kind: one for kind, one in products.items() if kind is Kind.STARFLAT_MAP}
    assert sketches(some, RECIPE, None) == [(name, list(some.values())) for name in ("map", "quadrants")]


def test_sequences_of_several_years_are_drawn_beside_one_another(shelf):
    rcid, row, column = (index.ravel() for index in np.indices((64, 2, 2)))

    def put(night, step):
        def make(spool):
            values = {name: np.zeros(len(rcid)) for name in schema_of(STARFLAT_MAP).names}
            values |= {"rcid": rcid, "row": row, "column": column, "map": step * rcid / 64, "map_e": 0.001 + 0 * rcid}
            write_table(spool, pa.table(values).cast(schema_of(STARFLAT_MAP)))

        return shelf.store.build(starflat_map_ref(RECIPE, night, Filter.ZR), RECIPE, [], make)

    maps = [put(date(2019, 4, 5), 0.0), put(date(2020, 4, 5), 0.02)]
    picture = draw("comparison", maps, TINY, RECIPE, shelf.store, None)
    assert picture.png.startswith(b"\x89PNG")
    assert [called(one) for one in maps] == ["zr, 2019-04-05", "zr, 2020-04-05"]


def test_a_picture_of_the_truth_needs_one(shelf):
    maps = [shelf.put(starflat_map_ref(RECIPE, NIGHT, Filter.ZR), RECIPE)]
    maps = [
        shelf.store.build(maps[0].ref, RECIPE, [maps[0]], lambda spool: write_table(spool, pa.table({"rcid": [0]})))
    ]
    with pytest.raises(ValueError, match="'truth' needs the truth"):
        draw("truth", maps, TINY, RECIPE, shelf.store, None)
