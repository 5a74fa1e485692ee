"""A raw file gives back what was written in it, and what is none is refused by name."""

import warnings
from datetime import date

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.detrend.raw_files import MJD, QIDS, write_raw
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.errors import BadData
from ztf_in2p3.frames import RawCcd

ROWS, COLUMNS = TINY.shape
STEP = 1.5 / 64
"""ADU.  Of the quantisation, in parts of each row's noise; thirty samples may take that for thrice what it is."""


def planes(columns, seed=0):
    rng = np.random.default_rng(seed)
    return {q: rng.normal(1000 * q, 1.5, (ROWS, columns)).astype(np.float32) for q in QIDS}


@pytest.fixture
def path(tmp_path):
    return write_raw(
        tmp_path / "ztf_20190405400000_000655_zr_c03_o.fits.fz",
        planes(COLUMNS),
        planes(TINY.overscan_columns, seed=1),
        keywords={"ILUM_LED": 7},
        quadrant_keywords={"GAIN": 6.2, "READNOI": 9.4},
    )


@pytest.mark.parametrize("qid", QIDS)
def test_each_quadrant_and_its_overscan_come_back(path, qid):
    with RawCcd.open(path, TINY) as raw:
        pixels, overscan = raw.pixels(qid), raw.overscan(qid)
    np.testing.assert_allclose(pixels, planes(COLUMNS)[qid], atol=1.5 * STEP)
    np.testing.assert_allclose(overscan, planes(TINY.overscan_columns, seed=1)[qid], atol=1.5 * STEP)
    assert pixels.dtype == overscan.dtype == np.float32


@pytest.mark.parametrize("rows", [slice(0, 1), slice(17, 80), slice(250, 300), slice(0, ROWS), slice(40, 80, 3)])
def test_rows_alone_are_those_of_the_whole(path, rows):
    with RawCcd.open(path, TINY) as raw:
        np.testing.assert_array_equal(raw.pixels(2, rows), raw.pixels(2)[rows])


def test_keywords(path):
    with RawCcd.open(path, TINY, ccdid=3) as raw:
        assert (raw.ccdid, raw.mjd, raw.night, raw.led) == (3, MJD, date(2019, 4, 5), 7)
        assert (raw.gain(4), raw.read_noise(4)) == (6.2, 9.4)
        assert raw.header["IMGTYPE"] == "object"


def test_the_camera_stands_in_for_what_the_header_does_not_know(tmp_path):
    own = {"GAIN": None, "READNOI": -1.0}
    args = tmp_path / "raw.fits.fz", planes(COLUMNS), planes(TINY.overscan_columns)
    path = write_raw(*args, keywords={"OBSMJD": "", "OBSJD": MJD + 2_400_000.5}, quadrant_keywords=own)
    with RawCcd.open(path, TINY) as raw:
        assert (raw.gain(1), raw.read_noise(1), raw.led) == (TINY.gain, TINY.read_noise, 0)
        assert raw.mjd == pytest.approx(MJD, abs=1e-8)


def test_without_a_date_there_is_no_night(tmp_path):
    args = tmp_path / "raw.fits.fz", planes(COLUMNS), planes(TINY.overscan_columns)
    path = write_raw(*args, keywords={"OBSMJD": "unknown"})
    with RawCcd.open(path, TINY) as raw, pytest.raises(BadData, match="OBSMJD"):
        _ = raw.night


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<html>Sign in</html>", "a web page"),
        (b"", "nothing"),
        (b"\x1f\x8b0000", "x1f"),
        (b"\n <?xml?>", "a web page"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path, content, found):
    path = tmp_path / "raw.fits.fz"
    path.write_bytes(content)
    with pytest.raises(BadData, match=rf"raw\.fits\.fz.*{found}.*fetch it again"):
        RawCcd.open(path, TINY)


def test_a_missing_hdu_is_counted(tmp_path, path):
    with fits.open(path) as hdus:
        hdus[:-1].writeto(tmp_path / "short.fits.fz")
    with pytest.raises(BadData, match=r"short\.fits\.fz: 8 HDUs found, 9 expected"):
        RawCcd.open(tmp_path / "short.fits.fz", TINY)


def test_another_camera_is_told_by_the_shape(path):
    found = r"HDU 1 has shape \(256, 240\), expected \(3080, 3072\) .*it is of camera 'tiny': name that one"
    with pytest.raises(BadData, match=found):
        RawCcd.open(path, ZTF)


def test_another_ccd_than_asked_for_is_refused(path):
    with pytest.raises(BadData, match="of CCD 3, but CCD 4 is asked for"):
        RawCcd.open(path, TINY, ccdid=4)


def test_an_unknown_ccd_is_refused(tmp_path):
    path = write_raw(tmp_path / "raw.fits.fz", planes(COLUMNS), planes(30), ccdid=17)
    with pytest.raises(BadData, match="of CCD 17, expected one of 1 to 16"):
        RawCcd.open(path, TINY)


@pytest.mark.parametrize(("name", "asked", "found"), [("ztf_20190405400000_000655_zr_c05_o", None, 5), ("x", 6, 6)])
def test_the_name_or_the_caller_says_which_ccd_if_the_header_does_not(tmp_path, name, asked, found):
    path = write_raw(tmp_path / f"{name}.fits.fz", planes(COLUMNS), planes(30), ccdid=None)
    with RawCcd.open(path, TINY, asked) as raw:
        assert raw.ccdid == found


def test_a_file_that_no_one_can_place_is_refused(tmp_path):
    path = write_raw(tmp_path / "raw.fits.fz", planes(COLUMNS), planes(30), ccdid=None)
    with pytest.raises(BadData, match="of CCD none"):
        RawCcd.open(path, TINY)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9, 0.995])
def test_a_truncated_file_is_refused(path, part):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy says it too
        with pytest.raises(BadData, match=path.name):
            RawCcd.open(path, TINY)


def test_garbled_tiles_name_the_file_and_the_hdu(path):
    with fits.open(path, disable_image_compression=True) as hdus:
        start = hdus[2].fileinfo()["datLoc"]
    content = bytearray(path.read_bytes())
    content[start : start + ROWS * 8] = b"\xff" * ROWS * 8  # where the tiles are
    path.write_bytes(content)
    with RawCcd.open(path, TINY) as raw:
        raw.pixels(1)
        with pytest.raises(BadData, match=f"{path.name}: HDU 2 cannot be decoded"):
            raw.pixels(2)


def test_no_such_quadrant_is_a_mistake(path):
    with RawCcd.open(path, TINY) as raw, pytest.raises(ValueError, match="no quadrant 5"):
        raw.pixels(5)
