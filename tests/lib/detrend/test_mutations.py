"""Whatever is wrong with a file, a quadrant comes out as it would have, or is left out with a typed reason."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS
from tests.lib.detrend.test_quadrant import exposed, science_header
from tests.lib.mutations import count, mutated
from ztf_in2p3.archive.check import check
from ztf_in2p3.archive.header import about_image, without_pixels
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.astrometry import read_wcs
from ztf_in2p3.camera import TINY
from ztf_in2p3.cards import parse_cards
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind

FILES, HEADERS = count(0.1), count(0.5)
"""How many are mutated."""
STAND_IN = {"GAIN", "READNOI"}
"""Cards whose unknown value the camera's nominal one replaces, as documented: the errors of the pixels then change."""
OPTIONAL = {"ZQUANTIZ", "ZDITHER0"}
"""Cards that mean something by not being there: a coded image without them was not dithered."""


@pytest.fixture(scope="module")
def raw(detector, tmp_path_factory):
    path, _ = exposed(detector, tmp_path_factory.mktemp("mutations"), np.full(TINY.shape, 300.0))
    hdus = fits.open(path, disable_image_compression=True)
    for hdu in hdus:
        hdu.add_datasum()
    whole = path.with_name("whole.fits.fz")
    hdus.writeto(whole)
    return whole.read_bytes(), ArchiveFile(Kind.RAW, CcdExposure.parse(path.name.split(".")[0]))


def test_a_raw_file_gives_the_quadrants_that_it_held_or_none(raw, tmp_path, bias, flat):
    content, file = raw
    headers, path = {qid: science_header(qid) for qid in QIDS}, tmp_path / "raw.fits.fz"

    def quadrants(text):
        path.write_bytes(text)
        failed = {}
        check(path, file)
        images = detrend_ccd(path, bias, flat, 2e4, headers, {}, TINY, RECIPE, failed=failed)
        assert set(images) | set(failed) == set(QIDS)
        return {qid: image for qid, (image, _) in images.items()}

    expected, rng, wrong, n_same = quadrants(content), np.random.default_rng(5), [], 0
    for number in range(FILES):
        text, key = mutated(content, rng)
        try:
            images = quadrants(text)
        except BadData:
            continue
        same = all(np.array_equal(image.data, expected[qid].data, equal_nan=True) for qid, image in images.items())
        if not same and key not in STAND_IN | OPTIONAL:
            wrong.append(f"{number} {key}: other pixels")
        n_same += same
    assert not wrong, "\n".join(wrong)
    assert FILES / 10 < n_same < 0.9 * FILES  # some mutations do harm, and some do none


def test_a_science_header_says_the_same_or_nothing(tmp_path):
    header = science_header(1)
    header.update({"EXPTIME": 30.0, "RADESYS": "ICRS", "CD1_1": -2.8117e-4, "AIRMASS": 1.2, "MAGLIM": 20.0})
    header.insert(0, ("SIMPLE", True))
    content = header.tostring(endcard=True, padding=True).encode()
    expected, rng, wrong = about_image(parse_cards(content)), np.random.default_rng(6), []
    place = read_wcs(header, "header").all_pix2world(10, 20, 0)
    for number in range(HEADERS):
        text, key = mutated(content, rng)
        if not key:
            continue
        try:
            spoilt = parse_cards(text)
            about = about_image(spoilt)
            without_pixels(spoilt).tostring()
            if about["wcs"]:
                np.testing.assert_allclose(read_wcs(spoilt, "header").all_pix2world(10, 20, 0), place, rtol=1e-12)
        except AssertionError:
            if not key.startswith("PV"):  # a term that is not there is zero (or one), by the convention
                wrong.append(f"{number} {key}: other positions")
            continue
        astrometry = {"ra", "dec", "radius"}
        if not key.startswith("PV"):
            differs = {name for name in expected if about[name] not in (expected[name], None, False)}
            wrong += [f"{number} {key}: {name} is {about[name]}" for name in differs - astrometry]
    assert not wrong, "\n".join(wrong)
