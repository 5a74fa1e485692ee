"""What is made again, proved by counting the calls that compute and by looking at which files were written.

The states that the orchestrator shows prove nothing here: they are what is to be believed at the end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.download import download
from flows.nightly import nightly
from tests.flows.night import CCDS, COUNTS, NIGHT, PLAN, Survey, Watched, digests, kinds, opened, products
from tests.flows.night import Calls as Counted
from ztf_in2p3.products import Kind, raw_ref
from ztf_in2p3.recipes import CatalogueRecipe, DetectorRecipe, PhotometryRecipe, digest, recipe_from
from ztf_in2p3.simulate.server import IrsaLookalike

N_EXPOSURE, N_QID = 2, 4


def again(store: Path, survey: Survey) -> None:
    """The night once more, from an archive with the odd rows that it had the first time."""
    with IrsaLookalike(survey.tree) as archive:
        outcome = nightly(
            NIGHT, str(store), archive=archive.url, truth=str(survey.tree), **survey.stars, **survey.scope
        )
    assert [skipped for skipped in outcome.set_aside if "rows" not in skipped.what] == []


def reduce(store: Path, survey: Survey, **how: object) -> None:
    for step in (calibrate, catalogue):
        assert step(NIGHT, str(store), **survey.scope, **how).set_aside == ()


def test_a_rerun_computes_nothing(store, survey, calls):
    watched = Watched(store)
    again(store, survey)
    assert calls.so_far() == {}
    assert watched.written() == set()


# --- damage


def delete(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def flip_a_byte_in_secret(file: Path) -> None:
    """The size and the time of the file stay."""
    before = file.stat()
    flip_a_byte(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete_the_manifest(file: Path) -> None:
    (file.parent / "manifest.json").unlink()


def truncate_the_manifest(file: Path) -> None:
    truncate(file.parent / "manifest.json")


ONE_OF_ITS_KIND = {
    "raw": {"fetch over HTTP": 1},
    "header": {"fetch over HTTP": 1},
    "mask": {"fetch over HTTP": 1},
    "reference": {"fetch stars": 1},
    "bias": {"master_bias": 1},
    "ledflat": {"led_flat": 1},
    "flat": {"combine_leds": 1},
    "focalplane": {"focal_plane": 1},
    "quality": {"compare": 1},
    "badpixels": {"bad_pixel_masks": 1},
    "calibrations": {"calibrations": 1},
    "apcat": {"detrend_ccd": 1, "aperture_catalogue": N_QID},
    "summary": {"quadrant_summary": len(CCDS) * N_EXPOSURE},
    "figure": {"figure": 1},
    "report": {"render_html": 1},
}
"""Calls that make one product anew; of several of a kind the first one by address, but for the detector's page."""

OF_DETECTOR = digest(DetectorRecipe())
"""In the addresses of that page, its tables and pictures."""

ROUNDS: list[dict[str, Callable[[Path], None]]] = [
    {"raw": flip_a_byte, "header": truncate, "mask": delete, "reference": flip_a_byte, "bias": delete},
    {"bias": truncate, "ledflat": delete_the_manifest, "flat": truncate_the_manifest, "apcat": flip_a_byte},
    {"bias": flip_a_byte, "focalplane": delete, "quality": flip_a_byte, "badpixels": truncate, "calibrations": delete},
    {"bias": delete_the_manifest, "apcat": delete_the_manifest, "summary": truncate, "figure": delete},
    {"report": truncate, "apcat": delete},
]
"""Damage to one product of each kind named; several at once, since a night costs seconds."""


def test_damage_of_every_kind_is_tried():
    tried = {kind for damages in ROUNDS for kind in damages}
    assert tried == set(COUNTS) | {"reference"} == set(ONE_OF_ITS_KIND)


@pytest.mark.parametrize("damages", ROUNDS, ids=" ".join)
def test_damaged_products_are_made_again_and_nothing_else(
    store: Path, survey: Survey, calls: Counted, damages: dict[str, Callable[[Path], None]]
):
    whole, expected = products(store), digests(store)
    damaged, remaking = set(), Counter()
    for kind, damage in damages.items():
        address = min((OF_DETECTOR in address, address) for address in whole if address.startswith(f"{kind}/"))[1]
        damage(whole[address])
        damaged.add(address)
        remaking.update(ONE_OF_ITS_KIND[kind])
    watched = Watched(store)

    again(store, survey)

    assert calls.so_far() == dict(remaking)
    # A file that lost its manifest only was not being watched, and the same bytes are put in its place.
    assert watched.written() == damaged
    assert digests(store) == expected


