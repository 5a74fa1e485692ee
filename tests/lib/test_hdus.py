"""What a header announces is compared with what the file is before anything is allocated."""

import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from ztf_in2p3.errors import BadData
from ztf_in2p3.hdus import read_hdus, read_header, read_pixels
from ztf_in2p3.simulate.faults import write_card

SHAPE = (12, 20)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.fits"
    pixels = np.random.default_rng(0).normal(100, 5, SHAPE).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels)]).writeto(path)
    return path


@pytest.fixture
def compressed(tmp_path):
    path = tmp_path / "compressed.fits"
    pixels = np.random.default_rng(0).normal(100, 5, SHAPE).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, tile_shape=(1, SHAPE[1]))]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NAXIS1", 2_000_000_000), ("NAXIS2", 2_000_000_000), ("NAXIS1", -20), ("NAXIS2", "nan"), ("NAXIS", 12),
        ("NAXIS", -1), ("PCOUNT", 2_000_000_000), ("PCOUNT", -5), ("GCOUNT", 3), ("BITPIX", -33),
    ],
)  # fmt: skip
def test_sizes_that_the_file_does_not_have_are_refused_without_memory(image, key, value):
    assert write_card(image, key, f"{key:8}= {value:>20}", hdu=1)
    tracemalloc.start()
    try:
        with pytest.raises(BadData, match=image.name):
            read_hdus(image)
        assert tracemalloc.get_traced_memory()[1] < 10e6  # bytes; the header's columns alone would be 8e9
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["ZNAXIS1", "ZNAXIS2"])
@pytest.mark.parametrize("value", [2_000_000_000, -20])
def test_so_are_those_of_compressed_images(compressed, key, value):
    assert write_card(compressed, key, f"{key:8}= {value:>20}", hdu=1)
    with pytest.raises(BadData, match=compressed.name):
        read_hdus(compressed)


@pytest.mark.parametrize(
    ("key", "neutral", "value"), [("BSCALE", 1.0, 2.0), ("BZERO", 0.0, 32768.0), ("BZERO", 0.0, "nan")]
)
def test_a_scale_on_compressed_floats_is_refused_not_ignored(tmp_path, compressed, key, neutral, value):
    with fits.open(compressed, disable_image_compression=True) as hdus:
        hdus[1].header[key] = neutral
        hdus.writeto(path := tmp_path / "scaled.fits")
    read_pixels(path, 1, read_hdus(path)[1])  # a neutral scale changes nothing
    assert write_card(path, key, f"{key:8}= {value:>20}", hdu=1)
    with pytest.raises(BadData, match=key):
        read_pixels(path, 1, read_hdus(path)[1])


def test_a_scale_of_plain_integers_is_applied(tmp_path):
    hdu = fits.PrimaryHDU(np.arange(240, dtype=np.int16).reshape(SHAPE))
    hdu.header["BSCALE"], hdu.header["BZERO"] = 2.0, 100.0
    hdu.writeto(path := tmp_path / "integers.fits")
    stored = fits.getdata(path)
    np.testing.assert_array_equal(read_pixels(path, 0, read_hdus(path)[0]), stored)


def test_a_header_alone_may_have_no_axes(tmp_path):
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 0), ("CRVAL1", 150.25)])
    path = tmp_path / "header.fits"
    path.write_bytes(header.tostring(endcard=True, padding=True).encode())
    assert read_header(path)["CRVAL1"] == 150.25
    assert read_hdus(path)[0].shape == ()
