"""The web archive and a tree on disk give the same answers about the same files."""

import pickle
from datetime import date

import pytest

from tests.lib.archive import tiny_tree
from tests.lib.archive.tiny_tree import BIAS, EDGE, FLAT, LATER, LOST, ODD_BIAS, SKY, SKY_4
from ztf_in2p3.archive import ArchiveFile, Irsa, LocalTree, NotInArchive, open_archive
from ztf_in2p3.errors import TransientError
from ztf_in2p3.identifiers import CcdExposure, Filter, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import Fault

NIGHT = Period.of(date(2019, 4, 5))
MONTH = Period(date(2019, 4, 1), date(2019, 4, 30))
PUBLIC_SKY = {SKY, SKY_4, EDGE}


def ccd(frame):
    return CcdExposure.parse(frame.name)


@pytest.fixture(params=["irsa", "tree"])
def archive(request, tree, connect):
    return connect() if request.param == "irsa" else open_archive(str(tree))


def test_a_night_is_that_of_the_file_name(archive):
    found = archive.raws(NIGHT, ImageType.OBJECT, filters=[Filter.ZG])
    assert found == [ccd(EDGE)]
    assert archive.raws(Period.of(date(2019, 4, 6)), ImageType.OBJECT) == []


def test_raws_are_chosen_by_type_filter_and_ccd(archive):
    assert archive.raws(NIGHT, ImageType.FLAT) == [ccd(FLAT)]
    assert archive.raws(NIGHT, ImageType.DARK) == []
    assert archive.raws(NIGHT, ImageType.OBJECT, ccdids=[4]) == [ccd(SKY_4)]
    assert archive.raws(NIGHT, ImageType.OBJECT, filters=[]) == []
    # A tree knows neither secrets nor embargoes, so only what both must have.
    assert {ccd(f) for f in PUBLIC_SKY} <= set(archive.raws(NIGHT, ImageType.OBJECT, ccdids=[3, 4]))


def test_a_long_period_is_the_sum_of_its_nights(archive):
    nights = [Period.of(date(2019, 4, day)) for day in range(1, 31)]
    assert archive.raws(MONTH, ImageType.OBJECT) == sorted(
        one for night in nights for one in archive.raws(night, ImageType.OBJECT)
    )
    assert ccd(LATER) in archive.raws(MONTH, ImageType.OBJECT)


def test_quadrants_with_a_science_image_are_listed(archive):
    found = archive.sciences(MONTH, ccdids=[3], filters=[Filter.ZR])
    assert {(ccd(SKY), 1), (ccd(SKY), 2)} <= set(found)
    assert found == sorted(found)
    assert archive.sciences(MONTH, filters=[Filter.ZG]) == [(ccd(LATER), 1)]


@pytest.mark.parametrize("frame", [BIAS, FLAT, SKY], ids=["bias", "flat", "sky"])
def test_a_raw_file_arrives_byte_for_byte(archive, tree, tmp_path, frame):
    spool, told = tmp_path / "spool", []
    about = archive.fetch(ArchiveFile(Kind.RAW, ccd(frame)), spool, told.append)

    assert spool.read_bytes() == (tree / frame.raw).read_bytes()
    assert sum(told) == spool.stat().st_size
    state = {key: about.pop(key) for key in ("archive_size", "archive_date")}
    assert state["archive_size"] == spool.stat().st_size
    assert about == {
        "mjd": frame.obsjd - 2400000.5,
        "exptime": 30.0,
        "led": frame.led,
        "imgtype": tiny_tree.TYPES[frame.parts[3]],
    }
    assert list(tmp_path.iterdir()) == [spool]


@pytest.mark.parametrize(("kind", "suffix"), [(Kind.SCIENCE, "sciimg.fits"), (Kind.MASK, "mskimg.fits")])
def test_a_science_image_and_its_mask_arrive_byte_for_byte(archive, tree, tmp_path, kind, suffix):
    spool = tmp_path / "spool"
    about = archive.fetch(ArchiveFile(kind, ccd(SKY), 1), spool)
    assert spool.read_bytes() == (tree / SKY.quadrant(1, suffix)).read_bytes()
    assert about.get("mjd") == (SKY.obsjd - 2400000.5 if kind is Kind.SCIENCE else None)  # of a mask its image tells


def test_a_header_is_the_same_from_either(connect, tree, tmp_path):
    file = ArchiveFile(Kind.HEADER, ccd(SKY), 1)
    abouts = [source.fetch(file, tmp_path / str(i)) for i, source in enumerate([connect(), LocalTree(tree)])]
    # The date is that of the file, which each archive writes in its own way.
    dates = [about.pop("archive_date") for about in abouts]
    assert abouts[0] == abouts[1]
    assert all(dates)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_a_header_without_astrometry_is_passed_on_and_says_so(archive, tmp_path):
    about = archive.fetch(ArchiveFile(Kind.HEADER, ccd(SKY), 2), tmp_path / "spool")
    assert (about["wcs"], about["ra"], about["dec"], about["radius"]) == (False, None, None, None)
    assert about["seeing"] == 1.9


def test_a_file_that_is_not_there_is_named(archive, tmp_path):
    with pytest.raises(NotInArchive, match="20190405777777"):
        archive.fetch(ArchiveFile(Kind.RAW, ccd(LOST)), tmp_path / "spool")
    assert list(tmp_path.iterdir()) == []


def test_a_bias_frame_is_found_though_its_table_row_has_a_field(connect, tree, tmp_path):
    archive = connect()
    listed = archive.raws(NIGHT, ImageType.BIAS)
    odd = next(one for one in listed if one.exposure.field == 655)
    archive.fetch(ArchiveFile(Kind.RAW, odd), tmp_path / "spool")
    assert (tmp_path / "spool").read_bytes() == (tree / ODD_BIAS.raw).read_bytes()


def test_a_long_period_is_asked_for_a_few_nights_at_a_time(served, connect):
    connect().raws(MONTH, ImageType.OBJECT)
    assert len(served.requests) == 5  # 30 nights by 7


def test_only_the_header_of_an_image_is_asked_of_the_network(served, connect, naps, tmp_path):
    # The rest of the image never comes: a client that waited for it would run into the time-out and try again.
    served.inject(Fault.STALL, "*sciimg.fits")
    about = connect().fetch(ArchiveFile(Kind.HEADER, ccd(SKY), 1), tmp_path / "spool")
    assert about["wcs"] is True
    assert naps == []


def test_a_client_can_be_sent_to_another_process(connect, naps):
    archive = connect(sleep=abs)  # what is pickled must have a name
    again = pickle.loads(pickle.dumps(archive))
    assert again.raws(NIGHT, ImageType.FLAT) == archive.raws(NIGHT, ImageType.FLAT)


def test_the_location_tells_which_archive_it_is(tree):
    assert isinstance(open_archive("https://example.org/", concurrency=2), Irsa)
    assert open_archive(tree.as_uri()).root == tree
    with pytest.raises(ValueError, match="no archive at"):
        open_archive("ftp://example.org")
    with pytest.raises(NotInArchive, match="nowhere"):
        open_archive(str(tree / "nowhere"))


def test_an_archive_that_does_not_answer_may_answer_later(tree, naps):
    archive = Irsa("http://127.0.0.1:9", sleep=naps.append)  # the discard port: nobody listens
    with pytest.raises(TransientError, match="no answer"):
        archive.raws(NIGHT, ImageType.OBJECT)
    assert naps == [2, 4]
