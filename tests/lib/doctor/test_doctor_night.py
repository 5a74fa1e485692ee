"""With every fact as we believe it all is OK; with one altered, the examination names exactly that one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.doctor.altered import BIAS, FLAT, OBJECT, PLAN, Altered, examine, finding, named, skipped
from ztf_in2p3.camera import TINY
from ztf_in2p3.doctor import Examination
from ztf_in2p3.image import MaskBit
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.survey import simulate_night


def test_all_is_ok_where_all_is_as_we_believe(night):
    exam = examine(night)
    assert named(exam) == set()
    assert skipped(exam) == {"archive: log in"}
    assert exam.all_ok
    assert len(exam.findings) > 80
    assert all(line.found for line in exam.findings)


def test_all_is_ok_where_every_file_is_odd_in_every_harmless_way(tmp_path):
    """What the reader takes for what it means differs from nothing that we believe."""
    simulate_night(replace(PLAN, odd_share=1.0), tmp_path)
    exam = examine(Altered(tmp_path))
    assert named(exam) == set()
    assert skipped(exam) == {"archive: log in"}
    assert "EXPTIME in quotes" in finding(exam, "science frame: keyword types").found
    assert "as AMP_ID says, quadrants in HDUs" in finding(exam, "science frame: HDU order").found


# --- files whose layout is another


def swap_names(hdus: fits.HDUList) -> None:
    hdus[1].name, hdus[2].name = hdus[2].name, hdus[1].name


def overscans_without_amplifier(hdus: fits.HDUList) -> None:
    for hdu in hdus[1:]:
        if hdu.header["ZNAXIS1"] == TINY.overscan_columns:
            del hdu.header["AMP_ID"]


def swap_hdus(hdus: fits.HDUList) -> None:
    hdus.insert(1, hdus.pop(2))


def overscans_first(hdus: fits.HDUList) -> None:
    hdus.insert(1, hdus.pop(8))


def edit(ccd, *changes):
    """Alteration of the HDUs of a frame."""

    def alter(night: Altered) -> None:
        for change in changes:
            night.edit(night.raw(ccd), change)

    return alter


def test_amplifiers_that_say_which_is_which_may_stand_in_any_order(night):
    edit(FLAT, swap_hdus)(night)
    edit(OBJECT, swap_hdus, overscans_first)(night)
    exam = examine(night)
    assert named(exam) == set()
    assert skipped(exam) == {"archive: log in"}
    assert "quadrants in HDUs 2 1 3 4, overscans in 5 6 7 8" in finding(exam, "flat frame: HDU order").found
    assert "quadrants in HDUs 3 2 4 5, overscans in 6 7 8 1" in finding(exam, "science frame: HDU order").found


def lose_an_hdu(night: Altered) -> None:
    night.edit(night.raw(BIAS), lambda hdus: hdus.pop())


def lose_a_row(night: Altered) -> None:
    def change(planes):
        planes |= {qid: (image[:-1], overscan[:-1]) for qid, (image, overscan) in planes.items()}

    night.pixels(OBJECT, change)


def whole_numbers(night: Altered) -> None:
    path = night.raw(FLAT)
    with fits.open(path, memmap=False) as hdus:
        hdus[3] = fits.CompImageHDU(
            hdus[3].data.astype(np.int32), _cards(hdus[3].header), compression_type="RICE_1", tile_shape=(1, 240)
        )
        _write(hdus, path)
    night.add_datasums(path)


def uncompressed(night: Altered) -> None:
    path = night.raw(FLAT)
    with fits.open(path, memmap=False) as hdus:
        hdus[6] = fits.ImageHDU(np.array(hdus[6].data), _cards(hdus[6].header))
        _write(hdus, path)
    night.add_datasums(path)


def zipped(night: Altered) -> None:
    path = night.raw(FLAT)
    with fits.open(path, memmap=False) as hdus:
        hdus[2] = fits.CompImageHDU(
            np.array(hdus[2].data), _cards(hdus[2].header), compression_type="GZIP_1", tile_shape=(1, 240),
            quantize_level=0.0,
        )  # fmt: skip
        _write(hdus, path)
    night.add_datasums(path)


def no_datasum(night: Altered) -> None:
    night.header(night.raw(OBJECT), 4, DATASUM=None)


def wrong_datasum(night: Altered) -> None:
    night.header(night.raw(OBJECT), 4, DATASUM="1234567890")


def swapped_amplifiers(night: Altered) -> None:
    def change(hdus):
        for index, number in ((2, 2), (3, 1), (6, 2), (7, 1)):
            hdus[index].header["AMP_ID"] = number

    night.edit(night.raw(OBJECT), change)


LAYOUTS = [
    (edit(FLAT, swap_names), "flat frame: AMP_ID", "names 2 1 3 4"),
    (edit(OBJECT, overscans_first, overscans_without_amplifier), "science frame: HDU order", "overscan, quadrant"),
    (lose_an_hdu, "bias frame: HDUs", "8 HDUs"),
    (lose_a_row, "science frame: sizes", "255 x 240"),
    (whole_numbers, "flat frame: pixel type", "HDU 3 has BITPIX 32"),
    (uncompressed, "flat frame: compression", "HDU 6 is not compressed"),
    (zipped, "flat frame: compression", "HDU 2 has GZIP_1"),
    (no_datasum, "science frame: DATASUM present", "none in HDU 4"),
    (wrong_datasum, "science frame: DATASUM right", "not in HDU 4"),
    (swapped_amplifiers, "science frame: AMP_ID", "0 2 1 3"),
]

# --- keywords

KEYWORDS = [
    (lambda n: n.header(n.raw(BIAS), HEADTEMP=None), "bias frame: keywords", "no HEADTEMP"),
    (lambda n: n.header(n.raw(OBJECT), FILTERID="r"), "science frame: keyword types", "FILTERID = 'r'"),
    (lambda n: n.header(n.raw(OBJECT), EXPTIME=30000.0), "science frame: keyword values", "EXPTIME = 30000"),
    (lambda n: n.header(n.raw(FLAT), 2, READNOI=None), "flat frame: amplifier keywords", "no READNOI of HDU 2"),
    (lambda n: n.header(n.raw(FLAT), 3, GAIN="six"), "flat frame: amplifier types", "GAIN of HDU 3 = 'six'"),
    (lambda n: n.header(n.raw(FLAT), ILUM_LED=None), "flat frame: keywords", "no ILUM_LED"),
    (lambda n: n.header(n.raw(FLAT), ILUM_LED=3), "flat frame: lamp", "LED 3"),
    (lambda n: n.header(n.raw(OBJECT), ILUM_LED=7), "science frame: lamp", "LED 7"),
    (lambda n: n.header(n.raw(FLAT), IMGTYPE="dark"), "flat frame: identity", "dark, CCD 3"),
    (lambda n: n.header(n.raw(BIAS), OBSJD=2458579.5), "bias frame: dates", "from OBSMJD"),
    (lambda n: n.header(n.raw(FLAT), OBSMJD=58578.5, OBSJD=2458579.0), "flat frame: dates", "from the name"),
    (lambda n: n.header(n.science(2), MAGZP=None), "science headers: keywords", "no MAGZP of q2"),
    (lambda n: n.header(n.science(2), SEEING="good"), "science headers: keyword types", "SEEING of q2 = 'good'"),
    (lambda n: n.header(n.science(3), SEEING=19.0), "science headers: keyword values", "SEEING of q3 = 19"),
    (lambda n: n.header(n.science(3), CCD_ID=4), "science headers: identity", "q3 has CCD_ID 4"),
    (lambda n: n.header(n.science(1), OBSMJD=58578.25), "science headers: date", "from the raw file's"),
]

# --- pixels


def change_pixels(ccd, change):
    """Alteration of the images of all quadrants of a frame."""

    def alter(planes):
        planes |= {qid: (change(image), overscan) for qid, (image, overscan) in planes.items()}

    return lambda night: night.pixels(ccd, alter)


def reverse_overscans(*qids):
    def alter(planes):
        planes |= {qid: (planes[qid][0], planes[qid][1][:, ::-1]) for qid in qids}

    return lambda night: night.pixels(FLAT, alter)


def noisy(image):
    return np.rint(image + np.random.default_rng(1).normal(0, 2.0, image.shape)).astype(np.float32)


def doubled_offset(planes):
    planes |= {qid: (image + 12_000, overscan + 12_000) for qid, (image, overscan) in planes.items()}


def turn_all(night: Altered, *, rows: bool = False, columns: bool = False) -> None:
    """All frames are stored in another order; the amplifiers are where they were."""
    for ccd in (BIAS, FLAT, OBJECT):
        change_pixels(ccd, lambda image: image[:: -1 if rows else 1, :: -1 if columns else 1])(night)


PIXELS = [
    (change_pixels(BIAS, lambda image: image + 400), "bias frame: level", "q1"),
    (change_pixels(OBJECT, lambda image: image + 4000), "science frame: level", "q1"),
    (change_pixels(FLAT, lambda image: np.full_like(image, 1500)), "flat frame: level", "unlit"),
    (lambda n: n.pixels(BIAS, doubled_offset), "bias frame: overscan level", "q1"),
    (change_pixels(BIAS, noisy), "bias frame: read noise", "e-"),
    (reverse_overscans(1, 2, 3, 4), "flat frame: deferred charge", "q1 right, q2 left, q3 left, q4 right"),
    (reverse_overscans(3), "flat frame: deferred charge", "q3 left"),
]
ORIENTATIONS = [
    (lambda n: turn_all(n, columns=True), "stars on the image: orientation", "columns reversed"),
    (lambda n: turn_all(n, rows=True), "stars on the image: orientation", "rows reversed"),
    (lambda n: turn_all(n, rows=True, columns=True), "stars on the image: orientation", "columns and rows reversed"),
]

# --- astrometry, photometry, mask


def in_all_headers(**change):
    def alter(night: Altered) -> None:
        for qid in range(1, 5):
            header = fits.getheader(night.science(qid))
            night.header(night.science(qid), **{key: function(header[key]) for key, function in change.items()})

    return alter


def mirror_sky(night: Altered) -> None:
    """Columns run east, in the header and in the pixels alike."""
    in_all_headers(CD1_1=lambda v: -v, CD2_1=lambda v: -v)(night)
    turn_all(night, columns=True)
    for qid in range(1, 5):
        change_mask(lambda bits: bits[:, ::-1], qid)(night)


def change_mask(change, qid: int = 1):
    def alter(night: Altered) -> None:
        path = night.mask(qid)
        with fits.open(path, memmap=False) as hdus:
            hdus[0].data = change(hdus[0].data)
            _write(hdus, path)

    return alter


SKY = [
    (in_all_headers(CRPIX1=lambda v: v + 4.0), "stars on the image: offset", "-4.0"),
    (in_all_headers(MAGZP=lambda v: v + 1.0), "stars on the image: zero point", "-1.0"),
    (in_all_headers(CLRCOEFF=lambda v: v + 0.45), "stars on the image: colour term", "mag / mag"),
    (in_all_headers(PV1_1=lambda v: v + 0.03), "stars on the image: scatter", "pixels"),
    (mirror_sky, "science headers: axes", "q1 east, south"),
    (lambda n: n.header(n.raw(OBJECT), TELDECD=26.0), "science headers: place in the camera", "q1"),
    (change_mask(lambda bits: bits << 1), "mask: bit planes", "0% of stars"),
    (change_mask(lambda bits: bits | 1 << 14), "mask: bit planes", "q1: bits 0x4000"),
    (change_mask(lambda bits: bits & ~MaskBit.DETECTION, 3), "mask: bit planes", "q3: 0% of stars"),
    (change_mask(lambda bits: bits.astype(np.float32)), "mask: pixel type", "float32"),
    (change_mask(lambda bits: bits[:, :-1]), "mask: size", "256 x 239"),
    (lambda n: n.edit(n.mask(1), lambda h: h[0].header.set("BIT08", 8, "DEAD")), "mask: legend", "BIT08"),
]


def names(value: object) -> str:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("alter", "name", "word"), [*LAYOUTS, *KEYWORDS, *PIXELS], ids=names)
def test_an_altered_fact_of_a_file_is_named_and_nothing_else(night, alter, name, word):
    """Only the group of the altered file is examined: what others need of it is skipped, as whole examinations show."""
    group, _, _ = name.partition(":")
    alter(night)
    check_named(examine(night, only=(group, "science frame") if group == "science headers" else (group,)), name, word)


@pytest.mark.parametrize(
    ("alter", "name", "word"), [LAYOUTS[2], LAYOUTS[9], KEYWORDS[3], PIXELS[2], *ORIENTATIONS, *SKY], ids=names
)
def test_an_altered_fact_is_named_and_nothing_else(night, alter, name, word):
    alter(night)
    check_named(examine(night), name, word)


def check_named(exam: Examination, name: str, word: str) -> None:
    assert named(exam) == {name}
    found = finding(exam, name)
    assert word in found.found
    assert found.expected
    assert found.remedy
    assert not exam.all_ok


# --- what is not there


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (files.raw_path(FLAT), "archive: choose frames"),
        (files.science_path(OBJECT, 3), "science headers: fetch"),
        (files.mask_path(OBJECT, 1), "mask: fetch"),
    ],
)
def test_a_missing_file_is_named_and_what_does_not_need_it_goes_on(night, path, name):
    (night.tree / path).unlink()
    exam = examine(night)
    assert named(exam) == {name}
    assert "reference stars: catalogue" not in skipped(exam)


def test_a_file_that_is_no_fits_file_is_named(night):
    path = night.raw(BIAS)
    path.unlink()
    path.write_bytes(b"<html>gone</html>" * 500)
    exam = examine(night, only=("bias frame", "science frame"))
    assert named(exam) == {"bias frame: open"}
    assert "science frame: level" not in skipped(exam)


def test_a_damaged_tile_is_named(night):
    """The sum of the data, and the pixels where they cannot be decoded; other frames are looked at."""
    path = night.raw(FLAT)
    content = bytearray(path.read_bytes())
    path.unlink()
    content[len(content) * 3 // 5 : len(content) * 3 // 5 + 64] = b"\xff" * 64
    path.write_bytes(content)
    exam = examine(night)
    assert "flat frame: DATASUM right" in named(exam)
    assert {name.split(":")[0] for name in named(exam)} <= {"flat frame", "stars on the image"}


def _cards(header: fits.Header) -> fits.Header:
    kept = ("EXTNAME", "CCD_ID", "AMP_ID", "GAIN", "READNOI", "DARKCUR")
    return fits.Header([card for card in header.cards if card.keyword in kept])


def _write(hdus: fits.HDUList, path) -> None:
    fresh = path.with_name("fresh.fits")
    hdus.writeto(fresh, output_verify="silentfix")
    fresh.replace(path)
