"""A header kept without its pixels is valid FITS and loses no card."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.archive.tiny_tree import SCALE, SHAPE, SKY, science_header
from ztf_in2p3.archive.errors import Damaged
from ztf_in2p3.archive.header import about_image, read_until_end, without_pixels, write_header
from ztf_in2p3.cards import number

STRUCTURE = {"NAXIS", "NAXIS1", "NAXIS2"}


def image(**cards):
    header = science_header(SKY, 1)
    header.update(cards)
    return fits.PrimaryHDU(np.zeros(SHAPE, "f4"), header)


def test_every_card_is_kept_in_its_place(tmp_path):
    original = image(DATASUM="1234", CHECKSUM="abcd").header
    path = tmp_path / "scihdr.fits"
    write_header(path, original)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 1
            assert hdus[0].data is None
            kept = hdus[0].header
    renamed = {"NAXIS1": "ZNAXIS1", "NAXIS2": "ZNAXIS2", "DATASUM": "ZDATASUM", "CHECKSUM": "ZHECKSUM"}
    assert [renamed.get(key, key) for key in original if key != "NAXIS"] == [
        key for key in kept if key not in ("NAXIS", "ZNAXIS")
    ]
    untouched = {card.image for card in original.cards if card.keyword not in STRUCTURE | set(renamed)}
    assert untouched <= {card.image for card in kept.cards}
    assert (kept["ZNAXIS1"], kept["ZNAXIS2"], kept["NAXIS"]) == (SHAPE[1], SHAPE[0], 0)
    assert path.stat().st_size % 2880 == 0


def test_astrometry_and_what_is_known_survive(tmp_path):
    original = image().header
    write_header(tmp_path / "h.fits", original)
    kept = fits.getheader(tmp_path / "h.fits")
    pixels = np.array([[1.0, 2.0], [30.0, 17.0]])
    np.testing.assert_array_equal(WCS(kept, naxis=2).wcs_pix2world(pixels, 1), WCS(original).wcs_pix2world(pixels, 1))
    assert about_image(kept) == about_image(original)


def test_taking_the_pixels_away_twice_is_taking_them_away_once():
    once = without_pixels(image().header)
    assert without_pixels(once).tostring() == once.tostring()


def test_the_circle_around_an_image_holds_its_corners():
    about = about_image(image().header)
    rows, columns = SHAPE
    # Centre and half diagonal of a tangent plane a hundredth of a degree wide: flat to 1e-8.
    assert about["ra"] == pytest.approx(57.9974 + 0.5 * SCALE / math.cos(math.radians(35.746)), abs=1e-6)
    assert about["dec"] == pytest.approx(35.74629 + 0.5 * SCALE, abs=1e-6)
    assert about["radius"] == pytest.approx(math.hypot(rows + 1, columns + 1) / 2 * SCALE, rel=1e-3)


@pytest.mark.parametrize("cards", [{"CTYPE1": "RA---XXX"}, {"CD1_1": 0.0, "CD2_2": 0.0}, {"CRVAL1": "east"}])
def test_astrometry_that_cannot_be_used_is_none(cards):
    about = about_image(image(**cards).header)
    assert (about["wcs"], about["ra"]) == (False, None)


def test_absent_cards_and_words_are_unknown():
    header = fits.Header()
    header["BLANKED"] = None
    header["WORD"] = "fair"
    assert number(header, "ABSENT") is None
    assert number(header, "BLANKED") is None
    assert number(header, "WORD") is None
    assert set(about_image(header).values()) == {None, False}


@given(cuts=st.lists(st.integers(1, 5000), min_size=1, max_size=6))
def test_the_header_does_not_depend_on_how_the_stream_is_cut(cuts):
    text = without_pixels(image().header).tostring().encode() + b"\x00" * 2880
    chunks = [text[start : start + cuts[0]] for start in range(0, len(text), cuts[0])]
    edges = np.cumsum([0, *cuts])
    uneven = [*(text[a:b] for a, b in itertools.pairwise(edges)), text[edges[-1] :]]
    assert read_until_end(chunks, "x").tostring() == read_until_end(uneven, "x").tostring()


def test_nothing_is_read_beyond_the_end_card():
    def stream():
        text = without_pixels(image().header).tostring().encode()
        yield from (text[start : start + 2880] for start in range(0, len(text), 2880))
        raise AssertionError("read on")

    assert read_until_end(stream(), "x")["SEEING"] == 1.9


@pytest.mark.parametrize(
    ("text", "short", "words"),
    [
        (b"", True, "starts with b''"),
        (b"<html>" + b" " * 3000, False, "SIMPLE"),
        (b"SIMPLE  =" + b" " * 5000, True, "within its header"),
        (b"SIMPLE  =" + b" " * 600_000, False, "no END card"),
    ],
)
def test_what_is_no_header_is_told_apart(text, short, words):
    with pytest.raises(Damaged, match=words) as raised:
        read_until_end([text], "the file")
    assert raised.value.short is short
    assert "the file" in str(raised.value)
