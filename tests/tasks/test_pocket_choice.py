"""A measured pocket is chosen like the masters, where the recipe asks for it and there was one."""

from __future__ import annotations

from datetime import date

import pytest

from tasks.inputs.calibrations import Calibrations, pockets_for
from tests.tasks.shelf import Shelf, exposure, period
from tests.tasks.test_choice import put
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.products import period_of, pocket_ref
from ztf_in2p3.recipes import QuadrantRecipe, recipe_from

SENSOR = {"pocket": "equilibrium"}
RECIPE = recipe_from(QuadrantRecipe, {"focal_plane": {"flat": {"led": {"bias": {"sensor": SENSOR}}}}})
MARCH, APRIL = "20200301_20200331", "20200401_20200420"


@pytest.fixture
def pocketed(shelf) -> Shelf:
    for at in (MARCH, APRIL):
        put(shelf, at, "bias", "flat", "level", recipe=RECIPE)
        shelf.put(pocket_ref(RECIPE.pocket, period(at), 3), RECIPE.pocket)
    return shelf


def on(night: date) -> CcdExposure:
    return CcdExposure(exposure(1, night=night), 3)


def test_the_nearest_pocket_is_chosen_and_told(pocketed):
    night = date(2020, 4, 25)
    chosen = Calibrations(pocketed.store, RECIPE).of(on(night))
    assert str(period_of(chosen.pocket.built.ref)) == APRIL
    assert chosen.pocket.built in chosen.inputs
    cards = chosen.cards(night)
    assert cards["POCKFILE"][0] == "ztfin2p3_2020040120200420_000000_c03_pocket.parquet"
    assert cards["POCKDAYS"][0] == 5


def test_no_pocket_is_looked_for_where_none_is_needed(pocketed):
    put(pocketed, "20191022", "bias", "flat", "level", recipe=RECIPE)
    assert Calibrations(pocketed.store, RECIPE).of(on(date(2019, 10, 22))).pocket is None
    put(pocketed, APRIL, "bias", "flat", "level")  # of the recipe with the power law
    chosen = Calibrations(pocketed.store, QuadrantRecipe()).of(on(date(2020, 4, 5)))
    assert chosen.pocket is None
    assert "POCKFILE" not in chosen.cards(date(2020, 4, 5))


def test_beyond_the_tolerance_there_is_none(pocketed):
    put(pocketed, "20200520", "bias", "flat", "level", recipe=RECIPE)
    with pytest.raises(MissingProduct, match=r"pocket: .*days away.*measured by the flow pocket"):
        Calibrations(pocketed.store, RECIPE).of(on(date(2020, 5, 20)))


def test_flats_of_a_period_take_that_of_their_middle(pocketed):
    nights = [date(2020, 4, 25), date(2020, 4, 26), date(2020, 6, 1)]
    raws = [pocketed.raw(exposure(1, ImageType.FLAT, night=night)) for night in nights]
    found, aside = pockets_for({"near": raws, "far": raws[2:]}, Calibrations(pocketed.store, RECIPE))
    assert {key: str(period_of(pocket.built.ref)) for key, pocket in found.items()} == {"near": APRIL}
    assert [one.what.split()[0] for one in aside] == ["1"]
