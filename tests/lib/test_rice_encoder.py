"""The encoder's tables of tiles are astropy's, byte for byte."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.rice_encoder import TILE, encode_image
from ztf_in2p3.rice_quantise import LEAST_COLUMNS

N_ROW, N_COLUMN = 40, 301
NOISE = np.random.default_rng(1).normal(60, 1, (N_ROW, N_COLUMN)).astype(np.float32)
COLUMN, ROW = np.arange(N_COLUMN), np.arange(N_ROW)[:, np.newaxis]
SOME = np.random.default_rng(2).random((N_ROW, N_COLUMN))

IMAGES = {
    "noise": NOISE,
    "noise below zero, of wide steps": -1e4 * NOISE,
    "without data here and there": np.where(SOME < 0.01, np.nan, NOISE),
    "mostly without data": np.where(SOME < 0.7, np.nan, NOISE),
    "rows without data": np.where(ROW < 5, np.nan, NOISE),
    "whole numbers": np.round(NOISE),
    "few whole numbers": np.round(NOISE / 3),
    "rare whole numbers, whose differences have a median of 0": np.where(SOME < 0.1, 1, 0),
    "one value": np.full_like(NOISE, 3),
    "every third row of one value": np.where(ROW % 3 == 0, 5, NOISE),
    "one value over half of each row": np.where(COLUMN < 150, 1, NOISE),
    "variances of a stack": np.random.default_rng(3).choice([1, 1.1, 1.2], NOISE.shape),
    "outliers beyond the code's longest run": np.where(SOME < 1e-3, 1e7, NOISE),
    "outliers that no step can reach": np.where(SOME < 1e-3, 3e38, NOISE),
    "wide tails": np.random.default_rng(4).standard_cauchy(NOISE.shape),
    "smaller than normal numbers": NOISE * 1e-40,
    "a ramp": np.tile(COLUMN, (N_ROW, 1)),
    "the fewest columns": NOISE[:, :LEAST_COLUMNS],
    "a block and a pixel": NOISE[:, :33],
}


def by_astropy(pixels, steps, seed):
    """Table of tiles and heap."""
    hdu = fits.CompImageHDU(
        pixels, compression_type="RICE_1", quantize_level=steps, quantize_method=1, dither_seed=seed
    )  # fmt: skip
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    file.seek(0)
    with fits.open(file, disable_image_compression=True) as hdus:
        start = hdus[1].fileinfo()["datLoc"]
        end = start + len(pixels) * TILE.itemsize
        content = file.getvalue()
        has_blanks = "ZBLANK" in hdus[1].header
        heap = content[end : end + hdus[1].header["PCOUNT"]]
        return np.frombuffer(content[start:end], TILE), without_times(heap, content[start:end]), has_blanks


def without_times(heap, table):
    """The heap without the times in the headers of its GZIP streams (RFC 1952)."""
    heap = bytearray(heap)
    for length, at in np.frombuffer(table, TILE)["GZIP_COMPRESSED_DATA"].tolist():
        if length:
            heap[at + 4 : at + 8] = bytes(4)
    return bytes(heap)


def assert_same(pixels, steps=16.0, seed=1):
    pixels = np.asarray(pixels, np.float32)
    tiles, heap, has_blanks = by_astropy(pixels.copy(), steps, seed)
    image = encode_image(pixels, steps, seed)
    assert np.array_equal(image.tiles, tiles)
    assert without_times(image.heap, image.tiles.tobytes()) == heap
    assert image.has_blanks == has_blanks


@pytest.mark.parametrize("steps", [4.0, 16.0, 30_000.0])
@pytest.mark.parametrize("name", IMAGES)
def test_the_tiles_are_those_of_astropy(name, steps):
    assert_same(IMAGES[name], steps)


@pytest.mark.parametrize("seed", [2, 9990])
def test_the_dither_starts_where_it_is_told_and_begins_anew_after_the_last(seed):
    assert_same(NOISE, seed=seed)


def test_a_row_longer_than_the_table_of_random_numbers():
    assert_same(np.random.default_rng(5).normal(0, 1, (2, 25_000)))


@settings(max_examples=100, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(LEAST_COLUMNS, 70)),
        elements=st.floats(width=32, allow_infinity=False),
        fill=st.sampled_from([np.float32(0), np.float32(np.nan), np.float32(2.5)]),
    ),
    st.sampled_from([1.0, 16.0, 1e4]),
)
def test_whatever_the_pixels(pixels, steps):
    with np.errstate(over="ignore", invalid="ignore"):
        assert_same(pixels, steps)


def test_the_order_of_memory_does_not_matter():
    image, turned = encode_image(NOISE, 16.0, 1), encode_image(np.asfortranarray(NOISE), 16.0, 1)
    assert image.heap == turned.heap
