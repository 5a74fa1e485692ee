"""Which frames are taken, and in which order."""

from datetime import date

import pytest

from tasks.inputs.selection import absent_from_store, by_ccd, by_led, frames, grouped, lacking
from tests.tasks.shelf import exposure, period
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.identifiers import Filter, ImageType
from ztf_in2p3.products import Kind, ccdid_of, exposure_of, filter_of, flat_ref
from ztf_in2p3.recipes import FlatRecipe

SIXTH = date(2019, 4, 6)


def numbers(found) -> list[int]:
    return [int(exposure_of(one.ref).filefracday[8:]) for one in found]


def test_frames_of_a_period_are_those_of_its_nights_in_the_order_of_time(shelf):
    shelf.raw(exposure(3, night=SIXTH))
    for number in (20, 1, 300):
        shelf.raw(exposure(number))
    shelf.raw(exposure(9, night=date(2019, 4, 7)))
    both = frames(shelf.store, Kind.RAW, period("20190405_20190406"))
    assert numbers(both) == [1, 20, 300, 3]
    assert numbers(frames(shelf.store, Kind.RAW, period("20190406"))) == [3]


def test_frames_are_chosen_by_type_filter_and_ccd(shelf):
    shelf.raw(exposure(1, ImageType.BIAS), 3)
    shelf.raw(exposure(2, ImageType.FLAT, Filter.ZG), 3)
    shelf.raw(exposure(3, ImageType.FLAT, Filter.ZR), 3)
    shelf.raw(exposure(3, ImageType.FLAT, Filter.ZR), 6)
    shelf.raw(exposure(4, ImageType.OBJECT, Filter.ZR), 3)
    night, store = period("20190405"), shelf.store
    assert numbers(frames(store, Kind.RAW, night)) == [4]
    assert numbers(frames(store, Kind.RAW, night, ImageType.BIAS)) == [1]
    assert numbers(frames(store, Kind.RAW, night, ImageType.FLAT)) == [2, 3, 3]
    assert numbers(frames(store, Kind.RAW, night, ImageType.FLAT, filters=[Filter.ZG])) == [2]
    (one,) = frames(store, Kind.RAW, night, ImageType.FLAT, filters=[Filter.ZR], ccdids=[6])
    assert ccdid_of(one.ref) == 6


@pytest.mark.parametrize(("last", "taken"), [(0, [1, 2, 3, 4, 1, 2]), (3, [2, 3, 4, 1, 2]), (1, [4, 2])])
def test_the_last_frames_of_each_night_are_taken_by_each_ccd(shelf, last, taken):
    for number in (1, 2, 3, 4):
        shelf.raw(exposure(number, ImageType.BIAS), 3)
    for number in (1, 2):
        shelf.raw(exposure(number, ImageType.BIAS, night=SIXTH), 3)
    shelf.raw(exposure(1, ImageType.BIAS), 6)
    found = by_ccd(frames(shelf.store, Kind.RAW, period("20190405_20190406"), ImageType.BIAS), last_of_night=last)
    assert {ccdid: numbers(some) for ccdid, some in found.items()} == {3: taken, 6: [1]}


def test_flats_of_a_lamp_belong_together_by_what_their_files_said(shelf):
    for number, (led, ccdid) in enumerate([(7, 3), (8, 3), (7, 3), (7, 6)]):
        shelf.raw(exposure(number, ImageType.FLAT), ccdid, led=led)
    shelf.raw(exposure(9, ImageType.FLAT, Filter.ZG), 3, led=2)
    found = by_led(frames(shelf.store, Kind.RAW, period("20190405"), ImageType.FLAT))
    assert {key: numbers(some) for key, some in found.items()} == {
        (Filter.ZG, 2, 3): [9],
        (Filter.ZR, 7, 3): [0, 2],
        (Filter.ZR, 7, 6): [3],
        (Filter.ZR, 8, 3): [1],
    }


def test_products_are_grouped_by_what_their_addresses_say(shelf):
    recipe, night = FlatRecipe(), period("20190405")
    flats = [
        shelf.put(flat_ref(recipe, night, filter, ccdid), recipe)
        for filter, ccdid in ((Filter.ZR, 6), (Filter.ZG, 3), (Filter.ZR, 3))
    ]
    found = grouped(flats, filter_of, ccdid_of)
    assert list(found) == [(Filter.ZG, 3), (Filter.ZR, 3), (Filter.ZR, 6)]
    assert {key: len(some) for key, some in grouped(flats, filter_of).items()} == {(Filter.ZG,): 1, (Filter.ZR,): 2}


def test_what_a_period_has_none_of_is_named_with_the_remedy(shelf):
    some = [shelf.raw(exposure(1, ImageType.BIAS))]
    assert lacking({"bias": some}, period("20190405")) == ()
    (aside,) = lacking({"bias": some, "flat": []}, period("20190405"))
    assert aside.what == "flat frames of 20190405_20190405"
    assert "run the flow download" in aside.reason


def test_frames_are_chosen_by_field_and_by_a_list(shelf):
    for number, ccdid in ((1, 3), (1, 6), (2, 3), (3, 3)):
        shelf.raw(exposure(number), ccdid)
    night, store = period("20190405"), shelf.store
    assert frames(store, Kind.RAW, night, fields=[655]) == []
    assert numbers(frames(store, Kind.RAW, night, fields=[600, 655])) == [1, 1, 2, 3]
    listed = ExposureList({("20190405000001", 6), ("20190405000003", None), ("20190405000009", None)})
    assert numbers(frames(store, Kind.RAW, night, exposures=listed)) == [1, 3]
    (missing,) = absent_from_store(store, night, exposures=listed)
    assert missing.what == "exposure 20190405000009"
    assert absent_from_store(store, night) == ()
