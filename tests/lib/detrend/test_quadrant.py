"""A detrended image is the sky as it was, with the errors it states."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.lib.detrend.conftest import RECIPE
from tests.lib.detrend.raw_files import QIDS
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.detrend.quadrant_file import read_quadrant, write_quadrant
from ztf_in2p3.errors import BadData
from ztf_in2p3.image import MaskBit

N_PIXEL = TINY.shape[0] * TINY.shape[1]
RAISED = 1.03
"""FLTNORM_FP over the CCD's FLTNORM."""


def science_header(qid=1):
    """Some of what IPAC's header says: the sky, the exposure, and how IPAC made its own image."""
    header = fits.Header()
    header.update({
        "BITPIX": 16, "NAXIS": 2, "NAXIS1": 240, "NAXIS2": 256, "BUNIT": "Data Value", "OBSMJD": 58578.4,
        "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CRPIX1": 120.5, "CRPIX2": 128.5, "CRVAL1": 58.0, "CRVAL2": 35.7,
        "CD1_1": -2.8117e-4, "CD1_2": -7.7e-6, "CD2_1": 7.7e-6, "CD2_2": -2.8117e-4, "PV1_1": 1.0001, "PV2_1": 0.9999,
        "SEEING": 1.9, "CCDID": 3, "QID": qid, "INFOBITS": 0, "GAIN": 6.2, "SATURATE": 58647.2,
        "MAGZP": 26.28, "APCOR4": -0.07, "APCORUN4": 0.001, "CIDBIAS": 136250002, "BIT00": 0, "MAGLIM": 21.7,
        "DBPID": 1, "CREATED": "2020-09-24T03:29:44", "PHOTLINK": False, "ZPMED": 26.3, "CLRCOEFF": 0.08,
    })  # fmt: skip
    header.add_history("executed instrphotcal.pl")
    return header


def exposed(detector, folder, brightness, *, cosmic=(), n=1):
    """Raw file and truth: sky of that brightness behind the detector's response, at the focal plane's level."""
    detector = replace(detector, cosmic=cosmic)
    light = {q: brightness * detector.flat[q] for q in QIDS}
    path = detector.expose(folder / detector.name(n, "o", "zr"), n, light)
    return path, RAISED * brightness


def detrended(path, bias, flat, headers=None, masks=None, **how):
    headers = headers or {q: science_header(q) for q in QIDS}
    return detrend_ccd(path, bias, flat, RAISED * flat.value("FLTNORM"), headers, masks or {}, TINY, RECIPE, **how)


@pytest.fixture(scope="module")
def ramp(detector, tmp_path_factory, bias, flat):
    """From dark sky to a bright star, along the columns."""
    brightness = np.broadcast_to(np.geomspace(50, 40_000, TINY.shape[1]), TINY.shape)
    path, truth = exposed(detector, tmp_path_factory.mktemp("ramp"), brightness)
    return detrended(path, bias, flat), truth


@pytest.fixture(scope="module")
def sky(detector, tmp_path_factory, bias, flat):
    path, truth = exposed(detector, tmp_path_factory.mktemp("sky"), np.full(TINY.shape, 100.0))
    return detrended(path, bias, flat), truth


@pytest.mark.parametrize("qid", QIDS)
def test_the_mean_of_the_sky_is_its_truth(sky, flat, qid):
    image, _ = sky[0][qid]
    error = image.data - sky[1]
    # Pixels; offset of the exposure's rows; offsets of the ten biases' rows (1.38 / 10 of a variance).
    offset = 1.5**2 / 5 / TINY.shape[0]
    scale = RAISED / np.median(flat.data[qid])
    expected = np.sqrt(image.variance.mean() / N_PIXEL + scale**2 * offset * 1.138)
    assert abs(error.mean()) < 4 * expected


