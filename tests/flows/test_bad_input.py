"""Files that are not what they should be: one typed error each, and the rest of the night goes on."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.detrend import detrend
from flows.download import download
from flows.nightly import nightly
from flows.report import report
from tasks.pages.report import in_store
from tasks.runtime.product_flow import TooMuchSetAside
from tests.flows.night import NIGHT, PLAN, Calls, digests, opened
from ztf_in2p3.identifiers import CcdExposure, Exposure
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, ccd_of, header_ref, mask_ref, raw_ref
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.simulate.files import mask_path, raw_path, science_path

BIAS, FLAT, SKY = ([frame.exposure for frame in some] for some in (PLAN.biases, PLAN.flats, PLAN.objects))


@pytest.fixture
def tree(survey, tmp_path: Path) -> Path:
    """A copy of the survey of which single files can be replaced."""
    return shutil.copytree(survey.tree, tmp_path / "tree", copy_function=os.link)


def replace_file(file: Path, content: bytes) -> None:
    file.unlink()  # the link, not the survey's own file
    file.write_bytes(content)


def rewrite(file: Path, change: Callable[[fits.HDUList], None]) -> None:
    """With something in it changed; compressed pixels stay as they are."""
    whole = file.read_bytes()
    file.unlink()
    with fits.open(io.BytesIO(whole), disable_image_compression=True) as hdus:
        change(hdus)
        hdus.writeto(file)


def ccd(exposure: Exposure, ccdid: int) -> CcdExposure:
    return CcdExposure(exposure, ccdid)


# --- in the archive's tree


def no_fits(tree: Path) -> str:
    file = tree / raw_path(ccd(BIAS[0], 3))
    replace_file(file, b"<html><body>Sorry</body></html>".ljust(2880))
    return file.name


def missing_hdu(tree: Path) -> str:
    file = tree / raw_path(ccd(BIAS[1], 3))
    rewrite(file, lambda hdus: hdus.pop(8))
    return file.name


def unknown_ccd(tree: Path) -> str:
    def change(hdus: fits.HDUList) -> None:
        for hdu in hdus[1:5]:
            hdu.header["CCD_ID"] = 99

    file = tree / raw_path(ccd(FLAT[0], 3))
    rewrite(file, change)
    return file.name


def cut_in_half(tree: Path) -> str:
    file = tree / raw_path(ccd(FLAT[1], 6))
    replace_file(file, file.read_bytes()[: file.stat().st_size // 2])
    return file.name


def image_for_a_mask(tree: Path) -> str:
    file = tree / mask_path(ccd(SKY[0], 6), 2)
    replace_file(file, (tree / science_path(ccd(SKY[0], 6), 2)).read_bytes())
    return file.name


AT_THE_DOOR = {
    no_fits: "starts with b'<html>",
    missing_hdu: "ends after 8 of its 9 HDUs",
    unknown_ccd: "CCD_ID = 99, but its name says 3",
    cut_in_half: "fetch it again",
    image_for_a_mask: "the pixels of a mask are integers",
}


def test_what_the_archive_has_wrong_does_not_come_in(tree, survey, tmp_path, calls):
    names = [damage(tree) for damage in AT_THE_DOOR]
    store, asked = str(tmp_path / "store"), {"archive": str(tree), **survey.stars, **survey.scope}

    outcome = nightly(NIGHT, store, **asked)

    assert len(outcome.set_aside) == len(names)
    for name, found in zip(names, AT_THE_DOOR.values(), strict=True):
        (reason,) = [one.reason for one in outcome.set_aside if name in one.reason]
        assert found in reason
        assert reason.split(":")[0] in ("BadData", "Damaged")
        assert any(remedy in reason for remedy in ("fetch it again", "set the file aside", "is this "))
    made = {row["product"]: row["made"] for row in outcome.table()}
    assert (made["bias"], made["flat"], made["apcat"], made["report"]) == (2, 2, 4, 2)
    _, page = outcome.of(Kind.REPORT)
    with opened(store).open(page) as path:
        assert all(name in path.read_text() for name in names)

    calls.so_far()
    nightly(NIGHT, store, **asked)
    assert calls.so_far() == {"fetch": len(names)}  # they may have been mended; the page is the same


# --- in the store: what no archive's check can know


def put(store: Path, ref, change: Callable[[fits.HDUList], None], **about: object) -> None:
    """Another file in the place of a product, with a manifest that vouches for it."""
    opened_store = opened(store)
    with opened_store.open(ref) as path:
        content = Path(path).read_bytes()
    noted = dict(opened_store.manifest(ref).about)
    opened_store.remove(ref)

    def make(spool: Path):
        spool.write_bytes(content)
        rewrite(spool, change)
        return noted | about

    opened_store.build(ref, None, [], make)


def shrink(hdus: fits.HDUList) -> None:
    """A mask of a few rows less."""
    hdus[0].data = np.ascontiguousarray(hdus[0].data[:-3])


def no_end_of_overscan(hdus: fits.HDUList) -> None:
    """An overscan of another camera."""
    hdus[5].header["ZNAXIS1"] -= 1


def test_a_frame_of_another_shape_costs_its_own_master_only(store, survey, calls):
    bad = raw_ref(ccd(BIAS[0], 3))
    put(store, bad, no_end_of_overscan)

    outcome = calibrate(NIGHT, str(store), **survey.scope, max_set_aside=0.5)

    (aside,) = outcome.set_aside
    assert aside.what == "bias c03 20190405_20190405"
    assert opened(store).uri(bad) in aside.reason  # where it lies, not where it was opened
    assert ".spool" not in aside.reason
    columns = PLAN.camera.overscan_columns
    assert f"HDU 5: card ZTILE1 is {columns}; expected a whole number, of 1 to {columns - 1}" in aside.reason
    assert [one.ref.label for one in outcome.of(Kind.BIAS)] == ["bias c06 20190405_20190405"]
    assert len(outcome.of(Kind.FLAT)) == 1
    assert "master_bias" in calls.so_far()


def test_a_frame_of_another_camera_is_refused(store, survey):
    for one in opened(store).list(Kind.BIAS):
        opened(store).remove(one.ref)
    with pytest.raises(TooMuchSetAside, match=r"HDU 1 has shape .*, expected \(3080, 3072\)"):
        calibrate(NIGHT, str(store), **survey.scope | {"camera": "ztf"})


def test_a_mask_of_another_shape_costs_its_quadrant(store, survey, reduced):
    at = ccd(SKY[0], 3)
    put(store, mask_ref(at, 2), shrink)

    outcome = catalogue(NIGHT, str(store), **survey.scope, max_set_aside=0.5)

    (aside,) = outcome.set_aside
    assert aside.what == f"{at}_q2"
    rows, columns = PLAN.camera.shape
    assert (
        f"{at}.fits.fz, quadrant 2: mask of shape ({rows - 3}, {columns}), expected ({rows}, {columns})" in aside.reason
    )
    assert "fetch it again" in aside.reason
    assert len(outcome.of(Kind.CATALOGUE)) == 4
    others = {name: d for name, d in digests(store, Kind.CATALOGUE).items() if str(SKY[0]) not in name}
    assert others.items() <= digests(reduced.store, Kind.CATALOGUE).items()


def blind(tree: Path, at: CcdExposure, qid: int) -> None:
    """As where the archive's astrometry failed."""

    def change(hdus: fits.HDUList) -> None:
        for key in ("CTYPE1", "CTYPE2"):
            del hdus[0].header[key]

    rewrite(tree / science_path(at, qid), change)


