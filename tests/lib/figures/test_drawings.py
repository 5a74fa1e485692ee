"""The table of drawings: every row can be drawn, and says what one should see."""

import string
from dataclasses import replace

import pytest

from ztf_in2p3.figures.drawings import DRAWINGS, drawings_of
from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.figures.style import new_figure
from ztf_in2p3.products import Built, Kind, ProductRef

FIGURE = ProductRef(Kind.FIGURE, "-", "20190405/some", "some.png")


def product(kind: Kind, data_id: str = "20190405_20190405/zr/c03") -> Built:
    return Built(ProductRef(kind, "-", data_id, f"{kind}.fits"), "", 0)


def sheet(*products: Built, truth: object = None) -> Sheet:
    return Sheet(FIGURE, products, None, None, truth=truth)


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=str)
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
    title, _ = DRAWINGS["night/flat"].words(sheet(product(Kind.FLAT)), Drawn(new_figure(1.0)))
    assert title == "Master flat zr, 20190405_20190405"
    title, _ = DRAWINGS["ccd/pocket"].words(sheet(product(Kind.POCKET)), Drawn(new_figure(1.0)))
    assert title == "Pocket, CCD 03"
    words = {"cells": "64 parameters"}
    title, caption = DRAWINGS["starflat/truth"].words(sheet(product(Kind.STARFLAT_MAP)), Drawn(new_figure(1.0), words))
    assert title == "Starflat zr, 2019-04-05 beside the truth"
    assert caption.endswith("64 parameters.")


def test_words_follow_the_truth():
    drawn, row = Drawn(new_figure(1.0), {"name": "q1"}), DRAWINGS["night/quadrant"]
    assert "median of the image" in row.words(sheet(product(Kind.CATALOGUE)), drawn)[1]
    assert "its true value" in row.words(sheet(product(Kind.CATALOGUE), truth=object()), drawn)[1]
    with pytest.raises(ValueError, match="needs the truth of a simulated survey"):
        _ = sheet().required_truth


def test_a_drawing_takes_the_products_that_it_needs_or_none():
    products = [product(kind) for kind in (Kind.STARFLAT_MAP, Kind.STARFLAT_RESIDUALS, Kind.STARFLAT)]
    assert DRAWINGS["starflat/truth"].inputs(products) == [products[0], products[2]]
    assert DRAWINGS["starflat/truth"].inputs(products[:2]) == []
    assert replace(DRAWINGS["starflat/truth"], needs=(Kind.PSF,)).inputs(products) == []


def test_a_page_is_drawn_in_the_order_of_the_table():
    names = [drawing.stem for drawing in drawings_of("starflat")]
    assert names == ["map", "quadrants", "gains", "residuals", "chi2"]
    assert [drawing.stem for drawing in drawings_of("starflat", truth="folder")] == [*names, "truth", "pulls"]
    assert "gains" not in [drawing.stem for drawing in drawings_of("starflat", without=["gains"])]