@pytest.mark.parametrize("qid", QIDS)
def test_the_variance_plane_is_the_variance(sky, ramp, qid):
    image, _ = sky[0][qid]
    square = (image.data - sky[1]) ** 2 / image.variance
    # The exposure's fitted cubic and those of ten biases add 4 / 256 of 1.14 profiles, 0.7, to a variance of 19: 6e-4.
    assert abs(square.mean() - 1) < 4 / np.sqrt(N_PIXEL / 2) + 6e-4

    image, _ = ramp[0][qid]
    square = (image.data - ramp[1]) ** 2 / image.variance
    for columns in np.split(square, 6, axis=1):  # dark to bright
        assert abs(columns.mean() - 1) < 4 / np.sqrt(columns.size / 2) + 2e-3


def test_without_the_flats_own_noise_the_bright_end_would_be_wrong(ramp, flat):
    image, _ = ramp[0][1]
    bright = slice(-20, None)
    share = (image.data**2 * flat.variance[1] / flat.data[1] ** 2)[:, bright] / image.variance[:, bright]
    assert share.mean() > 0.1


def test_faults_are_masked_and_without_value(detector, tmp_path, bias, flat):
    cosmic = ((1, 20, 30, 60_000.0),)
    path, _ = exposed(detector, tmp_path, np.full(TINY.shape, 400.0), cosmic=cosmic)
    holed = replace(flat, data={q: plane.copy() for q, plane in flat.data.items()})
    holed.data[1][1, 1], holed.data[1][2, 2], holed.data[1][3, 3] = 0.0, -0.3, np.nan
    unknown = replace(bias, data={q: plane.copy() for q, plane in bias.data.items()})
    unknown.data[1][4, 4] = np.nan
    ipac = np.zeros(TINY.shape, np.int16)
    ipac[5, 5] = MaskBit.DETECTION | MaskBit.HALO

    image, _ = detrended(path, unknown, holed, masks={1: ipac})[1]

    dead = MaskBit.DEAD | MaskBit.NAN
    marked = {(1, 1): dead, (2, 2): dead, (3, 3): dead, (4, 4): MaskBit.NAN, (20, 30): MaskBit.SATURATED}
    marked |= {(5, 5): MaskBit.DETECTION | MaskBit.HALO}
    assert {pixel: MaskBit(int(image.mask[pixel])) for pixel in zip(*np.nonzero(image.mask), strict=True)} == marked
    undefined = {tuple(map(int, pixel)) for pixel in np.argwhere(np.isnan(image.data))}
    assert undefined == {(1, 1), (2, 2), (3, 3), (4, 4)}
    np.testing.assert_array_equal(np.isnan(image.variance), np.isnan(image.data))
    assert ipac.sum() == MaskBit.DETECTION | MaskBit.HALO  # the caller's own is left alone


def test_a_pixel_is_full_at_so_many_electrons_whatever_its_amplifier_makes_of_them(detector, tmp_path, bias, flat):
    """351 600 electrons are 58 600 ADU of the nominal gain of 6, 60 289 of a gain of 5.832."""
    for gain, n_full in ((6.0, 3), (5.832, 1)):
        light = {q: np.full(TINY.shape, 400.0) for q in QIDS}
        # 1 ADU of linear light is one of the simulated detector's whatever gain its header tells.
        for row, adu in enumerate((57_000, 58_400, 58_700, 60_400)):
            light[2][row + 10, 100] = adu
        quiet = replace(detector, gain=1e9, read_noise=0.0)
        path = quiet.expose(tmp_path / f"{gain}.fits.fz", 1, light, quadrant_keywords={"GAIN": gain}, drift=0.0)
        image, header = detrended(path, bias, flat)[2]
        full = [bool(image.mask[row + 10, 100] & np.uint16(MaskBit.SATURATED)) for row in range(4)]
        assert full == [False] * (4 - n_full) + [True] * n_full
        assert np.count_nonzero(image.mask & np.uint16(MaskBit.SATURATED)) == n_full
        assert header["NSATUR"] == n_full
        response = np.median(flat.data[2])
        # To the quantile between the pixels of a sample of the flat's 1 % pattern.
        assert header["SATURATE"] == pytest.approx(351_600 / gain * RAISED / response, rel=0.01)
        assert header["GAIN"] == pytest.approx(gain * response / RAISED, rel=0.01)


