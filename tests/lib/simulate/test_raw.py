"""Raw files have the layout of the survey's, and hold what the amplifiers read."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.raw import read_out_ccd, write_raw


@pytest.fixture(scope="module", params=["biases", "flats", "objects"])
def frame(plan, request):
    return getattr(plan, request.param)[0]


def test_nine_hdus_of_rows_compressed_one_by_one(plan, tree, frame):
    path = tree / files.raw_path(CcdExposure(frame.exposure, 3))
    assert path.stat().st_size % 2880 == 0
    rows, columns = plan.camera.shape
    with fits.open(path, disable_image_compression=True) as stored:
        assert len(stored) == 9
        assert stored[0].data is None
        for index, hdu in enumerate(stored[1:], start=1):
            width = columns if index <= 4 else plan.camera.overscan_columns
            assert hdu.header["ZCMPTYPE"] == "RICE_1"
            assert hdu.header["ZBITPIX"] == -32
            assert (hdu.header["ZNAXIS1"], hdu.header["ZNAXIS2"]) == (width, rows)
            assert (hdu.header["ZTILE1"], hdu.header["ZTILE2"]) == (width, 1)
            assert {"ZSCALE", "ZZERO"} < set(hdu.columns.names)  # quantised
            assert hdu.header["EXTNAME"] == str(index)
            assert hdu.verify_datasum() == 1  # there, and right


def test_pixels_are_those_read_to_the_last_bit(plan, tree, frame):
    ccd = CcdExposure(frame.exposure, 3)
    readouts = read_out_ccd(plan, ccd)
    with fits.open(tree / files.raw_path(ccd)) as stored:
        for qid in range(1, 5):
            np.testing.assert_array_equal(stored[qid].data, readouts[qid][0])
            np.testing.assert_array_equal(stored[qid + 4].data, readouts[qid][1])


def test_keywords(plan, tree, frame):
    ccd = CcdExposure(frame.exposure, 3)
    with fits.open(tree / files.raw_path(ccd)) as stored:
        primary = stored[0].header
        assert primary["IMGTYPE"] == {"b": "bias", "f": "flat", "o": "object"}[frame.exposure.image_type]
        assert primary["ILUM_LED"] == getattr(frame, "led", 0)
        assert primary["OBSMJD"] == pytest.approx(frame.mjd, abs=1e-7)
        assert primary["OBSJD"] == pytest.approx(frame.mjd + 2400000.5, abs=1e-7)
        assert (primary["EXPTIME"], primary["FIELDID"]) == (frame.exptime, frame.exposure.field)
        for name in [
            "FILTER",
            "FILTERID",
            "ILUMWAVE",
            "ILUMPOWR",
            "AIRMASS",
            "RAD",
            "DECD",
            "TELRAD",
            "TELDECD",
            "HEADTEMP",
            "CCDTMP01",
            "CCDTMP16",
        ]:
            assert name in primary
        for index in range(1, 9):
            header = stored[index].header
            assert (header["CCD_ID"], header["AMP_ID"]) == (3, (index - 1) % 4)
            assert 5.8 < header["GAIN"] < 6.2
            assert 8.5 < header["READNOI"] < 9.5


def test_fractions_are_quantised_far_below_the_noise(plan, tmp_path):
    plan = replace(plan, effects=replace(plan.effects, digitisation=False))
    for frame, limit in ((plan.biases[0], 0.001), (plan.flats[0], 0.01), (plan.objects[0], 0.001)):
        ccd = CcdExposure(frame.exposure, 3)
        readouts = read_out_ccd(plan, ccd)
        path = tmp_path / f"{ccd}.fits.fz"
        write_raw(path, plan, ccd, readouts)
        with fits.open(path) as stored:
            added = np.var(stored[1].data.astype(float) - readouts[1][0])
        noise = max(np.median(readouts[1][0]) - 1500, 0) / 6 + (9 / 6) ** 2
        assert 0 < added < limit * noise  # of the variance


def test_the_same_frame_has_the_same_bytes(plan, tree, tmp_path):
    ccd = CcdExposure(plan.objects[0].exposure, 6)
    write_raw(tmp_path / "again.fits.fz", plan, ccd, read_out_ccd(plan, ccd))
    assert (tmp_path / "again.fits.fz").read_bytes() == (tree / files.raw_path(ccd)).read_bytes()


def test_a_file_that_fails_to_be_written_is_not_there(tmp_path):
    def fail(part):
        part.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_whole(tmp_path / "deep" / "file", fail)
    assert list((tmp_path / "deep").iterdir()) == []
