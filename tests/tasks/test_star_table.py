"""Which catalogues a partition is made of, and which starflat corrects each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from tasks.star_table import by_pixel, catalogues_of, nearest, starflats
from tests.tasks.shelf import NIGHT, Shelf, exposure, period
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.products import catalogue_ref, starflat_map_ref
from ztf_in2p3.recipes import SequenceRecipe, StarTableRecipe, digest
from ztf_in2p3.store.parquet import write_table

RECIPE = StarTableRecipe()


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def catalogued(shelf, at, ccdid=3, **about):
    return shelf.put(catalogue_ref(RECIPE.catalogue, CcdExposure(at, ccdid)), RECIPE.catalogue, about)


def test_catalogues_of_a_period_are_found_by_filter(shelf):
    wanted = [catalogued(shelf, exposure(k)) for k in (1, 2)]
    green = catalogued(shelf, exposure(3, filter=Filter.ZG))
    catalogued(shelf, exposure(4, night=date(2019, 4, 9)))
    catalogued(shelf, exposure(5), ccdid=4)
    found = catalogues_of(shelf.store, period("20190405_20190406"), RECIPE, ccdids=[3])
    assert found == {Filter.ZG: [green], Filter.ZR: wanted}
    assert catalogues_of(shelf.store, period("20190405"), RECIPE, filters=[Filter.ZG]) == {Filter.ZG: [green]}


def test_a_partition_is_made_of_the_catalogues_that_touch_it(shelf):
    # Pixels of order 6; four of them make one of order 5.
    one = catalogued(shelf, exposure(1), pixels="400 403")
    two = catalogued(shelf, exposure(2), pixels="403 404")
    nothing = catalogued(shelf, exposure(3), pixels="")
    found = by_pixel([one, two, nothing], RECIPE, shelf.store)
    assert found == {100: [one, two], 101: [two]}
    assert by_pixel([one, two], replace(RECIPE, order=6), shelf.store) == {400: [one], 403: [one, two], 404: [two]}


def test_fields_that_are_not_wanted_are_not_read(shelf):
    one = catalogued(shelf, exposure(1), pixels="400")
    assert by_pixel([one], replace(RECIPE, fields=(601,)), shelf.store) == {}
    assert by_pixel([one], replace(RECIPE, fields=(600,)), shelf.store) == {100: [one]}


def test_a_catalogue_that_does_not_say_where_it_is_is_asked(shelf):
    star_id = np.array([(400 << 12) + 5, (404 << 12) + 7, -1], np.int64) << np.array([35, 35, 0])

    def make(spool):
        write_table(spool, pa.table({"star_id": star_id}))

    ref = catalogue_ref(RECIPE.catalogue, CcdExposure(exposure(1), 3))
    one = shelf.store.build(ref, RECIPE.catalogue, [], make)
    assert by_pixel([one], RECIPE, shelf.store) == {100: [one], 101: [one]}


def test_magnitudes_are_corrected_with_the_map_nearest_in_time_of_their_filter(shelf):
    sequence = SequenceRecipe()
    maps = {
        (day, filter): shelf.put(starflat_map_ref(sequence, date(2019, 4, day), filter), sequence)
        for day, filter in ((1, Filter.ZR), (9, Filter.ZR), (5, Filter.ZG))
    }
    found = starflats(Filter.ZR, replace(RECIPE, starflat=digest(sequence)), shelf.store)
    assert found == [maps[1, Filter.ZR], maps[9, Filter.ZR]]
    assert nearest(found, NIGHT) == maps[1, Filter.ZR]  # as near as the other: the earlier
    assert nearest(found, date(2019, 4, 6)) == maps[9, Filter.ZR]
    assert nearest([], NIGHT) is None


def test_a_map_that_is_not_good_corrects_nothing(shelf):
    sequence = SequenceRecipe()

    def make(path):
        path.write_bytes(b"map")
        return {"good": False}

    shelf.store.build(starflat_map_ref(sequence, NIGHT, Filter.ZR), sequence, [], make)
    far = shelf.put(starflat_map_ref(sequence, date(2019, 6, 1), Filter.ZR), sequence)
    found = starflats(Filter.ZR, replace(RECIPE, starflat=digest(sequence)), shelf.store)
    assert nearest(found, NIGHT) == far
    assert starflats(Filter.ZR, RECIPE, shelf.store) == []
