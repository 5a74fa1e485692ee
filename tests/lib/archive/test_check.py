"""A file is what its name says, whole and undamaged, or the message says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lib.archive.tiny_tree import BIAS, FLAT, SHAPE, SKY, SKY_4, write_mask, write_raw, write_science
from ztf_in2p3.archive import ArchiveFile, Damaged
from ztf_in2p3.archive.check import check, first_image
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind

RAW = ArchiveFile(Kind.RAW, CcdExposure.parse(SKY.name))
SCIENCE = ArchiveFile(Kind.SCIENCE, RAW.ccd, 1)
MASK = ArchiveFile(Kind.MASK, RAW.ccd, 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "the_file"


@pytest.mark.parametrize("frame", [BIAS, FLAT, SKY])
def test_a_sound_raw_file_passes(path, frame):
    write_raw(path, frame)
    about = check(path, ArchiveFile(Kind.RAW, CcdExposure.parse(frame.name)))
    assert about["led"] == frame.led
    assert about["mjd"] == pytest.approx(frame.obsjd - 2400000.5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_damaged(tree, path, fraction):
    whole = (tree / SKY.raw).read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(Damaged):
        check(path, RAW)


@pytest.mark.parametrize("n_hdu", range(1, 9))
def test_a_file_cut_where_an_hdu_ends_is_damaged(tree, path, n_hdu):
    with fits.open(tree / SKY.raw, disable_image_compression=True) as hdus:
        end = hdus[n_hdu].fileinfo()["hdrLoc"]
    path.write_bytes((tree / SKY.raw).read_bytes()[:end])
    with pytest.raises(Damaged, match=f"ends after {n_hdu} of its 9 HDUs") as raised:
        check(path, RAW)
    assert raised.value.short


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_byte_flipped_in_the_data_is_noticed(tree, path, data):
    whole = bytearray((tree / SKY.raw).read_bytes())
    with fits.open(tree / SKY.raw, disable_image_compression=True) as hdus:
        spans = [
            (hdu.fileinfo()["datLoc"], hdu._data_size) for hdu in hdus[1:]
        ]  # without the padding, which is nothing
    start, size = data.draw(st.sampled_from(spans))
    whole[start + data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with pytest.raises(Damaged, match=r"DATASUM|decoded"):
        check(path, RAW)


@pytest.mark.parametrize("kind", [RAW, SCIENCE, MASK], ids=lambda file: file.kind.value)
def test_trailing_bytes_are_not_part_of_the_file(tree, path, kind):
    path.write_bytes((tree / kind.path).read_bytes() + bytes(2880))
    with pytest.raises(Damaged, match="the_file"):
        check(path, kind)


@pytest.mark.parametrize("text", [b"", b"<html></html>", b"\x1f\x8b" + b"\x00" * 5758])
def test_what_is_no_fits_file_is_named(path, text):
    path.write_bytes(text)
    with pytest.raises(Damaged, match=r"the_file: starts with .* starts with 'SIMPLE  ='"):
        check(path, SCIENCE)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: write_science(path, SKY, 1), "1 HDUs, but a raw file has 9"),
        (lambda path: write_raw(path, SKY_4), "CCD_ID = 4, but its name says 3"),
        (
            lambda path: write_raw(path, replace(SKY, name=SKY.name[:-1] + "b")),
            "IMGTYPE = 'bias', but its name says object",
        ),
    ],
    ids=["science", "other ccd", "bias"],
)
def test_a_whole_file_of_another_kind_is_bad_but_not_damaged(path, spoil, words):
    spoil(path)
    with pytest.raises(BadData, match=words) as raised:
        check(path, RAW)
    assert not isinstance(raised.value, Damaged)


def test_a_raw_file_must_say_when_it_was_taken(path):
    write_raw(path, SKY)
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["OBSMJD"]
    with pytest.raises(BadData, match="no OBSMJD"):
        check(path, RAW)


def test_quadrants_of_different_shapes_are_refused(path):
    write_raw(path, SKY)
    with fits.open(path) as hdus:
        images = [fits.ImageHDU(hdu.data, hdu.header) for hdu in hdus[1:]]
        images[2] = fits.ImageHDU(images[2].data[:-1])
        fits.HDUList([hdus[0].copy(), *images]).writeto(path.with_suffix(".new"))
    with pytest.raises(BadData, match=r"\(39, 36\)"):
        check(path.with_suffix(".new"), RAW)


@pytest.mark.parametrize(("kind", "other"), [(SCIENCE, write_mask), (MASK, write_science)], ids=["science", "mask"])
def test_image_and_mask_are_not_taken_for_each_other(path, kind, other):
    other(path, SKY, 1)
    with pytest.raises(BadData, match="BITPIX"):
        check(path, kind)


def test_another_quadrant_is_refused(path):
    write_science(path, SKY, 2)
    with pytest.raises(BadData, match="AMP_ID = 1, but its name says 0"):
        check(path, SCIENCE)


def test_a_file_without_an_image_is_refused(path):
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(BadData, match="no two-dimensional image"):
        check(path, SCIENCE)


def test_a_compressed_image_is_found_in_its_extension(path):
    pixels = np.ones(SHAPE, "f4")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels)]).writeto(path)
    with fits.open(path) as hdus:
        assert first_image(hdus) == 1
    assert check(path, SCIENCE)["mjd"] is None
