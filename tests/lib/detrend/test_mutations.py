"""Whatever is wrong with a file, a quadrant comes out as it would have, or is left out with a typed reason."""

from __future__ import annotations

import os

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS
from tests.lib.detrend.test_quadrant import exposed, science_header
from ztf_in2p3.archive.check import check
from ztf_in2p3.archive.header import about_image
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.astrometry import read_wcs
from ztf_in2p3.camera import TINY
from ztf_in2p3.cards import parse_cards
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.faults import BAD_VALUES, BLOCK, CARD, bad_card, header_range

COUNT = int(os.environ.get("ZTF_MUTATIONS", "60"))
"""Files mutated by each test; set it to 20000 to look longer."""
STAND_IN = {"GAIN", "READNOI"}
"""Cards whose unknown value the camera's nominal one replaces, as documented: the errors of the pixels then change."""
OPTIONAL = {"ZQUANTIZ", "ZDITHER0"}
"""Cards that mean something by not being there: a coded image without them was not dithered."""


def mutated(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The file with one card spoilt, or some of its bytes; and the keyword, or "" for bytes."""
    changed, kind = bytearray(content), rng.choice(["value", "removed", "twice", "latin", "bytes", "cut"])
    if kind == "cut":
        return content[: int(rng.integers(0, len(content)))], ""
    if kind == "bytes":
        for at in rng.integers(0, len(content), int(rng.integers(1, 4))):
            changed[at] ^= int(rng.integers(1, 256))
        return bytes(changed), ""
    start, end = header_range(content, int(rng.integers(0, 9)) if content.count(b"XTENSION") > 1 else 0)
    at = start + CARD * int(rng.integers(1, (end - start) // CARD))
    key = bytes(changed[at : at + 8]).decode("ascii").strip()
    value = str(rng.choice(BAD_VALUES))
    card = {
        "value": bad_card(key, value).encode(),
        "removed": b"",
        "latin": bytes(changed[at : at + 40]) + b" / \xb0\xe9 in a comment",
        "twice": bad_card(key, "77").encode(),
    }[str(kind)]
    if kind == "twice" and (end - start) // CARD % (BLOCK // CARD) < BLOCK // CARD - 2:
        changed[end : end + CARD] = card.ljust(CARD)
        changed[end + CARD : end + 2 * CARD] = b"END".ljust(CARD)
    elif kind != "twice":
        changed[at : at + CARD] = card.ljust(CARD)[:CARD]
    return bytes(changed), key


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
    for number in range(COUNT):
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
    assert COUNT / 10 < n_same < 0.9 * COUNT  # some mutations do harm, and some do none


def test_a_science_header_says_the_same_or_nothing(tmp_path):
    header = science_header(1)
    header.update({"EXPTIME": 30.0, "RADESYS": "ICRS", "CD1_1": -2.8117e-4, "AIRMASS": 1.2, "MAGLIM": 20.0})
    header.insert(0, ("SIMPLE", True))
    content = header.tostring(endcard=True, padding=True).encode()
    expected, rng, wrong = about_image(parse_cards(content)), np.random.default_rng(6), []
    place = read_wcs(header, "header").all_pix2world(10, 20, 0)
    for number in range(5 * COUNT):
        text, key = mutated(content, rng)
        if not key:
            continue
        try:
            spoilt = parse_cards(text)
            about = about_image(spoilt)
            spoilt.tostring()
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
