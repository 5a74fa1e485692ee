"""Odd files say what the plain ones say, whoever reads values with care; and a night has odd files of every kind."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ztf_in2p3.archive.header import about_image
from ztf_in2p3.astrometry import read_wcs
from ztf_in2p3.catalogue.science_image import read_mask
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.hdus import read_hdus, read_header
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.oddities import Oddity, make_odd, oddities

HARMED = {
    Oddity.NO_VALUE: "DARKCUR",
    Oddity.NOT_A_NUMBER: "MOONESB",
    Oddity.DECIMAL_COMMA: "PIXSCALE",
    Oddity.FILTER_NAME: "FILTER",
}
"""Keyword whose value is lost, or said otherwise."""


@pytest.fixture(scope="module")
def ccd(plan):
    return CcdExposure(plan.objects[0].exposure, 3)


def odd(tree, name, kind, plan, ccd, tmp_path):
    path = tmp_path / name.rpartition("/")[2]
    path.write_bytes((tree / name).read_bytes())
    make_odd(path, [kind], plan, ccd)
    assert path.read_bytes() != (tree / name).read_bytes()
    return path


def cards(header):
    return {card.keyword: card.value for card in header.cards}


@pytest.mark.parametrize("kind", Oddity)
def test_a_raw_file_gives_the_same_pixels_and_numbers(plan, tree, ccd, kind, tmp_path):
    name = files.raw_path(ccd)
    path = odd(tree, name, kind, plan, ccd, tmp_path)
    with RawCcd.open(tree / name, plan.camera) as plain, RawCcd.open(path, plan.camera) as raw:
        assert (raw.ccdid, raw.mjd, raw.night, raw.led) == (plain.ccdid, plain.mjd, plain.night, plain.led)
        for qid in range(1, 5):
            np.testing.assert_array_equal(raw.pixels(qid), plain.pixels(qid))
            np.testing.assert_array_equal(raw.overscan(qid), plain.overscan(qid))
            assert (raw.gain(qid), raw.read_noise(qid)) == (plain.gain(qid), plain.read_noise(qid))
    order = [hdu.name for hdu in read_hdus(path)]
    assert (order != [hdu.name for hdu in read_hdus(tree / name)]) == (kind is Oddity.HDU_ORDER)


@pytest.mark.parametrize("kind", [kind for kind in Oddity if kind is not Oddity.HDU_ORDER])
def test_a_science_header_and_a_mask_say_the_same(plan, tree, ccd, kind, tmp_path):
    name, mask = files.science_path(ccd, 2), files.mask_path(ccd, 2)
    plain, header = read_header(tree / name), read_header(odd(tree, name, kind, plan, ccd, tmp_path))
    assert about_image(header) == about_image(plain)
    assert read_wcs(header, "odd").to_header() == read_wcs(plain, "plain").to_header()
    differs = {key for key, value in cards(plain).items() if cards(header)[key] != value}
    assert differs <= {HARMED.get(kind), "EXPTIME", "OBSMJD"}
    np.testing.assert_array_equal(read_mask(odd(tree, mask, kind, plan, ccd, tmp_path)), read_mask(tree / mask))


def test_every_kind_strikes_at_least_one_file_of_a_night_and_the_share_of_a_long_one():
    few, many = tiny_night(ccdids=(3,), n_bias=2, n_flat=1, n_object=2), tiny_night()
    assert {kind for kinds in oddities(few).values() for kind in kinds} == set(Oddity)
    counts = Counter(kind for kinds in oddities(many).values() for kind in kinds)
    n_raw = len(many.ccd_exposures)
    n_image = 2 * 4 * len(many.objects) * len(many.ccdids)
    for kind in Oddity:
        n_file = n_raw if kind is Oddity.HDU_ORDER else n_raw + n_image
        # Binomial: four standard deviations.
        assert abs(counts[kind] - 0.05 * n_file) < 4 * np.sqrt(0.05 * n_file)
    assert not oddities(replace(many, odd_share=0.0))
