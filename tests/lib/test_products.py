"""Addresses: what went into one comes out of it, and every kind has a row of the table."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3 import products
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, ccd_of, ccdid_of, exposure_of, filter_of, led_of, part_of, period_of, quadrant_of
from ztf_in2p3.products.layout import LAYOUTS
from ztf_in2p3.recipes import (
    BiasRecipe,
    CatalogueRecipe,
    FlatRecipe,
    LedFlatRecipe,
    LightCurveRecipe,
    OperatorsWord,
    PsfCatalogueRecipe,
    QuadrantRecipe,
    ReportRecipe,
    StarTableRecipe,
)

ccdids, qids = st.integers(1, 16), st.integers(1, 4)
filters = st.sampled_from([Filter.ZG, Filter.ZR, Filter.ZI])
nights = st.dates(date(2017, 11, 1), date(2030, 1, 1))
periods = st.tuples(nights, nights).map(lambda pair: Period(min(pair), max(pair)))
ccds = st.builds(
    lambda night, number, filter, ccdid: CcdExposure(
        Exposure(f"{night:%Y%m%d}{number:06d}", 600, filter, ImageType.OBJECT), ccdid
    ),
    nights, st.integers(0, 999_999), filters, ccdids,
)  # fmt: skip


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_row(kind):
    assert LAYOUTS[kind]


@given(ccds, qids)
def test_a_product_of_an_exposure_names_it(ccd, qid):
    for ref in (
        products.raw_ref(ccd),
        products.catalogue_ref(CatalogueRecipe(), ccd),
        products.header_ref(ccd, qid),
        products.quadrant_ref(QuadrantRecipe(), ccd, qid),
    ):
        assert (exposure_of(ref), ccd_of(ref), filter_of(ref)) == (ccd.exposure, ccd, ccd.exposure.filter)
    image = f"{ccd.exposure}/{Quadrant(ccd.ccdid, qid)}"
    for ref in (
        products.header_ref(ccd, qid),
        products.psf_ref(PsfCatalogueRecipe(), image),
        products.stamp_ref(PsfCatalogueRecipe(), image, "SN 2019abc"),
    ):
        assert quadrant_of(ref) == Quadrant(ccd.ccdid, qid)
        assert f"{ccd}_q{qid}".removeprefix("ztf") in ref.file_name


@given(periods, filters, ccdids, st.integers(1, 13))
def test_a_product_of_a_period_names_it(period, filter, ccdid, led):
    bias = products.bias_ref(BiasRecipe(), period, ccdid)
    led_flat = products.led_flat_ref(LedFlatRecipe(), period, filter, led, ccdid)
    flat = products.flat_ref(FlatRecipe(), period, filter, ccdid)
    verdict = products.quality_ref(OperatorsWord("good", "seen"), flat)
    for ref in (bias, led_flat, flat, verdict):
        assert (period_of(ref), ccdid_of(ref)) == (period, ccdid)
    assert (filter_of(led_flat), filter_of(flat), led_of(led_flat)) == (filter, filter, led)
    assert (part_of(flat), part_of(bias)) == (f"{filter}/c{ccdid:02d}", f"c{ccdid:02d}")
    stars = products.star_table_ref(StarTableRecipe(), period, filter, "n3_55")
    assert (period_of(stars), filter_of(stars)) == (period, filter)


@given(nights)
def test_a_page_of_a_night_is_of_that_night(night):
    assert period_of(products.report_ref(ReportRecipe(), night)) == Period.of(night)
    assert period_of(products.figure_ref(ReportRecipe(), night, "bias")) == Period.of(night)


def test_what_an_address_does_not_name_is_no_guess():
    for ref, read in (
        (products.flat_ref(FlatRecipe(), Period.of(date(2019, 4, 5)), Filter.ZR, 12), led_of),
        (products.report_ref(ReportRecipe(), date(2019, 4, 5)), ccdid_of),
        (products.image_ref("old", "old.fits"), exposure_of),
        (products.light_curve_ref(LightCurveRecipe(), "sn", "zr"), period_of),
    ):
        with pytest.raises(ValueError, match=f"{ref.kind}.* names no"):
            read(ref)