def test_what_the_converter_cannot_tell_is_saturated(detector, tmp_path, bias, flat):
    # 65 535 ADU, raw: of an amplifier of a gain of 5, 64 500 ADU over the offset are far from full.
    light = {q: np.full(TINY.shape, 400.0) for q in QIDS}
    raised = tuple((2, row, 100, adu) for row, adu in ((100, 63_500.0), (110, 66_000.0)))
    quiet = replace(detector, cosmic=raised)
    path = quiet.expose(tmp_path / "r.fits.fz", 1, light, quadrant_keywords={"GAIN": 5.0}, drift=0.0)
    image, _ = detrended(path, bias, flat)[2]
    assert [int(image.mask[row, 100]) for row in (100, 110)] == [0, MaskBit.SATURATED]


def test_the_header_keeps_the_sky_and_drops_what_is_true_of_other_pixels(sky):
    _, header = sky[0][4]
    assert not {"MAGZP", "APCOR4", "APCORUN4", "CIDBIAS", "BIT00", "MAGLIM", "DBPID", "CREATED", "PHOTLINK", "ZPMED",
                "CLRCOEFF", "HISTORY"} & set(header)  # fmt: skip
    assert (header["SEEING"], header["QID"], header["INFOBITS"], header["OBSMJD"]) == (1.9, 4, 0, 58578.4)
    assert (header["BUNIT"], header["READNOI"], header["OSCANCOR"], header["LINCOR"]) == ("adu", 9.0, True, True)
    assert header["FLTNORM_FP"] == pytest.approx(RAISED * header["FLTNORM"])
    pixels = np.random.default_rng(0).uniform(0, 240, (10, 2))
    before, after = (WCS(one).all_pix2world(pixels, 0) for one in (science_header(), header))
    np.testing.assert_array_equal(before, after)


def test_only_quadrants_with_a_header_are_made_and_the_calibrations_are_noted(detector, tmp_path, bias, flat):
    path, _ = exposed(detector, tmp_path, np.full(TINY.shape, 400.0))
    made = detrended(path, bias, flat, headers={2: science_header(2)}, cards={"BIASDAYS": (3, "days to the bias")})
    assert list(made) == [2]
    assert made[2][1]["BIASDAYS"] == 3


def test_a_quadrant_survives_its_file(sky, tmp_path):
    image, header = sky[0][3]
    write_quadrant(tmp_path / "q.fits", image, header, {"RECIPE": "3f2a9c1b0e"})
    read, read_header = read_quadrant(tmp_path / "q.fits")
    # Steps of a 16th of the noise of a row, 4.4 ADU here; its variance varies smoothly, but for the flat's 1 %.
    np.testing.assert_allclose(read.data, image.data, atol=4.4 / 16)
    np.testing.assert_allclose(read.variance, image.variance, rtol=0.05)
    np.testing.assert_array_equal(read.mask, image.mask, strict=True)
    assert (read_header["SEEING"], read_header["FLTNORM_FP"]) == (1.9, header["FLTNORM_FP"])
    assert fits.getheader(tmp_path / "q.fits")["RECIPE"] == "3f2a9c1b0e"


def test_wrong_inputs_are_named(detector, tmp_path, bias, flat):
    path, _ = exposed(detector, tmp_path, np.full(TINY.shape, 400.0))
    with pytest.raises(BadData, match="CCD 3, but CCD 5 is asked for"):
        detrended(path, replace(bias, ccdid=5), replace(flat, ccdid=5))
    with pytest.raises(ValueError, match="bias of CCD 5 with the flat of CCD 3"):
        detrended(path, replace(bias, ccdid=5), flat)
    with pytest.raises(BadData, match=rf"{path.name}, quadrant 2: mask of shape \(3, 4\)"):
        detrended(path, bias, flat, masks={2: np.zeros((3, 4), np.int16)})
    with pytest.raises(BadData, match="no card FLTNORM"):
        detrend_ccd(path, bias, bias, 2e4, {1: science_header()}, {}, TINY, RECIPE)
    with pytest.raises(BadData, match="no detrended quadrant"):
        read_quadrant(path)
    with pytest.raises(BadData, match="expected"):
        detrend_ccd(path, bias, flat, 2e4, {1: science_header()}, {}, ZTF, RECIPE)