def test_a_byte_flipped_in_secret_is_found_by_whoever_reads_it_and_the_next_run_cures_it(store, survey, calls):
    """Size and time tell nothing: a look-up believes them, so that it need not read terabytes; a reader does not."""
    again(store, survey)  # takes the copy's own times for granted from now on
    whole, expected = products(store), digests(store)
    bias = min(address for address in whole if address.startswith("bias/"))
    led_flat = min(address for address in whole if address.startswith("ledflat/"))
    flip_a_byte_in_secret(whole[bias])

    again(store, survey)
    assert calls.so_far() == {}  # nobody read it
    (problem,) = opened(store).verify()
    assert bias in problem

    delete(whole[led_flat])  # its maker will read the bias
    outcome = calibrate(NIGHT, str(store), **survey.scope, max_set_aside=1)
    reasons = {skipped.what: skipped.reason for skipped in outcome.set_aside}
    assert set(reasons) == {"ledflat c03 l07 zr 20190405_20190405", "calibrations 20190405_20190405"}
    led_reason, table_reason = (reasons[what] for what in sorted(reasons, reverse=True))
    assert "was damaged" in led_reason
    assert "run the flow that makes it again" in led_reason
    assert "bias c03 20190405_20190405 has no manifest" in table_reason  # it was taken out when it was read
    calls.so_far()

    again(store, survey)
    made = calls.so_far()
    assert made["master_bias"] == made["led_flat"] == 1
    assert {name: n for name, n in digests(store).items() if name in expected} == expected


# --- other numbers

ALL = {
    "master_bias": 2, "led_flat": 2, "combine_leds": 2, "focal_plane": 1, "bad_pixel_masks": 2, "calibrations": 1,
    "detrend_ccd": len(CCDS) * N_EXPOSURE, "aperture_catalogue": len(CCDS) * N_EXPOSURE * N_QID,
}  # fmt: skip
MASTERS = ("bias", "ledflat", "flat", "focalplane", "badpixels", "calibrations")
"""What the first steps make."""


@pytest.mark.parametrize(
    ("changed", "spared", "judged"),
    [
        ({"quadrant": {"focal_plane": {"flat": {"led": {"bias": {"clip": 4.0}}}}}}, 0, 4),
        ({"quadrant": {"focal_plane": {"flat": {"led": {"clip": 4.0}}}}}, 1, 2),
        ({"quadrant": {"bad_pixels": {"low": 0.6}}}, 4, 0),
        ({"quadrant": {"tolerance_days": 9}}, 5, 0),
        ({"photometry": {"isolation_arcsec": 15.0}}, 6, 0),
    ],
    ids=["bias", "LED flat", "bad pixels", "detrending", "photometry"],
)
def test_a_changed_number_makes_its_product_and_all_that_follow(store, survey, calls, changed, spared, judged):
    """`spared`: how many of the steps, in order, come before the number; `judged`: masters that are others now."""
    expected, watched = digests(store), Watched(store)
    reduce(store, survey, recipe=recipe_from(CatalogueRecipe, changed))

    verdicts = {"compare": judged} if judged else {}
    assert calls.so_far() == dict(list(ALL.items())[spared:]) | verdicts
    written = {kind: COUNTS[kind] for kind in (*MASTERS[spared:], "apcat")}
    assert kinds(watched.written()) == written | ({"quality": judged} if judged else {})
    assert {name: n for name, n in digests(store).items() if name in expected} == expected  # the old ones stay

    reduce(store, survey)
    assert calls.so_far() == {}


def test_a_recipe_that_only_looks_different_changes_nothing(store, survey, calls):
    reduce(store, survey, recipe=replace(CatalogueRecipe(), photometry=PhotometryRecipe()))
    reduce(store, survey, recipe={"photometry": {"isolation_arcsec": 20, "radii": list(range(3, 13))}})
    assert calls.so_far() == {}


# --- another input


def test_a_new_bias_frame_remakes_its_master_and_what_follows_from_it(store, survey, calls):
    expected = digests(store)
    late = next(ccd for ccd in PLAN.ccd_exposures if ccd.exposure == PLAN.biases[1].exposure and ccd.ccdid == 3)
    # As if the frame had never been there ...
    opened(store).remove(raw_ref(late))
    reduce(store, survey)
    # ... the masters of its CCD are others, and the other CCD's catalogues by the level of the focal plane.
    follow = {"master_bias": 1, "led_flat": 1, "combine_leds": 1, "focal_plane": 1, "compare": 2,
              "bad_pixel_masks": 1, "calibrations": 1,
              "detrend_ccd": ALL["detrend_ccd"], "aperture_catalogue": ALL["aperture_catalogue"]}  # fmt: skip
    assert calls.so_far() == follow
    without = digests(store, Kind.BIAS, Kind.FLAT, Kind.CATALOGUE)
    changed = {name for name, digest in without.items() if digest != expected[name]}
    assert kinds(changed) == {"bias": 1, "flat": 1, "apcat": COUNTS["apcat"]}
    assert all(name.endswith("c03") for name in changed if not name.startswith("apcat"))

    download(NIGHT, str(store), archive=str(survey.tree), **survey.stars, **survey.scope)
    assert calls.so_far() == {"fetch": 1}
    watched = Watched(store)
    reduce(store, survey)
    assert calls.so_far() == follow
    remade = {"bias": 1, "ledflat": 1, "flat": 1, "focalplane": 1, "quality": 2, "badpixels": 1, "calibrations": 1}
    assert kinds(watched.written()) == remade | {"apcat": COUNTS["apcat"]}
    assert digests(store) == expected
