"""Tables, lists, images and settings from outside: whatever is wrong with them, they are read or refused in words."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from tests.lib.mutations import count, mutated
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.catalogue.imported_file import ImportedFile, filters, floats
from ztf_in2p3.catalogue.reference_table import StarFile, columns_of
from ztf_in2p3.detrend.verdicts import rulings
from ztf_in2p3.errors import BadData
from ztf_in2p3.exposure_list import ExposureList
from ztf_in2p3.recipes import ImportedColumns
from ztf_in2p3.scene.images import image_facts, read_image
from ztf_in2p3.scene.target import read_targets
from ztf_in2p3.simulate.reference import write_reference
from ztf_in2p3.simulate.sky import Sky

ODD_TEXTS = (b"", b"nan", b"inf", b"-1e999", b"0x" + b"f" * 400, b"9" * 400, b"\xb0\xe9", b"\x00", b'"', b",,,", b"[[",
             b"<html>", b"= 7", b"1e400", b"\xff\xfe", b"{}", b"2019-13-99", b"- !!python/object:os.x y")  # fmt: skip
COLUMNS = ImportedColumns(
    star_id="star", filter="band", mjd="mjd", mag="mag", mag_e="mag_e", ccd="ccd", qid="qid", ra="ra", dec="dec"
)


def spoilt(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with bytes flipped, cut off, taken out, or replaced by what a person or a program may write there."""
    changed, at = bytearray(content), int(rng.integers(0, len(content)))
    match str(rng.choice(["bytes", "cut", "lost", "text", "twice", "page"], p=[0.3, 0.15, 0.15, 0.3, 0.05, 0.05])):
        case "bytes":
            for place in rng.integers(0, len(content), int(rng.integers(1, 5))):
                changed[place] ^= int(rng.integers(1, 256))
        case "cut":
            del changed[at:]
        case "lost":
            del changed[at : at + int(rng.integers(1, 40))]
        case "text":
            text = ODD_TEXTS[rng.integers(len(ODD_TEXTS))]
            changed[at : at + int(rng.integers(0, 12))] = text
        case "twice":
            changed[at:at] = changed[at : at + 200]
        case _:
            return b"<html><body>We are down for maintenance.</body></html>"
    return bytes(changed)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng, n = np.random.default_rng(3), 60
    return pa.table({
        "star": rng.integers(0, 9, n), "band": rng.choice(["zg", "zr"], n), "mjd": rng.uniform(58_000, 59_000, n),
        "mag": rng.normal(17, 1, n), "mag_e": np.full(n, 0.01), "ccd": rng.integers(1, 17, n),
        "qid": rng.integers(1, 5, n),
        "ra": rng.uniform(0, 1, n), "dec": rng.uniform(0, 1, n), "filefracday": np.full(n, 20190405123456),
    })  # fmt: skip


def write_astropy(**how):
    return lambda rows, path: Table({name: rows[name].to_pylist() for name in rows.column_names}).write(path, **how)


WRITERS = {
    "parquet": pq.write_table,
    "csv": pacsv.write_csv,
    "fits": write_astropy(format="fits"),
    "ecsv": write_astropy(format="ascii.ecsv"),
    "vot": write_astropy(format="votable"),
}


def read_table_of_measurements(path: Path) -> None:
    file = ImportedFile.open(path, COLUMNS)
    for part in file.parts():
        assert len(filters(part)) == part.num_rows
        assert all(len(floats(part, name)) == part.num_rows for name in part.column_names)


def read_table_of_stars(path: Path) -> None:
    file = StarFile(path)
    for part in file.batches(list(columns_of(file, {}).values())):
        assert part.num_rows >= 0


def assert_refused_in_words(error: Exception, path: Path) -> None:
    assert str(path) in str(error) or path.name in str(error)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_table_is_read_or_refused_with_its_name(rows, tmp_path, suffix):
    whole, path, rng, n_refused = (
        tmp_path / f"whole.{suffix}",
        tmp_path / f"table.{suffix}",
        np.random.default_rng(4),
        0,
    )
    WRITERS[suffix](rows, whole)
    content = whole.read_bytes()
    readers = (read_table_of_measurements, read_table_of_stars, ExposureList.read)
    for read in readers:
        read(whole)
    for number in range(count(0.02)):
        path.write_bytes(spoilt(content, rng))
        try:
            readers[number % len(readers)](path)
        except BadData as error:
            assert_refused_in_words(error, path)
            n_refused += 1
    assert n_refused


