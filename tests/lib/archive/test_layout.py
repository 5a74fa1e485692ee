"""A file of the archive can be written down and read back; what cannot exist cannot be named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.test_identifiers import ccd_exposures, filefracdays
from ztf_in2p3.archive.layout import ArchiveFile
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.products import Kind, exposure_of, quadrant_of

science_exposures = st.builds(
    CcdExposure,
    st.builds(Exposure, filefracdays, st.integers(0, 999_999), st.sampled_from(Filter), st.just(ImageType.OBJECT)),
    st.integers(1, 16),
)
files = st.one_of(
    st.builds(ArchiveFile, st.just(Kind.RAW), ccd_exposures),
    st.builds(
        ArchiveFile, st.sampled_from([Kind.HEADER, Kind.SCIENCE, Kind.MASK]), science_exposures, st.integers(1, 4)
    ),
)
SKY = CcdExposure.parse("ztf_20190405444444_000655_zr_c03_o")


@given(files)
def test_a_file_survives_its_name(file):
    assert ArchiveFile.parse(str(file)) == file


@given(files)
def test_the_store_knows_the_file_by_the_same_exposure_and_name(file):
    assert exposure_of(file.ref) == file.ccd.exposure
    assert file.ref.kind is file.kind
    assert str(file).endswith("/" + file.ref.file_name)
    assert file.qid is None or quadrant_of(file.ref).qid == file.qid


def test_paths_are_those_of_the_archive():
    # The path of FACTS for the real quadrant, and the raw file it was cut from.
    real = CcdExposure.parse("ztf_20200924431759_000655_zr_c13_o")
    base = "2020/0924/431759/ztf_20200924431759_000655_zr_c13_o"
    assert ArchiveFile(Kind.RAW, real).path == f"raw/{base}.fits.fz"
    assert ArchiveFile(Kind.SCIENCE, real, 3).path == f"sci/{base}_q3_sciimg.fits"
    assert ArchiveFile(Kind.MASK, real, 3).path == f"sci/{base}_q3_mskimg.fits"


def test_a_header_is_read_from_the_science_image():
    header, science = (ArchiveFile(kind, SKY, 2) for kind in (Kind.HEADER, Kind.SCIENCE))
    assert header.path == science.path
    assert str(header) != str(science)


@pytest.mark.parametrize(
    ("kind", "ccd", "qid"),
    [
        (Kind.RAW, SKY, 1),
        (Kind.SCIENCE, SKY, None),
        (Kind.SCIENCE, SKY, 5),
        (Kind.BIAS, SKY, 1),
        (Kind.MASK, CcdExposure.parse("ztf_20190405444444_000000_bi_c03_b"), 1),
    ],
)
def test_no_such_file(kind, ccd, qid):
    with pytest.raises(ValueError, match=r"qid|keeps no"):
        ArchiveFile(kind, ccd, qid)


@pytest.mark.parametrize(
    "text",
    [
        "raw/2019/0405/444444/notes.fits",
        "raw/2019/0406/444444/ztf_20190405444444_000655_zr_c03_o.fits.fz",  # another night's folder
        "sci/2019/0405/444444/ztf_20190405444444_000655_zr_c03_o_q1_psfcat.fits",
        "sci/2019/0405/444444/ztf_20190405444444_000655_zr_c03_o.fits.fz",
    ],
)
def test_other_paths_are_strangers(text):
    with pytest.raises(ValueError, match=r"names no|does not lie"):
        ArchiveFile.parse(text)
