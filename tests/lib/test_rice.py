"""The decoder's pixels are astropy's, bit for bit; what it cannot read it says, and leaves to astropy."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.rice import RiceImage

DITHERS = {"NO_DITHER": -1, "SUBTRACTIVE_DITHER_1": 1, "SUBTRACTIVE_DITHER_2": 2}


def compressed(path, pixels, *, quantize=16.0, dither="NO_DITHER", seed=1, **how):
    how = {"compression_type": "RICE_1", "tile_shape": (1, pixels.shape[1])} | how
    hdu = fits.CompImageHDU(
        pixels, quantize_level=quantize, quantize_method=DITHERS[dither], dither_seed=seed, **how
    )  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def image_of(path):
    with fits.open(path, disable_image_compression=True) as hdus:
        return RiceImage.of(hdus[1])


def decoded(path, rows=slice(None), out=None):
    with path.open("rb") as file:
        return image_of(path).rows(file.fileno(), rows, out)


def by_astropy(path):
    with fits.open(path) as hdus:
        return np.array(hdus[1].data)


def outcome(path):
    """Shape of what is decoded, or that it is said to be broken."""
    try:
        return decoded(path).shape
    except ValueError as error:
        return "broken" if "ends before its last pixel" in str(error) else str(error)


def same_bits(one, other):
    return one.dtype == other.dtype == np.float32 and np.array_equal(one.view(np.uint32), other.view(np.uint32))


def noise(rows=40, columns=101, sigma=1.5, level=1000.0, seed=3):
    return np.random.default_rng(seed).normal(level, sigma, (rows, columns)).astype(np.float32)


@pytest.mark.parametrize("dither", DITHERS)
@pytest.mark.parametrize("quantize", [-1.0, 1.0, 4.0, 16.0, 1000.0])
@pytest.mark.parametrize("columns", [30, 101, 12_000])  # 12 000: the random numbers begin anew within a row
def test_noise_of_any_step_and_dither(tmp_path, dither, quantize, columns):
    path = compressed(tmp_path / "a.fits", noise(10, columns), quantize=quantize, dither=dither, seed=9995)
    assert same_bits(decoded(path), by_astropy(path))


@pytest.mark.parametrize("dither", DITHERS)
def test_stars_blanks_zeros_and_rows_without_noise(tmp_path, dither):
    pixels = noise(60, 500)
    pixels[3, 100:110] += 60_000
    pixels[10, ::2] += 5e6  # differences of many bits, in every block
    pixels[20, 30:200] = 1000.0  # no differences at all
    pixels[25] = 7.25  # kept exactly
    pixels[30, 5:9] = np.nan
    pixels[31] = np.nan
    pixels[40:44, 50:90] = 0.0
    pixels[50] *= np.geomspace(1e-8, 1e8, 500)  # too wide a range for 32 bits
    path = compressed(tmp_path / "a.fits", pixels, dither=dither)
    assert same_bits(decoded(path), by_astropy(path))
    for rows in (slice(0, 1), slice(24, 33), slice(55, 99), slice(9, 9)):
        assert same_bits(decoded(path, rows), by_astropy(path)[rows])


def test_codes_of_every_length(tmp_path):
    # Whole numbers whose scatter doubles from row to row: from none to more bits than a code may have.
    rng = np.random.default_rng(1)
    pixels = np.rint(rng.normal(0, 1, (28, 200)) * 2.0 ** np.arange(-1, 27)[:, None]).astype(np.float32)
    path = compressed(tmp_path / "a.fits", pixels, quantize=-1.0)
    assert same_bits(decoded(path), by_astropy(path))


@pytest.mark.parametrize("jump", [2.0**k for k in range(8, 30, 3)])
def test_runs_of_zeros_longer_than_a_word(tmp_path, jump):
    # One jump in a quiet block: its code is a run of jump / 2^k zeros.
    pixels = np.zeros((4, 320), np.float32)
    pixels[:, 100] = jump
    pixels[2:, 101:] = jump
    path = compressed(tmp_path / "a.fits", pixels + noise(4, 320, level=0), quantize=-1.0)
    assert same_bits(decoded(path), by_astropy(path))


@settings(max_examples=60, deadline=None)
@given(
    pixels=arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(4, 90)),
        elements=st.one_of(st.floats(-70_000, 70_000, width=32), st.integers(-3, 3).map(float), st.just(np.nan)),
    ),
    dither=st.sampled_from(sorted(DITHERS)),
    quantize=st.sampled_from([-1.0, -0.01, 4.0, 16.0]),
    seed=st.integers(1, 10_000),
)
def test_any_pixels(tmp_path_factory, pixels, dither, quantize, seed):
    path = tmp_path_factory.getbasetemp() / "any.fits"
    compressed(path, pixels, quantize=quantize, dither=dither, seed=seed)
    assert same_bits(decoded(path), by_astropy(path))


def test_pixels_go_where_they_are_asked_to(tmp_path):
    path = compressed(tmp_path / "a.fits", noise())
    room = np.zeros((10, 101), np.float32)
    assert decoded(path, slice(5, 15), room) is room
    assert same_bits(room, by_astropy(path)[5:15])
    with pytest.raises(ValueError, match=r"room for \(10, 101\) pixels"):
        decoded(path, slice(0, 4), room)
    with pytest.raises(ValueError, match="steps of 2"):
        decoded(path, slice(0, 4, 2))


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (np.float32, {"compression_type": "GZIP_2"}),
        (np.float32, {"tile_shape": (2, 101)}),
        (np.float64, {}),
        (np.int32, {}),
    ],
)
def test_other_images_are_left_to_astropy(tmp_path, kind, how):
    assert image_of(compressed(tmp_path / "a.fits", noise().astype(kind), **how)) is None


def test_a_plain_table_is_no_image():
    buffer = io.BytesIO()
    fits.BinTableHDU.from_columns([fits.Column("x", "D", array=[1.0])]).writeto(buffer)
    buffer.seek(0)
    with fits.open(buffer) as hdus:
        assert RiceImage.of(hdus[1]) is None


def test_broken_tiles_are_told_and_read_nothing_beyond(tmp_path):
    path = compressed(tmp_path / "a.fits", noise(40, 500))
    content = path.read_bytes()
    with fits.open(path, disable_image_compression=True) as hdus:
        table, lengths = hdus[1].fileinfo()["datLoc"], np.array(hdus[1].data.base["COMPRESSED_DATA"])[:, 0]
    rng = np.random.default_rng(0)

    def with_first_tile(length, offset):
        path.write_bytes(content[:table] + np.array([length, offset], ">i4").tobytes() + content[table + 8 :])

    with_first_tile(lengths[0] // 2, 0)
    with pytest.raises(ValueError, match="row 0 ends before its last pixel"):
        decoded(path)
    with_first_tile(lengths[0], 10**6)
    with pytest.raises(ValueError, match="outside their heap"):
        decoded(path)
    with_first_tile(0, 0)
    with pytest.raises(ValueError, match="holds nothing"):
        decoded(path)
    for _ in range(20):  # garbage has either some value or a broken tile, and never another end
        garbled = bytearray(content)
        heap = table + 40 * 32
        garbled[heap : heap + lengths.sum()] = rng.bytes(int(lengths.sum()))
        path.write_bytes(garbled)
        assert outcome(path) in ((40, 500), "broken")