def test_an_image_without_astrometry_is_set_aside_and_its_neighbours_are_measured(tree, survey, tmp_path, calls):
    blind(tree, ccd(SKY[0], 3), 1)
    for qid in (1, 2, 3, 4):
        blind(tree, ccd(SKY[1], 3), qid)
    store, scope = str(tmp_path / "store"), survey.scope | {"ccds": [3]}
    assert download(NIGHT, store, archive=str(tree), **survey.stars, **scope).set_aside == ()  # headers as they are
    calibrate(NIGHT, store, **scope)
    calls.so_far()

    outcome = catalogue(NIGHT, store, **scope, max_set_aside=1)

    assert calls.so_far() == {"detrend_ccd": 1, "aperture_catalogue": 3}
    whats = [one.what for one in outcome.set_aside]
    headers = [header_ref(ccd(SKY[0], 3), 1), *(header_ref(ccd(SKY[1], 3), qid) for qid in (1, 2, 3, 4))]
    assert sorted(whats) == sorted([*(ref.file_name for ref in headers), str(ccd(SKY[1], 3))])
    assert all("no WCS" in one.reason or "with a WCS" in one.reason for one in outcome.set_aside)
    assert len(outcome.of(Kind.CATALOGUE)) == 1


@pytest.mark.parametrize("flow", [detrend, catalogue])
def test_a_night_without_calibrations_says_which_flow_makes_them(store, survey, flow, calls):
    products = opened(store)
    for kind in (Kind.BIAS, Kind.CATALOGUE):
        for one in products.list(kind):
            products.remove(one.ref)
    with pytest.raises(TooMuchSetAside, match=r"c03_o, bias: no calibration within 10 days .*none at all; run the cal"):
        flow(NIGHT, str(store), **survey.scope)
    assert calls.so_far() == {}


