"""A list of exposures is understood as teams write it, or refused: it never becomes another choice."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from ztf_in2p3.errors import BadData
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.periods import Period

FIRST, SECOND, THIRD = "20190405123456", "20190405234567", "20190501000001"
LISTED = {(FIRST, 3), (SECOND, None)}


def ccd(name: str, ccdid: int) -> CcdExposure:
    return CcdExposure(Exposure(name, 655, Filter.ZR, ImageType.OBJECT), ccdid)


def parquet(path):
    pq.write_table(pa.table({"filefracday": [int(FIRST), int(SECOND)], "ccdid": [3, None]}), path)


def fits(path):
    Table({"FILEFRACDAY": [FIRST, SECOND, SECOND], "x": [1.0, 2.0, 3.0]}).write(path, format="fits")


def ecsv(path):
    Table({"filefracday": [int(FIRST), int(SECOND)]}).write(path, format="ascii.ecsv")


def votable(path):
    Table({"exposure": [int(FIRST), int(SECOND)]}).write(path, format="votable")


def csv(path):
    path.write_text(f"field,filefracday,ccd\n655,{FIRST},3\n655,{SECOND},\n")


def names_of_files(path):
    path.write_text(f"filename\nsci/2019/0405/123456/ztf_{FIRST}_000655_zr_c03_o_q1_sciimg.fits\n{SECOND}\n")


def text(path):
    path.write_text(f"# chosen by eye\n{FIRST} 3\n\n/raw/ztf_{SECOND}_000655_zr\n")


@pytest.mark.parametrize("write", [parquet, csv, names_of_files, text])
def test_a_ccd_may_stand_beside_an_exposure_or_not(tmp_path, write):
    write(tmp_path / "list")
    listed = ExposureList.read(tmp_path / "list")
    assert set(listed) == LISTED
    assert [ccd(FIRST, 3) in listed, ccd(FIRST, 4) in listed, ccd(SECOND, 9) in listed] == [True, False, True]
    assert ccd(THIRD, 3) not in listed


@pytest.mark.parametrize("write", [fits, ecsv, votable])
def test_every_format_of_a_table_is_read(tmp_path, write):
    write(tmp_path / "list")
    assert set(ExposureList.read(tmp_path / "list")) == {(FIRST, None), (SECOND, None)}


def test_exposures_of_a_period_are_those_of_its_nights():
    listed = ExposureList({(FIRST, 3), (FIRST, 4), (SECOND, None), (THIRD, None)})
    assert listed.names(Period.parse("20190401_20190430")) == [FIRST, SECOND]


WRONG = [
    (f"filefracday\n{FIRST}\nyesterday\n", "1 of 2 rows tell no exposure, the first is row 2: 'yesterday'"),
    (f"filefracday,ccdid\n{FIRST},17\n", "CCD '17'.*from 1 to 16"),
    ("expid,field\n90000,655\n", "no column tells the exposures; it has expid, field.*archive's database"),
    ("filefracday\n", "lists no exposures"),
    ("", "is empty"),
    ("<html><body>Login</body></html>", "XML or HTML"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_what_is_no_list_is_refused_with_the_row(tmp_path, content, message):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(BadData, match=message):
        ExposureList.read(tmp_path / "list.csv")


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadData, match=r"nothing\.csv cannot be read"):
        ExposureList.read(tmp_path / "nothing.csv")
