"""Each exposure gets the nearest good masters, and a level that belongs to its flat."""

from dataclasses import replace
from datetime import date

import pytest

from tasks.inputs.calibrations import Calibrations
from tests.tasks.shelf import Shelf, exposure, period
from ztf_in2p3.detrend.verdicts import rulings
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.products import bad_pixels_ref, bias_ref, flat_ref, focal_plane_ref, period_of, quality_ref
from ztf_in2p3.recipes import QuadrantRecipe, recipe_from

RECIPE = QuadrantRecipe()
MARCH, APRIL, MAY = "20190301_20190331", "20190401_20190420", "20190501"


def put(shelf: Shelf, at: str, *kinds: str, recipe=RECIPE, filter: Filter = Filter.ZR, ccdid: int = 3) -> None:
    if "bias" in kinds:
        shelf.put(bias_ref(recipe.bias, period(at), ccdid), recipe.bias)
    if "flat" in kinds:
        shelf.put(flat_ref(recipe.flat, period(at), filter, ccdid), recipe.flat)
    if "level" in kinds:
        shelf.put(focal_plane_ref(recipe.focal_plane, period(at), filter), recipe.focal_plane)


def judge(shelf: Shelf, at: str, quality: str, reason: str = "") -> None:
    """Put a verdict on the bias of a period."""
    bias = shelf.store.require(bias_ref(RECIPE.bias, period(at), 3))
    about = {"quality": quality, "reason": reason, "master": bias.sha256}
    shelf.put(quality_ref(RECIPE.bias_verdict, bias.ref), RECIPE.bias_verdict, about=about)


def calibration(shelf: Shelf, night: date, recipe=RECIPE, said=()):
    return Calibrations(shelf.store, recipe, said).of(CcdExposure(exposure(1, night=night), 3))


def chosen(shelf: Shelf, night: date, recipe=RECIPE, said=()) -> list[str]:
    """Periods of bias, flat and level."""
    found = calibration(shelf, night, recipe, said)
    return [str(period_of(one.ref)) for one in (found.bias.built, found.flat.built, found.focal_plane)]


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
    cards = calibration(shelf, night).cards(night)
    assert {key: value for key, (value, _) in cards.items()} == {
        "BIASFILE": "ztfin2p3_2019030120190331_000000_bi_c03_bias.fits",
        "BIASDAYS": 5,
        "BIASQUAL": "good",
        "FLATFILE": "ztfin2p3_2019040120190420_000000_zr_c03_l00_flat.fits",
        "FLATDAYS": 0,
        "FLATQUAL": "good",
        "BPIXFILE": "",
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


# --- good, suspect, rejected


def test_a_suspect_master_waits_until_no_good_one_is_near(shelf):
    put(shelf, APRIL, "flat", "level")
    for at in ("20190401", "20190405"):
        put(shelf, at, "bias")
    judge(shelf, "20190401", "good")
    judge(shelf, "20190405", "suspect", "a fifth of it moved")
    night = date(2019, 4, 6)
    assert chosen(shelf, night)[0] == "20190401_20190401"
    lenient, strict = replace(RECIPE, suspects=True), replace(RECIPE, tolerance_days=2)
    assert chosen(shelf, night, lenient)[0] == "20190401_20190401"
    with pytest.raises(MissingProduct, match="suspect: a fifth of it moved"):
        chosen(shelf, night, strict)
    taken = calibration(shelf, night, replace(lenient, tolerance_days=2))
    assert taken.cards(night)["BIASQUAL"][0] == "suspect"
    assert taken.bias.verdict in taken.inputs


def test_a_verdict_on_a_master_that_was_made_anew_since_counts_no_more(shelf):
    put(shelf, APRIL, "bias", "flat", "level")
    bias = shelf.store.require(bias_ref(RECIPE.bias, period(APRIL), 3))
    verdict = quality_ref(RECIPE.bias_verdict, bias.ref)
    shelf.put(verdict, RECIPE.bias_verdict, about={"quality": "suspect", "reason": "", "master": "another sha256"})
    assert chosen(shelf, date(2019, 4, 5))[0] == APRIL


SAID = """
[[verdict]]
kind = "bias"
period = "20190401_20190420"
quality = "rejected"
reason = "dome lights were on"
"""


def test_the_operators_word_goes_over_the_verdict(shelf):
    put(shelf, MARCH, "bias")
    put(shelf, APRIL, "bias", "flat", "level")
    night = date(2019, 4, 5)
    assert chosen(shelf, night)[0] == APRIL
    assert chosen(shelf, night, said=rulings(SAID))[0] == MARCH
    with pytest.raises(MissingProduct, match="rejected: dome lights were on"):
        chosen(shelf, night, replace(RECIPE, tolerance_days=3, suspects=True), said=rulings(SAID))
    # Of another CCD it says nothing; the later word goes over the earlier one.
    part = SAID + 'part = "c04"\n'
    assert chosen(shelf, night, said=rulings(part))[0] == APRIL
    assert chosen(shelf, night, said=rulings(SAID + SAID.replace("rejected", "good")))[0] == APRIL


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SAID.replace("rejected", "bad"), "expected 'good' or 'rejected'"),
        (SAID.replace('kind = "bias"\n', ""), "lacks .'kind'."),
        (SAID.replace("reason", "because"), "unknown .'because'."),
        (SAID.replace("20190401_", "2019-x_"), "is no period"),
    ],
)
def test_an_operators_word_that_is_not_understood_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        rulings(text)


def test_only_older_ones_if_the_recipe_says_so(shelf):
    put(shelf, APRIL, "flat", "level")
    for at in ("20190330", "20190406"):
        put(shelf, at, "bias")
    assert chosen(shelf, date(2019, 4, 5))[0] == "20190406_20190406"
    assert chosen(shelf, date(2019, 4, 5), replace(RECIPE, choice="older"))[0] == "20190330_20190330"


def test_bad_pixels_are_those_of_the_flat(shelf):
    put(shelf, APRIL, "bias", "flat", "level")
    recipe = RECIPE.bad_pixel_map
    for at in (APRIL, "20190405"):
        shelf.put(bad_pixels_ref(recipe, period(at), Filter.ZR, 3), recipe)
    found = calibration(shelf, date(2019, 4, 5))
    assert str(period_of(found.bad_pixels.ref)) == APRIL
    assert found.bad_pixels in found.inputs
    assert calibration(shelf, date(2019, 4, 5), replace(RECIPE, mask_bad_pixels=False)).maps == []
