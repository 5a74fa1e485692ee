"""Each exposure gets the nearest masters, and a level that belongs to its flat."""

from dataclasses import replace
from datetime import date

import pytest

from lib.errors import MissingProduct
from lib.identifiers import CcdExposure, Filter
from lib.products import bias_ref, flat_ref, focal_plane_ref, period_of
from lib.recipes import QuadrantRecipe, recipe_from
from tasks.choice import Calibrations
from tests.tasks.shelf import Shelf, exposure, period

RECIPE = QuadrantRecipe()
MARCH, APRIL, MAY = "20190301_20190331", "20190401_20190420", "20190501"


def put(shelf: Shelf, at: str, *kinds: str, recipe=RECIPE, filter: Filter = Filter.ZR, ccdid: int = 3) -> None:
    if "bias" in kinds:
        shelf.put(bias_ref(recipe.bias, period(at), ccdid), recipe.bias)
    if "flat" in kinds:
        shelf.put(flat_ref(recipe.flat, period(at), filter, ccdid), recipe.flat)
    if "level" in kinds:
        shelf.put(focal_plane_ref(recipe.focal_plane, period(at), filter), recipe.focal_plane)


def chosen(shelf: Shelf, night: date, recipe=RECIPE) -> list[str]:
    """Periods of bias, flat and level."""
    found = Calibrations(shelf.store, recipe).of(CcdExposure(exposure(1, night=night), 3))
    return [str(period_of(one.ref)) for one in found.inputs]


def test_each_sort_of_master_is_the_nearest_of_its_own(shelf):
    put(shelf, MARCH, "bias")
    put(shelf, APRIL, "flat", "level")
    put(shelf, MAY, "bias", "flat", "level")
    assert chosen(shelf, date(2019, 4, 5)) == [MARCH, APRIL, APRIL]
    assert chosen(shelf, date(2019, 4, 28)) == ["20190501_20190501"] * 3
    # 24 April: bias 7 days ahead (24 back), flat 4 days back (7 ahead).
    assert chosen(shelf, date(2019, 4, 24)) == ["20190501_20190501", APRIL, APRIL]


def test_the_cards_say_which_and_how_far(shelf):
    put(shelf, MARCH, "bias")
    put(shelf, APRIL, "flat", "level")
    night = date(2019, 4, 5)
    cards = Calibrations(shelf.store, RECIPE).of(CcdExposure(exposure(1, night=night), 3)).cards(night)
    assert {key: value for key, (value, _) in cards.items()} == {
        "BIASFILE": "ztfin2p3_2019030120190331_000000_bi_c03_bias.fits",
        "BIASDAYS": 5,
        "FLATFILE": "ztfin2p3_2019040120190420_000000_zr_c03_l00_flat.fits",
        "FLATDAYS": 0,
    }


def test_beyond_the_tolerance_there_is_none(shelf):
    put(shelf, APRIL, "bias", "flat", "level")
    assert chosen(shelf, date(2019, 4, 30))[0] == APRIL
    with pytest.raises(MissingProduct, match=r"20190501000001.*c03.*, bias: .*11 days away.*tolerance_days"):
        chosen(shelf, date(2019, 5, 1))
    assert chosen(shelf, date(2019, 5, 1), replace(RECIPE, tolerance_days=11))[0] == APRIL


def test_a_level_of_another_period_does_not_serve(shelf):
    """A flat's level means something beside those of the same lamps and nights only."""
    put(shelf, APRIL, "bias", "flat")
    put(shelf, MARCH, "level")
    with pytest.raises(MissingProduct, match="has no focal-plane level; run calibrate for its period"):
        chosen(shelf, date(2019, 4, 5))


@pytest.mark.parametrize("other", [{"filter": Filter.ZG}, {"ccdid": 4}], ids=["filter", "CCD"])
def test_masters_of_another_filter_or_ccd_do_not_serve(shelf, other):
    put(shelf, APRIL, "bias", "level")
    put(shelf, APRIL, "flat", **other)
    with pytest.raises(MissingProduct, match=r"flat: .*none at all"):
        chosen(shelf, date(2019, 4, 5))


def test_masters_of_another_recipe_do_not_serve(shelf):
    other = recipe_from(QuadrantRecipe, {"focal_plane": {"flat": {"led": {"bias": {"clip": 4.0}}}}})
    put(shelf, APRIL, "bias", "flat", "level", recipe=other)
    assert chosen(shelf, date(2019, 4, 5), other) == [APRIL] * 3
    with pytest.raises(MissingProduct, match=r"bias: .*none at all"):
        chosen(shelf, date(2019, 4, 5))
