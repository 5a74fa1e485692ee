"""A tree on disk, as it is found in the wild."""

from __future__ import annotations

import errno
import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.lib.archive.tiny_tree import SKY, science_header, write_mask, write_raw, write_science
from ztf_in2p3.archive import ArchiveFile, Damaged, LocalTree, NotInArchive
from ztf_in2p3.archive.header import write_header
from ztf_in2p3.errors import BadData, TransientError
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind

NIGHT = Period.of(date(2019, 4, 5))
CCD = CcdExposure.parse(SKY.name)
RAW, SCIENCE, MASK, HEADER = (ArchiveFile(kind, CCD, None if kind is Kind.RAW else 1) for kind in
                              (Kind.RAW, Kind.SCIENCE, Kind.MASK, Kind.HEADER))  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """A tree of one exposure, to be changed at will."""
    write_raw(tmp_path / "tree" / RAW.path, SKY)
    write_science(tmp_path / "tree" / SCIENCE.path, SKY, 1)
    write_mask(tmp_path / "tree" / MASK.path, SKY, 1)
    return LocalTree(tmp_path / "tree")


def compress(root, file):
    path = root / file.path
    with fits.open(path) as hdus:
        image = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(f"{path}.fz")
    path.unlink()


def of_content(about):
    """What is known of a file's content, without the state of the file that held it."""
    return {key: value for key, value in about.items() if not key.startswith("archive_")}


def test_a_file_is_linked_not_copied(own, tmp_path):
    own.fetch(RAW, tmp_path / "spool")
    assert (tmp_path / "spool").samefile(own.root / RAW.path)


def test_across_file_systems_it_is_copied(own, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    own.fetch(RAW, tmp_path / "spool")
    assert not (tmp_path / "spool").samefile(own.root / RAW.path)
    assert (tmp_path / "spool").read_bytes() == (own.root / RAW.path).read_bytes()


def test_a_tree_of_symbolic_links_gives_real_files(own, tmp_path):
    hidden = tmp_path / "elsewhere.fits.fz"
    (own.root / RAW.path).rename(hidden)
    (own.root / RAW.path).symlink_to(hidden)
    own.fetch(RAW, tmp_path / "spool")
    assert not (tmp_path / "spool").is_symlink()
    assert (tmp_path / "spool").samefile(hidden)


def test_a_compressed_tree_serves_all_the_same(own, tmp_path):
    plain = {file: own.fetch(file, tmp_path / "spool") for file in (SCIENCE, HEADER)}
    plain_header = fits.getheader(tmp_path / "spool")
    pixels = fits.getdata(own.root / SCIENCE.path)
    compress(own.root, SCIENCE)
    compress(own.root, MASK)

    assert own.sciences(NIGHT) == [(CCD, 1)]
    packed = {file: own.fetch(file, tmp_path / "spool") for file in (SCIENCE, HEADER)}
    assert {file: of_content(about) for file, about in packed.items()} == {
        file: of_content(about) for file, about in plain.items()
    }
    compressed_header = fits.getheader(tmp_path / "spool")
    assert {key: compressed_header[key] for key in plain_header if key in science_header(SKY, 1)} == {
        key: plain_header[key] for key in plain_header if key in science_header(SKY, 1)
    }
    own.fetch(MASK, tmp_path / "mask")
    own.fetch(SCIENCE, tmp_path / "image")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "image"), pixels)


def test_a_compressed_header_is_valid_without_its_pixels(own, tmp_path):
    compress(own.root, SCIENCE)
    own.fetch(HEADER, tmp_path / "spool")
    with fits.open(tmp_path / "spool") as hdus:
        hdus.verify("exception")
        assert list(hdus[0].header)[:3] == ["SIMPLE", "BITPIX", "NAXIS"]
        assert hdus[0].data is None


@pytest.mark.parametrize("how", ["ours", "bare"])
def test_a_tree_may_hold_headers_only(own, tmp_path, how):
    expected = own.fetch(HEADER, tmp_path / "spool")
    (own.root / SCIENCE.path).unlink()
    alone = own.root / str(HEADER)
    if how == "ours":
        write_header(alone, fits.getheader(tmp_path / "spool"))
    else:  # the image's own header, which announces pixels that do not follow
        bare = fits.PrimaryHDU(np.zeros((40, 36), "f4"), science_header(SKY, 1)).header
        alone.write_text(bare.tostring(padding=True))

    assert own.sciences(NIGHT) == [(CCD, 1)]
    assert of_content(own.fetch(HEADER, tmp_path / "again")) == of_content(expected)
    with pytest.raises(NotInArchive, match=r"sciimg\.fits"):
        own.fetch(SCIENCE, tmp_path / "image")


