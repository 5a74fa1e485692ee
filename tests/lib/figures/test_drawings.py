"""The table of drawings: every row can be drawn, and says what one should see."""

import string
from dataclasses import replace
from datetime import date

import pytest

from ztf_in2p3.figures.drawings import DRAWINGS, drawings_of
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.style import new_figure
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import (
    Built,
    Kind,
    ProductRef,
    figure_ref,
    flat_ref,
    pocket_ref,
    starflat_map_ref,
    starflat_ref,
    starflat_residuals_ref,
)
from ztf_in2p3.recipes import FlatRecipe, PocketRecipe, ReportRecipe, SequenceRecipe

NIGHT = date(2019, 4, 5)
FLAT = flat_ref(FlatRecipe(), Period.of(NIGHT), Filter.ZR, 3)
MAP = starflat_map_ref(SequenceRecipe(), NIGHT, Filter.ZR)


def product(ref: ProductRef) -> Built:
    return Built(ref, "", 0)


def sheet(*products: Built, truth: object = None) -> Sheet:
    return Sheet(figure_ref(ReportRecipe(), NIGHT, "bias"), products, None, None, truth=truth)


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=list(DRAWINGS))
def test_a_row_is_complete_and_its_blanks_can_be_filled(drawing):
    assert drawing.page
    assert drawing.stem
    assert len(drawing.title) > 2
    assert len(drawing.caption) > 80
    text = drawing.title + drawing.caption + drawing.beside_truth + drawing.without_truth
    for _, blank, _, _ in string.Formatter().parse(text):
        place, _, name = (blank or "").partition(".")
        assert not name or (place == "sheet" and hasattr(Sheet, name)), f"nothing fills {{{blank}}}"


def test_titles_name_what_is_shown():
    title, _ = DRAWINGS["night/flat"].words(sheet(product(FLAT)), Drawn(new_figure(1.0)))
    assert title == "Master flat zr, 20190405_20190405"
    title, _ = DRAWINGS["ccd/pocket"].words(
        sheet(product(pocket_ref(PocketRecipe(), Period.of(NIGHT), 3))), Drawn(new_figure(1.0))
    )
    assert title == "Pocket, CCD 03"
    words = {"cells": "64 parameters"}
    title, caption = DRAWINGS["starflat/truth"].words(sheet(product(MAP)), Drawn(new_figure(1.0), words))
    assert title == "Starflat zr, 2019-04-05 beside the truth"
    assert caption.endswith("64 parameters.")


def test_words_follow_the_truth():
    drawn, row = Drawn(new_figure(1.0), {"name": "q1"}), DRAWINGS["night/quadrant"]
    assert "median of the image" in row.words(sheet(), drawn)[1]
    assert "its true value" in row.words(sheet(truth=object()), drawn)[1]
    with pytest.raises(ValueError, match="needs the truth of a simulated survey"):
        _ = sheet().required_truth


def test_a_drawing_takes_the_products_that_it_needs_or_none():
    refs = (starflat_map_ref, starflat_residuals_ref, starflat_ref)
    products = [product(ref(SequenceRecipe(), NIGHT, Filter.ZR)) for ref in refs]
    assert DRAWINGS["starflat/truth"].inputs(products) == [products[0], products[2]]
    assert DRAWINGS["starflat/truth"].inputs(products[:2]) == []
    assert replace(DRAWINGS["starflat/truth"], needs=(Kind.PSF,)).inputs(products) == []


def test_a_page_is_drawn_in_the_order_of_the_table():
    names = [drawing.stem for drawing in drawings_of("starflat")]
    assert names == ["map", "quadrants", "gains", "residuals", "chi2"]
    assert [drawing.stem for drawing in drawings_of("starflat", truth="folder")] == [*names, "truth", "pulls"]
    assert "gains" not in [drawing.stem for drawing in drawings_of("starflat", without=["gains"])]