def test_a_night_without_stars_says_which_flow_brings_them(store, survey):
    for one in opened(store).list(Kind.REFERENCE):
        opened(store).remove(one.ref)
    with pytest.raises(TooMuchSetAside, match=r"no reference stars around it in the store; run the flow download"):
        catalogue(NIGHT, str(store), **survey.scope)


def test_a_report_names_the_catalogues_that_are_missing(store, survey):
    products = opened(store)
    catalogues = products.list(Kind.CATALOGUE)
    products.remove(catalogues[0].ref)
    jobs, there = in_store(products, Period.parse(NIGHT), CatalogueRecipe(), ccdids=[3, 6])
    assert (len(jobs), len(there.of(Kind.CATALOGUE))) == (4, 3)
    (aside,) = there.set_aside
    assert aside.what == str(ccd_of(catalogues[0].ref))
    assert "no catalogue of it in the store; run the flow catalogue" in aside.reason


def test_a_catalogue_damaged_in_secret_makes_no_half_report(store, survey, calls: Calls):
    """Its numbers cannot be had, so there is no page; the flow says why, and the next run mends it."""
    scope = survey.scope | {"truth": str(survey.tree)}
    report(NIGHT, str(store), **scope)  # takes the copy's own times for granted from now on
    products = opened(store)
    quadrants = next(one for one in products.list(Kind.SUMMARY) if one.ref.data_id.endswith("quadrants"))
    products.remove(quadrants.ref)
    path = store / products.list(Kind.CATALOGUE)[0].ref.path
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    outcome = report(NIGHT, str(store), **scope, max_set_aside=1)
    (aside,) = outcome.set_aside
    assert aside.what == "summary quadrants 20190405"
    assert "was damaged" in aside.reason
    assert outcome.of(Kind.REPORT, Kind.FIGURE) == []

    catalogue(NIGHT, str(store), **survey.scope)
    calls.so_far()
    assert len(report(NIGHT, str(store), **scope).of(Kind.REPORT)) == 1
    assert "quadrant_summary" in calls.so_far()


def test_a_figure_damaged_in_secret_is_drawn_again_by_the_next_run(store, survey, calls: Calls):
    scope = survey.scope | {"truth": str(survey.tree)}
    report(NIGHT, str(store), **scope)
    path = next(store / one.ref.path for one in opened(store).list(Kind.FIGURE) if "stars" in one.ref.data_id)
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    (aside,) = report(NIGHT, str(store), **scope).set_aside
    assert "was damaged" in aside.reason

    calls.so_far()
    assert report(NIGHT, str(store), **scope).set_aside == ()
    assert (calls.so_far(), path.read_bytes()) == ({"figure": 1}, content)