@pytest.mark.parametrize("file", [RAW, SCIENCE, MASK, HEADER], ids=lambda file: file.kind.value)
def test_what_is_missing_is_named_by_its_path(own, tmp_path, file):
    (own.root / file.path).unlink()
    with pytest.raises(NotInArchive, match=SKY.name) as raised:
        own.fetch(file, tmp_path / "spool")
    assert str(own.root / str(file)) in str(raised.value)
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("file", [RAW, SCIENCE, MASK, HEADER], ids=lambda file: file.kind.value)
def test_a_damaged_file_is_bad_data_and_leaves_nothing(own, tmp_path, file):
    path = own.root / file.path
    path.write_bytes(path.read_bytes()[:2000])  # less than any header
    with pytest.raises(Damaged, match=SKY.name):
        own.fetch(file, tmp_path / "spool")
    assert [one.name for one in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [(errno.EIO, TransientError, "try again"), (errno.ESTALE, TransientError, "try again"),
     (errno.EACCES, BadData, "cannot be read")],
)  # fmt: skip
def test_the_moods_of_a_file_system_are_told_apart(own, tmp_path, monkeypatch, number, error, words):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number), str(own.root / RAW.path))

    monkeypatch.setattr("ztf_in2p3.archive.local.check", fail)
    with pytest.raises(error, match=words):
        own.fetch(RAW, tmp_path / "spool")


def test_strangers_in_the_tree_do_not_matter(own):
    folder = (own.root / RAW.path).parent
    for name in (
        "notes.fits",
        "ztf_20190405444444_000655_xx_c03_o.fits.fz",
        "ztf_20190405444444_000655_zr_c99_o.fits.fz",
    ):
        (folder / name).write_text("not ours")
    (own.root / "raw/2019/0405/deeper/still").mkdir(parents=True)
    (own.root / "raw/2019/0405/file.fits").write_text("not ours")
    assert own.raws(NIGHT, ImageType.OBJECT) == [CCD]


def test_no_file_is_opened_to_list_a_night(own):
    (own.root / RAW.path).write_bytes(b"")
    assert own.raws(NIGHT, ImageType.OBJECT) == [CCD]


# --- what may not be read, and where the tree begins


def test_a_folder_that_may_not_be_read_is_named_and_its_neighbours_are_listed(own, monkeypatch):
    neighbour = Path(RAW.path.replace("444444", "555555"))
    (own.root / neighbour).parent.mkdir()
    (own.root / neighbour).write_bytes(b"")
    closed = (own.root / RAW.path).parent
    scandir = os.scandir

    def refuse(path):  # as the system does for anybody but root, who runs the tests in containers
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = own.raws(NIGHT, ImageType.OBJECT)
    assert [str(ccd) for ccd in listing] == [neighbour.name.removesuffix(".fits.fz")]
    (skipped,) = listing.skipped
    assert skipped.label == f"folder {closed}"
    assert "Permission denied" in skipped.reason


def test_a_folder_of_a_file_system_that_does_not_answer_is_asked_for_again(own, monkeypatch):
    def fail(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(TransientError, match="try again"):
        own.raws(NIGHT, ImageType.OBJECT)


@pytest.mark.parametrize("below", ["raw", "raw/2019", "raw/2019/0405", "sci"])
def test_a_level_too_low_is_said_with_the_right_one(own, below):
    with pytest.raises(NotInArchive, match=rf"looked for raw/.* found only .*; did you mean {own.root}\?"):
        LocalTree(own.root / below)


def test_a_level_too_high_is_said_with_the_right_one(own):
    with pytest.raises(NotInArchive, match=rf"found only tree; did you mean {own.root}\?"):
        LocalTree(own.root.parent)


def test_a_folder_with_nothing_of_a_tree_says_what_was_looked_for(tmp_path):
    with pytest.raises(NotInArchive, match=r"looked for raw/YYYY/MMDD/.*found nothing; give the folder"):
        LocalTree(tmp_path)


def test_a_raw_file_that_is_not_compressed_is_taken_too(own, tmp_path):
    packed = own.root / RAW.path
    expected = own.fetch(RAW, tmp_path / "packed")
    with fits.open(packed) as hdus:
        plain = [fits.PrimaryHDU(header=hdus[0].header), *(fits.ImageHDU(h.data, h.header) for h in hdus[1:])]
        fits.HDUList(plain).writeto(packed.with_suffix(""))
    packed.unlink()
    assert own.raws(NIGHT, ImageType.OBJECT) == [CCD]
    assert of_content(own.fetch(RAW, tmp_path / "plain")) == of_content(expected)


def test_a_file_that_lies_in_another_exposures_folder_is_said(own):
    stray = own.root / "raw/2019/0405/999999" / Path(RAW.path).name
    stray.parent.mkdir()
    stray.write_bytes(b"")
    listing = own.raws(NIGHT, ImageType.OBJECT)
    assert listing == [CCD]
    assert "does not lie where" in listing.skipped[0].examples[0]


def test_a_file_that_was_made_again_has_another_version_and_state(own, tmp_path):
    about, before = own.fetch(SCIENCE, tmp_path / "spool"), own.sciences(NIGHT).versions
    assert own.state(SCIENCE).is_that_of(about)
    os.utime(own.root / SCIENCE.path, (0, 0))
    assert not own.state(SCIENCE).is_that_of(about)
    assert own.sciences(NIGHT).versions[CCD, 1] != before[CCD, 1]
