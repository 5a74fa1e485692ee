"""A name can be written down and read back; what exists nowhere cannot be named."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType, Quadrant

quadrants = st.builds(Quadrant, st.integers(1, 16), st.integers(1, 4))
filefracdays = st.builds(
    lambda night, fraction: f"{night:%Y%m%d}{fraction:06d}",
    st.dates(min_value=date(2017, 11, 1), max_value=date(2030, 1, 1)),  # ZTF's first light
    st.integers(0, 999_999),
)
exposures = st.builds(
    Exposure, filefracdays, st.integers(0, 999_999), st.sampled_from(Filter), st.sampled_from(ImageType)
)
ccd_exposures = st.builds(CcdExposure, exposures, st.integers(1, 16))


@given(quadrants)
def test_a_quadrant_survives_its_names(quadrant):
    assert Quadrant.parse(str(quadrant)) == quadrant
    assert Quadrant.of_rcid(quadrant.rcid) == quadrant


@given(exposures)
def test_an_exposure_survives_its_name(exposure):
    assert Exposure.parse(str(exposure)) == exposure


@given(ccd_exposures)
def test_a_ccd_exposure_survives_its_name(ccd):
    assert CcdExposure.parse(str(ccd)) == ccd


def test_the_real_header_numbers_its_readout_channel_as_we_do():
    assert Quadrant(13, 3).rcid == 50  # RCID of ztf_20200924431759_000655_zr_c13_o_q3


@pytest.mark.parametrize("text", ["c17_q1", "c03_q5", "c00_q1", "c3_q1", "q1"])
def test_no_such_quadrant(text):
    with pytest.raises(ValueError, match="quadrant"):
        Quadrant.parse(text)


@pytest.mark.parametrize("text", ["20191305123456_000655_zr_o", "2019_000655_zr_o", "20190405123456_000655_zx_o"])
def test_no_such_exposure(text):
    with pytest.raises(ValueError, match=r"exposure|month|filefracday|zx"):
        Exposure.parse(text)
