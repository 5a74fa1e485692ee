"""Which exposures make a sequence, and which pictures can be drawn of what was fitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from tasks.pages.drawing import draw_figure
from tasks.runtime.outcome import Outcome
from tasks.runtime.policies import computed_by
from tasks.starflat import starflat_pages
from tests.tasks.shelf import NIGHT, Shelf
from ztf_in2p3.camera import TINY
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Kind, starflat_map_ref, starflat_ref, starflat_residuals_ref
from ztf_in2p3.recipes import SequenceRecipe, SequenceReportRecipe, StarflatRecipe
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

    def drawn(products, recipe=RECIPE, truth=None):
        (page,) = starflat_pages(Outcome(products), SequenceReportRecipe(recipe), truth)
        assert (page.key, page.title) == ("starflat-zr", "Starflat zr, 2019-04-05")
        return {sketch.drawing.removeprefix("starflat/"): sketch.inputs for sketch in page.figures}

    usual = ["map", "quadrants", "residuals", "chi2"]
    assert list(drawn(products.values())) == usual
    assert list(drawn(products.values(), truth="survey")) == [*usual, "truth", "pulls"]
    assert "gains" in drawn(products.values(), replace(RECIPE, fit=StarflatRecipe(gain=True)))
    only_map = products[Kind.STARFLAT_MAP]
    assert drawn([only_map]) == {"map": [only_map], "quadrants": [only_map]}


def test_sequences_of_several_years_are_drawn_beside_one_another(shelf):
    rcid, row, column = (index.ravel() for index in np.indices((64, 2, 2)))

    def put(night, step):
        def make(spool):
            values = {name: np.zeros(len(rcid)) for name in schema_of(STARFLAT_MAP).names}
            values |= {"rcid": rcid, "row": row, "column": column, "map": step * rcid / 64, "map_e": 0.001 + 0 * rcid}
            write_table(spool, pa.table(values).cast(schema_of(STARFLAT_MAP)))

        return shelf.store.build(starflat_map_ref(RECIPE, night, Filter.ZR), RECIPE, [], make)

    maps = [put(date(2019, 4, 5), 0.0), put(date(2020, 4, 5), 0.02)]
    *_, page = starflat_pages(Outcome(maps), SequenceReportRecipe(RECIPE), None)
    (sketch,) = page.figures
    assert (sketch.drawing, sketch.inputs) == ("starflats/comparison", maps)
    recipe = SequenceReportRecipe(RECIPE)
    figure = computed_by(draw_figure)(sketch.output, sketch.drawing, maps, recipe, shelf.store, TINY)
    with shelf.store.open(figure) as path:
        assert path.read_bytes().startswith(b"\x89PNG")
    assert figure.about["title"] == "Starflats compared"