TARGETS = """
[[target]]
name = "sn"
ra = 149.5
dec = 2.25
bands = ["zg", "zr"]
shines = [2019-04-05, 2019-08-01]
"""
VERDICTS = """
[[verdict]]
kind = "bias"
period = "20190405"
part = "c03"
quality = "good"
reason = "looked at it"
"""
SETTINGS = {"targets": (TARGETS, read_targets), "verdicts": (VERDICTS, lambda path: rulings(path.read_text()))}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_file_of_settings_is_read_or_refused(tmp_path, kind):
    text, read = SETTINGS[kind]
    path, rng, n_refused = tmp_path / f"{kind}.toml", np.random.default_rng(5), 0
    for change in (lambda _: text.encode(), *[lambda whole: spoilt(whole, rng)] * count(0.02)):
        path.write_bytes(change(text.encode()))
        try:
            read(path)
        except ValueError:  # what a mistyped setting raises, and is shown as one line
            n_refused += 1
    assert n_refused


@pytest.mark.parametrize("entries", ["verdict = 7", 'verdict = ["x"]', "[verdict]\nkind = 1"])
def test_verdicts_that_are_no_tables_are_refused(entries):
    with pytest.raises(ValueError, match="expected"):
        rulings(entries)


@pytest.mark.parametrize("entries", ["target = 7", 'target = ["x"]', TARGETS.replace("149.5", "9" * 400)])
def test_targets_that_are_no_places_are_refused(tmp_path, entries):
    path = tmp_path / "targets.toml"
    path.write_text(entries)
    with pytest.raises(ValueError, match=r"targets\.toml"):
        read_targets(path)


def test_an_image_of_another_camera_is_read_or_refused_with_its_name(tmp_path):
    header = fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 32.5, "CRPIX2": 32.5,
        "CD1_1": -2.8e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 2.8e-4, "GAIN": 1.5, "MJD-OBS": 58_500.0, "FILTER": "r",
    })  # fmt: skip
    pixels = np.random.default_rng(6).normal(200, 5, (64, 64)).astype(np.float32)
    whole, path, rng, n_refused = tmp_path / "whole.fits", tmp_path / "image.fits", np.random.default_rng(7), 0
    fits.HDUList([fits.PrimaryHDU(pixels, header), fits.ImageHDU(np.zeros((64, 64), np.int16), name="MASK")]).writeto(
        whole
    )
    facts = image_facts(whole)
    for _ in range(count(0.05)):
        text, key = mutated(whole.read_bytes(), rng, n_hdu=2)
        path.write_bytes(text)
        try:
            about = image_facts(path)
            image, _ = read_image(path, None)
        except BadData as error:
            assert_refused_in_words(error, path)
            n_refused += 1
            continue
        assert image.data.shape == image.mask.shape == image.variance.shape
        if key and key not in {"FILTER", "NAXIS1", "NAXIS2"} and about["wcs"]:
            assert (about["ra"], about["dec"]) == pytest.approx((facts["ra"], facts["dec"]), abs=1e-9)
    assert n_refused


def test_a_reference_catalogue_gives_stars_of_the_partition_or_is_refused(tmp_path):
    (order, pixel), *_ = write_reference(Sky(), tmp_path / "whole", [(30.0, 20.0, 0.05)])
    known, rng, n_refused = tmp_path / "spoilt", np.random.default_rng(8), 0
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    for number in range(count(0.05)):
        shutil.rmtree(known, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", known)
        path = known / files[number % len(files)]
        path.write_bytes(spoilt(path.read_bytes(), rng))
        try:
            catalogue = ReferenceCatalogue.open(str(known))
            about = catalogue.fetch(order, pixel, tmp_path / "stars.parquet")
        except BadData as error:
            assert_refused_in_words(error, known)
            n_refused += 1
            continue
        assert pq.read_table(tmp_path / "stars.parquet").num_rows == about["stars"]
    assert n_refused
