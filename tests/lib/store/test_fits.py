"""A FITS file keeps what was measured, and its bytes depend on nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ztf_in2p3.store.fits import Plane, write_fits

SIGMA = 5.0


def noise(shape=(100, 400), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(900, SIGMA, shape).astype(np.float32)


def written(path: Path, *planes: Plane, cards=None) -> list[np.ndarray]:
    write_fits(path, planes, cards)
    with fits.open(path) as hdus:
        return [hdu.data for hdu in hdus[1:]]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- what is kept


@pytest.mark.parametrize("quantize", [16.0, 64.0])
def test_quantisation_adds_the_noise_that_theory_says_and_no_offset(tmp_path, quantize):
    pixels = noise()
    (back,) = written(tmp_path / "a.fits", Plane("SCI", pixels, quantize=quantize))
    error = (back - pixels).astype(float)

    assert back.dtype == np.float32
    # Uniform within a step of sigma / q: rms sigma / (q sqrt 12).  The step follows each row's own estimate of
    # sigma, whose relative scatter over 400 pixels (10 % at most) averages out over 100 rows; 5 % is 5 of its sigmas.
    np.testing.assert_allclose(error.std(), SIGMA / quantize / np.sqrt(12), rtol=0.05)
    assert np.abs(error).max() < SIGMA / quantize  # half a step, plus what rows with a high estimate add
    # Dither keeps means: four standard deviations of a mean over all pixels.
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(error.size)
    # and does not depend on the value: no correlation with the pixel itself, four sigmas.
    assert abs(np.corrcoef(error.ravel(), pixels.ravel())[0, 1]) < 4 / np.sqrt(error.size)


def test_cfitsio_reads_the_pixels_that_astropy_reads(tmp_path):
    fitsio = pytest.importorskip("fitsio")
    pixels = noise()
    pixels[3, 5], pixels[10], pixels[11, 3] = np.nan, 4.0, 1e6
    (back,) = written(tmp_path / "a.fits", Plane("SCI", pixels))
    assert np.array_equal(fitsio.read(tmp_path / "a.fits", ext="SCI"), back, equal_nan=True)


def test_a_plane_of_any_kind_takes_one_way_or_the_other(tmp_path, monkeypatch):
    """Tiles of our own and those of astropy make one file, byte for byte, header and checksums too."""
    header = fits.Header([("CRVAL1", 12.5), ("GAIN", 6.2, "e-/adu")])
    planes = [
        Plane("SCI", np.where(noise() > 910, np.nan, noise()), "adu", {"QID": 3}, header),
        Plane("EXACT", np.full((5, 40), 2.5, np.float32)),
        Plane("NARROW", np.where(noise((30, 9)) > 910, np.nan, noise((30, 9)))),
    ]
    write_fits(tmp_path / "ours.fits", planes, {"CCDID": 3})
    monkeypatch.setattr("ztf_in2p3.store.fits.LEAST_COLUMNS", 10_000)  # more than there are: left to astropy
    write_fits(tmp_path / "theirs.fits", planes, {"CCDID": 3})
    assert digest(tmp_path / "ours.fits") == digest(tmp_path / "theirs.fits")


def test_quantised_noise_takes_a_quarter_of_the_size(tmp_path):
    pixels = noise((300, 1000))
    write_fits(tmp_path / "a.fits", [Plane("SCI", pixels)])
    # Entropy of Gaussian noise in steps of sigma / 16: log2(16 sqrt(2 pi e)) = 6.05 bits of 32; RICE needs 0.1 more.
    assert (tmp_path / "a.fits").stat().st_size < pixels.nbytes / 4


@pytest.mark.parametrize("row", ["all", "some", "none"])
def test_nan_stays_nan_and_spoils_no_neighbour(tmp_path, row):
    pixels = noise()
    pixels[7, {"all": slice(None), "some": slice(3, 9), "none": slice(0, 0)}[row]] = np.nan
    (back,) = written(tmp_path / "a.fits", Plane("SCI", pixels))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(pixels))
    np.testing.assert_allclose(back, pixels, atol=SIGMA / 16)


def test_rows_without_noise_and_rows_with_a_wild_pixel_are_kept(tmp_path):
    pixels = noise()
    pixels[3] = 1.25
    pixels[4, 7] = 1e30  # no 32-bit integer spans this range in steps of sigma / 16
    (back,) = written(tmp_path / "a.fits", Plane("SCI", pixels))
    np.testing.assert_array_equal(back[3:5], pixels[3:5])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_integers_are_exact(tmp_path_factory, data):
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "?", ">i2", "<i4"])))
    pixels = data.draw(arrays(dtype, array_shapes(min_dims=1, max_dims=3, max_side=12)))
    (back,) = written(tmp_path_factory.mktemp("fits") / "a.fits", Plane("MASK", pixels))
    np.testing.assert_array_equal(back, pixels)


@settings(max_examples=40, deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=1, max_dims=3, max_side=20),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan),
    )
)
def test_any_floats_come_back_to_a_small_part_of_their_scatter(tmp_path_factory, pixels):
    (back,) = written(tmp_path_factory.mktemp("fits") / "a.fits", Plane("SCI", pixels))
    np.testing.assert_array_equal(np.isnan(back), np.isnan(pixels))
    # The step is a sixteenth of a row's noise, which is never larger than its range; float32 rounds at 1e-7.
    span = np.ptp(pixels[np.isfinite(pixels)]) if np.isfinite(pixels).any() else 0
    np.testing.assert_allclose(back, pixels, rtol=1e-6, atol=span / 8)


def test_double_precision_is_stored_as_single(tmp_path):
    (back,) = written(tmp_path / "a.fits", Plane("SCI", noise().astype(float)))
    assert back.dtype == np.float32


# --- headers


def test_each_plane_has_its_name_unit_and_cards(tmp_path):
    write_fits(
        tmp_path / "a.fits",
        [Plane("SCI", noise(), "adu", {"GAIN": (6.0, "e-/ADU"), "NFRAME": 10}), Plane("MASK", np.zeros((4, 4), "u2"))],
        {"RECIPE": ("3f2a9c1b0e", "digest"), "LINEAR": True, "UNKNOWN": None},
    )
    with fits.open(tmp_path / "a.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "MASK"]
        assert hdus[0].header["RECIPE"] == "3f2a9c1b0e"
        assert hdus[0].header.comments["RECIPE"] == "digest"
        assert hdus[0].header["LINEAR"] is True
        assert hdus[0].header["UNKNOWN"] is None
        assert (hdus["SCI"].header["BUNIT"], hdus["SCI"].header["GAIN"], hdus["SCI"].header["NFRAME"]) == (
            "adu",
            6.0,
            10,
        )
        assert hdus["SCI"].header.comments["GAIN"] == "e-/ADU"
        assert "BUNIT" not in hdus["MASK"].header


def tpv_header() -> fits.Header:
    header = fits.Header()
    header.update(
        SIMPLE=True, BITPIX=-32, NAXIS=2, NAXIS1=3072, NAXIS2=3080, EXTEND=True, BSCALE=1.0, BZERO=0.0, EXTNAME="OLD",
        CTYPE1="RA---TPV", CTYPE2="DEC--TPV", CRVAL1=150.0, CRVAL2=2.0, CRPIX1=-300.5, CRPIX2=200.25,
        CD1_1=-2.8e-4, CD1_2=1e-6, CD2_1=1e-6, CD2_2=-2.8e-4, CUNIT1="deg", CUNIT2="deg", DATE="2019-04-05T00:00:00",
        PV1_0=1e-4, PV1_1=1.0, PV1_2=2e-5, PV1_4=3e-3, PV2_0=-1e-4, PV2_1=1.0, PV2_5=1e-3, SEEING=2.1,
        CHECKSUM="old", DATASUM="old",
    )  # fmt: skip
    header["FILTER"] = ("ZTF_r", "a comment")
    header["HIERARCH long keyword"] = 3
    header["COMMENT"] = "first"
    header["COMMENT"] = "second"
    header["HISTORY"] = "made by someone"
    return header


def test_a_header_given_along_survives_and_so_does_its_astrometry(tmp_path):
    header = tpv_header()
    write_fits(tmp_path / "a.fits", [Plane("SCI", noise(), "adu", {"SEEING": 2.5}, header)])
    with fits.open(tmp_path / "a.fits") as hdus:
        back = hdus["SCI"].header
    assert back["SEEING"] == 2.5  # cards go over the header
    assert (back["EXTNAME"], back["NAXIS1"], back["NAXIS2"]) == ("SCI", 400, 100)
    assert "DATE" not in back
    gone = {"SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "BSCALE", "BZERO", "EXTNAME", "DATE", "CHECKSUM",
            "DATASUM", "SEEING"}  # fmt: skip
    kept = [card for card in header.cards if card.keyword not in gone]
    assert [tuple(card) for card in back.cards if card.keyword in {card.keyword for card in kept}] == [
        tuple(card) for card in kept
    ]
    pixel = np.random.default_rng(3).uniform(0, 3000, (50, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the old header's other cards
        np.testing.assert_array_equal(WCS(back).all_pix2world(pixel, 0), WCS(header).all_pix2world(pixel, 0))
    assert header["EXTNAME"] == "OLD"  # nobody else's header is touched


# --- bytes


def planes() -> list[Plane]:
    """Of every way of compression: noise, a constant row, a row of NaN (both fall back to GZIP), integers."""
    pixels = noise()
    pixels[5], pixels[6] = 1.0, np.nan
    return [
        Plane("SCI", pixels, "adu", {"A": 1}, tpv_header()),
        Plane("MASK", np.arange(600, dtype="u2").reshape(20, 30)),
    ]


def write_planes(path: str) -> None:
    write_fits(Path(path), planes(), {"B": 2})


def test_the_same_content_gives_the_same_bytes_later_and_in_another_process(tmp_path, monkeypatch):
    write_planes(str(tmp_path / "now.fits"))
    monkeypatch.setattr(time, "time", lambda: 1e9)  # what GZIP headers are stamped with
    write_planes(str(tmp_path / "then.fits"))
    assert digest(tmp_path / "then.fits") == digest(tmp_path / "now.fits")

    write = f"from tests.lib.store.test_fits import write_planes; write_planes({str(tmp_path / 'there.fits')!r})"
    subprocess.run(
        [sys.executable, "-c", write], check=True, cwd=Path(__file__).parents[3], env={"PYTHONHASHSEED": "7"}
    )
    assert digest(tmp_path / "there.fits") == digest(tmp_path / "now.fits")


def test_no_card_tells_when_the_file_was_written(tmp_path):
    write_planes(str(tmp_path / "a.fits"))
    with fits.open(tmp_path / "a.fits", disable_image_compression=True) as hdus:
        for hdu in hdus:
            assert "DATE" not in hdu.header
            assert hdu.header.comments["CHECKSUM"] == hdu.header.comments["DATASUM"] == ""


def test_checksums_verify_and_tell_a_flipped_bit(tmp_path):
    path = tmp_path / "a.fits"
    write_planes(str(path))
    with fits.open(path, disable_image_compression=True) as hdus:
        assert [(hdu.verify_checksum(), hdu.verify_datasum()) for hdu in hdus] == [(1, 1)] * 3  # 1: present and right
        somewhere = hdus[1].fileinfo()["datLoc"] + 5000
    content = bytearray(path.read_bytes())
    content[somewhere] ^= 1
    path.write_bytes(content)
    with fits.open(path, disable_image_compression=True) as hdus:
        assert [hdu.verify_datasum() for hdu in hdus] == [1, 0, 1]


def test_another_pixel_gives_other_bytes(tmp_path):
    write_fits(tmp_path / "a.fits", [Plane("SCI", noise(seed=1))])
    write_fits(tmp_path / "b.fits", [Plane("SCI", noise(seed=2))])
    assert digest(tmp_path / "a.fits") != digest(tmp_path / "b.fits")


# --- what is refused


@pytest.mark.parametrize(
    ("plane", "told"),
    [
        (Plane("SCI", np.full((3, 40), np.inf)), "120 pixels are infinite"),
        (Plane("SCI", np.full((3, 40), 1e300)), "120 pixels are infinite"),
        (Plane("SCI", np.zeros((3, 0))), "expected an image"),
        (Plane("SCI", np.array(["a"])), "expected an image"),
        (Plane("SCI", np.zeros(3, complex)), "expected an image"),
        (Plane("SCI", noise(), quantize=0), "positive"),
    ],
)
def test_what_cannot_be_stored_is_told(tmp_path, plane, told):
    with pytest.raises(ValueError, match=told):
        write_fits(tmp_path / "a.fits", [plane])


def test_two_planes_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="names must differ"):
        write_fits(tmp_path / "a.fits", [Plane("SCI", noise()), Plane("SCI", noise())])
