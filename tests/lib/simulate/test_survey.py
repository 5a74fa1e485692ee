"""A simulated night is a tree in the archive's layout, whoever writes it and however often."""

import csv
from dataclasses import replace

import pytest
from astropy.io import fits

from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.flats import flat_levels
from ztf_in2p3.simulate.survey import ccd_files, simulate_ccd, simulate_night


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_planned_file_is_there_and_no_other(plan, tree):
    expected = {path for ccd in plan.ccd_exposures for path in ccd_files(plan, ccd)}
    tables = {"meta/raw.csv", "meta/sci.csv", "truth/plan.json"}
    reference = {name for name in contents(tree) if name.startswith("reference/")}
    assert set(contents(tree)) == expected | tables | reference
    assert len(expected) == 2 * (1 + 2 + 2) + 2 * 2 * 9
    ccd = CcdExposure.parse("ztf_20190405250000_000601_zr_c03_o")
    assert f"raw/2019/0405/250000/{ccd}.fits.fz" in expected
    assert f"sci/2019/0405/250000/{ccd}_q4_mskimg.fits" in expected


def test_a_night_by_processes_is_the_same_to_the_byte(plan, tree, tmp_path):
    few = replace(plan, ccdids=plan.ccdids[:1], objects=plan.objects[:1])
    simulate_night(few, tmp_path, workers=2)
    made, known = contents(tmp_path), contents(tree)
    for ccd in few.ccd_exposures:
        assert made[files.raw_path(ccd)] == known[files.raw_path(ccd)]


def test_one_exposure_made_again_alone_is_the_same_to_the_byte(plan, tree, tmp_path):
    ccd = CcdExposure(plan.objects[1].exposure, 6)
    assert simulate_ccd(plan, ccd, tmp_path, {Filter.ZR: flat_levels(plan, Filter.ZR)}) == 10
    known = contents(tree)
    for name, content in contents(tmp_path).items():
        assert content == known[name], name


def test_a_finished_night_is_left_alone_and_a_torn_one_completed(plan, tree):
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*.f*") if path.is_file()}
    seen = []
    assert simulate_night(plan, tree, progress=lambda done, of: seen.append((done, of))) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert seen == [(10, 10)]

    lost = [tree / files.science_path(CcdExposure(plan.objects[0].exposure, 3), 2)]
    lost.append(tree / files.raw_path(CcdExposure(plan.biases[0].exposure, 6)))
    content = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    assert simulate_night(plan, tree) == 2
    assert [path.read_bytes() for path in lost] == content


def test_another_night_does_not_mix_with_the_one_that_is_there(plan, tree):
    with pytest.raises(ValueError, match="another simulated night"):
        simulate_night(replace(plan, seed=1), tree)


def test_tables_name_the_files(plan, tree):
    with (tree / "meta/raw.csv").open() as file:
        raw = list(csv.DictReader(file))
    assert len(raw) == len(plan.ccd_exposures)
    for row in raw:
        day, code = row["filefracday"], row["imgtypecode"]
        name = f"ztf_{day}_{int(row['field']):06d}_{row['filtercode']}_c{int(row['ccdid']):02d}_{code}.fits.fz"
        assert (tree / "raw" / day[:4] / day[4:8] / day[8:] / name).exists()
    with (tree / "meta/sci.csv").open() as file:
        science = list(csv.DictReader(file))
    assert len(science) == 2 * 2 * 4
    for row in science:
        assert int(row["pid"]) == int(row["expid"]) * 10**4 + int(row["rcid"]) * 100 + 15
        assert row["infobits"] == "0"
        assert row["ipac_pub_date"] < "2026"
        day = row["filefracday"]
        name = f"ztf_{day}_{int(row['field']):06d}_zr_c{int(row['ccdid']):02d}_o_q{row['qid']}_sciimg.fits"
        header = fits.getheader(tree / "sci" / day[:4] / day[4:8] / day[8:] / name)
        assert header["CRVAL1"] == float(row["crval1"])
        assert header["CD2_1"] == float(row["cd21"])
        assert (header["CCDID"], header["QID"], header["RCID"]) == tuple(int(row[k]) for k in ("ccdid", "qid", "rcid"))
        assert header["OBSJD"] == pytest.approx(float(row["obsjd"]), abs=1e-7)
        assert float(row["seeing"]) == pytest.approx(header["SEEING"] * 1.012, abs=1e-5)
        # Corners surround the centre.
        decs = [float(row[f"dec{corner}"]) for corner in range(1, 5)]
        assert min(decs) < float(row["dec"]) < max(decs)


def test_science_headers_have_the_cards_of_the_archive(plan, tree):
    path = tree / files.science_path(CcdExposure(plan.objects[0].exposure, 3), 4)
    header = fits.getheader(path)
    for name in (
        *("CCDID", "QID", "RCID", "FIELDID", "OBSMJD", "OBSJD", "EXPTIME", "FILTER", "FILTERID", "SEEING", "GAIN"),
        *("READNOI", "SATURATE", "MAGZP", "INFOBITS", "AIRMASS", "RAD", "DECD", "CTYPE1", "CRVAL1", "CD1_1"),
        *("PV1_1", "PV2_10", "MAGLIM"),
    ):
        assert name in header, name
    assert header["CTYPE1"] == "RA---TPV"
    assert header["FILTERID"] == 2
    assert header["NAXIS2"] == plan.camera.shape[0]


def test_a_night_without_flats_has_science_images_all_the_same(plan, tmp_path):
    bare = replace(plan, ccdids=(3,), biases=(), flats=(), objects=plan.objects[:1])
    assert simulate_night(bare, tmp_path) == 10
