"""The archive's images, plain and compressed, and what is not one."""

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.catalogue.skies import GAIN, READ_NOISE, header
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import MaskBit

SHAPE = (40, 50)


@pytest.fixture
def planes():
    rng = np.random.default_rng(1)
    return rng.normal(150, 5, SHAPE).astype(np.float32), np.full(SHAPE, 2, dtype=np.int16)


def write(path, pixels, cards=None, compression=None):
    if compression:
        fits.CompImageHDU(pixels, cards, compression_type=compression, quantize_level=0).writeto(path)
    else:
        fits.PrimaryHDU(pixels, cards).writeto(path)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_plain_and_compressed_files_read_alike(tmp_path, planes, compressed):
    data, mask = planes
    data[3, 4] = np.nan
    science = write(tmp_path / "sciimg.fits", data, header(SHAPE), "GZIP_2" if compressed else None)
    bits = write(tmp_path / "mskimg.fits", mask, None, "RICE_1" if compressed else None)
    image, read = science_image(science, bits)
    np.testing.assert_array_equal(image.data, data)
    assert image.data.dtype == np.float32
    assert image.data.dtype.isnative
    assert image.mask.dtype == np.uint16
    assert image.mask[3, 4] == 2 | MaskBit.NAN
    assert image.mask[0, 0] == 2
    assert np.isnan(image.variance[3, 4])
    np.testing.assert_allclose(image.variance[5], data[5] / GAIN + (READ_NOISE / GAIN) ** 2, rtol=1e-5)
    assert read["OBSMJD"] == 59116.4317708


def science_instead_of_mask(folder, data, mask):
    return folder / "sci.fits", write(folder / "msk.fits", data), "msk.fits.*type float32.*expected a mask"


def mask_instead_of_science(folder, data, mask):
    return write(folder / "other.fits", mask, header(SHAPE)), folder / "msk.fits", "other.fits.*type int16.*science"


def another_shape(folder, data, mask):
    return folder / "sci.fits", write(folder / "msk.fits", mask[:-1]), "msk.fits.*39, 50.*sci.fits.*40, 50"


def no_fits(folder, data, mask):
    (folder / "page.fits").write_text("<html>log in</html>")
    return folder / "page.fits", folder / "msk.fits", "page.fits: not readable as FITS"


def not_there(folder, data, mask):
    return folder / "nowhere.fits", folder / "msk.fits", "nowhere.fits: not readable"


def cut_short(folder, data, mask):
    whole = write(folder / "cut.fits", data, header(SHAPE)).read_bytes()
    (folder / "cut.fits").write_bytes(whole[: len(whole) // 2])
    return folder / "cut.fits", folder / "msk.fits", "cut.fits: not readable"


def raw_frame(folder, data, mask):
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(data) for _ in range(8))]).writeto(folder / "raw.fits")
    return folder / "raw.fits", folder / "msk.fits", "raw.fits: 8 images.*expected a science image"


def no_astrometry(folder, data, mask):
    bare = header(SHAPE)
    del bare["CRVAL1"]
    return write(folder / "bare.fits", data, bare), folder / "msk.fits", "bare.fits: .*no world coordinates"


def no_gain(folder, data, mask):
    bare = header(SHAPE)
    del bare["GAIN"]
    return write(folder / "bare.fits", data, bare), folder / "msk.fits", "bare.fits: the header lacks GAIN"


@pytest.mark.parametrize(
    "wrong",
    [
        science_instead_of_mask, mask_instead_of_science, another_shape, no_fits, not_there, cut_short, raw_frame,
        no_astrometry, no_gain,
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:File may have been truncated")  # astropy's, before the error
def test_what_is_wrong_with_a_file_is_said_by_its_name(tmp_path, planes, wrong):
    data, mask = planes
    write(tmp_path / "sci.fits", data, header(SHAPE))
    science, bits, says = wrong(tmp_path, data, mask)
    if not bits.exists():
        write(bits, mask)
    with pytest.raises(BadData, match=says):
        science_image(science, bits)
