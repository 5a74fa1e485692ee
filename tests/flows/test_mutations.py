"""Whatever is wrong with cards, bytes and rows of a night's files, the flow ends; the other products are the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.nightly import nightly
from tasks.runtime.outcome import Outcome
from tasks.runtime.product_flow import TooMuchSetAside, VerdictFailed
from tests.flows.night import NIGHT, PLAN, Reduced, Survey, digests, opened
from tests.lib.archive.test_mutations import Spoilt
from tests.lib.detrend.test_mutations import STAND_IN
from tests.lib.mutations import count, mutated
from ztf_in2p3.archive import ArchiveFile
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.products import Kind, ProductRef
from ztf_in2p3.simulate.files import mask_path, raw_path, science_path
from ztf_in2p3.simulate.server import IrsaLookalike
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table

SKY, CALIBRATION = "sky", "calibration"
OF_A_RUN = {SKY: 12, CALIBRATION: 4}
"""Files mutated in one run: of its frames of the sky, or of those of its calibrations."""
PAIRS = max(1, count(0.02) // sum(OF_A_RUN.values()))
RUNS = [(number, (SKY, CALIBRATION)[number % 2]) for number in range(2 * PAIRS)]
CCDID = 6
"""CCD of which frames are mutated."""
ARCHIVED = (Kind.RAW, Kind.HEADER, Kind.MASK)


MADE_AGAIN = {
    SKY: (Kind.CATALOGUE,),
    CALIBRATION: (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.FOCAL_PLANE, Kind.BAD_PIXELS, Kind.CATALOGUE),
}
"""Products that are made in the same steps as those of the mutated files; what else there is of the night is kept."""


def files_of(what: str) -> dict[str, ArchiveFile]:
    """The files that may be mutated, by where they are in the archive."""
    frames = PLAN.objects if what == SKY else (*PLAN.biases, *PLAN.flats)
    ccds = [CcdExposure(frame.exposure, CCDID) for frame in frames]
    found = {raw_path(ccd): ArchiveFile(Kind.RAW, ccd) for ccd in ccds}
    for ccd, qid in [(ccd, qid) for ccd in ccds for qid in (1, 2, 3, 4) if what == SKY]:
        found[science_path(ccd, qid)] = ArchiveFile(Kind.HEADER, ccd, qid)
        found[mask_path(ccd, qid)] = ArchiveFile(Kind.MASK, ccd, qid)
    return found


def spoil(tree: Path, what: str, rng: np.random.Generator) -> dict[ArchiveFile, str]:
    """Mutate some files of a tree of links; the keyword of each, or "" where bytes were changed."""
    candidates = files_of(what)
    keys = {}
    for path in rng.choice(sorted(candidates), OF_A_RUN[what], replace=False):
        content = (tree / path).read_bytes()
        text, key = mutated(content, rng)
        (tree / path).unlink()  # the link: the file is the survey's own
        (tree / path).write_bytes(text)
        keys[candidates[path]] = key
    return keys


def descendants(store: Store, origins: Collection[ProductRef]) -> set[str]:
    """Addresses of the products that were made of others, directly or not."""
    inputs = {
        built.ref: {used.ref for used in store.manifest(built.ref).inputs}
        for kind in Kind
        for built in store.list(kind)
    }
    found, fresh = set[ProductRef](), set(origins)
    while fresh:
        found |= fresh
        fresh = {ref for ref, used in inputs.items() if used & fresh} - found
    return {ref.address for ref in found}


def stars(store: Store) -> Mapping[tuple[int, int, int], Mapping[str, float]]:
    """Measurements of a night by exposure, readout channel and star."""
    tables = []
    for built in store.list(Kind.CATALOGUE):
        with store.open(built) as path:
            tables.append(read_table(path, ["exposure", "rcid", "star_id", "x", "y", "f_2", "f_2_e", "f_2_f"]))
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    return {(row["exposure"], row["rcid"], row["star_id"]): row for row in rows}


def may_mislead(key: str) -> bool:
    """Whether nobody could tell that a mutation altered what a file says.

    A byte may be a digit of a card, a distortion's term that is not there is zero, and an unknown gain is the camera's.
    """
    return key in STAND_IN or not key or key.startswith("PV")


def scales(measured: Mapping, usual: Mapping) -> dict[int, float]:
    """Flux of bright stars over the usual one, by exposure: the focal plane has the level of its good CCDs."""
    ratios: dict[int, list[float]] = {}
    for star, row in measured.items():
        if star in usual and usual[star]["f_2"] > 50 * usual[star]["f_2_e"]:
            ratios.setdefault(star[0], []).append(row["f_2"] / usual[star]["f_2"])
    return {exposure: float(np.median(of_exposure)) for exposure, of_exposure in ratios.items()}


def expected_change(row: Mapping[str, float], usual: Mapping[str, float]) -> float:
    """Standard deviation of what fewer frames in the masters change of a flux, according to the stated errors.

    A mean over some of the frames differs from that over all by the difference of their variances, and both are in
    the errors of the flux.  Masters are medians: one frame differs from the median of three by 0.78 of its variance,
    not by 0.55, hence 1.5 times.  A twentieth of the error stands for the noise of the detector, which fewer frames
    tell less well; the levels of flats are known to 2e-4 each here, from 15,000 pixels of a tiny CCD.
    """
    more = max(row["f_2_e"] ** 2 - usual["f_2_e"] ** 2, 0.0)
    return float(np.sqrt(1.5 * more + (0.05 * usual["f_2_e"]) ** 2 + (5e-4 * usual["f_2"]) ** 2))


def ended(state) -> Outcome:
    """What a flow run left; it is complete, or failed because of the share set aside or the report's verdict."""
    if state.is_completed():
        return state.result()
    error = state.result(raise_on_failure=False)
    assert isinstance(error, TooMuchSetAside | VerdictFailed), repr(error)
    return error.outcome if isinstance(error, VerdictFailed) else Outcome()


@pytest.mark.parametrize(("number", "what"), RUNS)
def test_a_night_of_which_some_files_are_spoilt_is_otherwise_the_same(
    survey: Survey, reduced: Reduced, store: Path, tmp_path: Path, number: int, what: str
):
    tree, products = shutil.copytree(survey.tree, tmp_path / "tree", copy_function=os.link), opened(store)
    for built in [built for kind in (*ARCHIVED, *MADE_AGAIN[what]) for built in products.list(kind)]:
        products.remove(built.ref)
    keys = spoil(tree, what, np.random.default_rng([number, 2019]))
    quirks = Spoilt(number=[number]) if what == CALIBRATION else None  # a lost row of a flat reaches every catalogue
    with IrsaLookalike(tree, quirks=quirks) as archive:
        state = nightly(
            NIGHT, str(store), archive=archive.url, truth=str(survey.tree), **survey.stars,
            **survey.scope, max_set_aside=1.0, return_state=True,
        )  # fmt: skip
    outcome = ended(state)

    # Each file is here as it was sent, or its name is among what was skipped.
    before = opened(reduced.store)
    here, usual = ({built.ref for kind in ARCHIVED for built in place.list(kind)} for place in (products, before))
    reasons = " ".join(f"{entry.what} {entry.reason}" for entry in outcome.set_aside)
    absent = usual - here
    unnamed = {ref for ref in absent if ref.file_name.split("_")[1] not in reasons and ref.data_id[:14] not in reasons}
    # A spoilt row, of which each of four answers has one, may list another file instead, or a header and a mask.
    assert len(unnamed) <= (2 * 4 if quirks else 0), (unnamed, reasons)

    # What does not follow from those files is the same, byte by byte.
    touched = {file.ref for file in keys} | absent
    follows = descendants(before, touched)
    found, expected = digests(store), digests(reduced.store)
    # Pictures show the masters that the night's exposures are detrended with: none of a CCD that lost all of them.
    pictured = not {file.ref for file in files_of(SKY).values() if file.kind is Kind.RAW} <= absent
    same = {address for address in expected if address not in follows and (pictured or address[:7] != "figure/")}
    assert {address for address in same if found.get(address) != expected[address]} == set()
    assert what == CALIBRATION or {"bias", "flat", "apcat"} <= {address.split("/")[0] for address in same}

    # And what was measured all the same is what would have been measured.
    odd = {(int(file.ccd.exposure.filefracday), file.ccd.ccdid) for file, key in keys.items() if may_mislead(key)}
    usual_stars = stars(before)
    wrong = []
    measured = stars(products)
    scale = scales(measured, usual_stars) if what == CALIBRATION else {}
    for star, row in measured.items():
        known = usual_stars.get(star)
        if known is None or row["f_2_f"] != known["f_2_f"] or (star[0], star[1] // 4 + 1) in odd:
            continue
        flux = row["f_2"] / scale.get(star[0], 1.0)
        if not abs(flux - known["f_2"]) <= 5 * expected_change(row, known) or abs(row["x"] - known["x"]) > 0.01:
            wrong.append((star, flux, known["f_2"], known["f_2_e"]))
    assert len(wrong) <= 0.01 * len(usual_stars), (wrong[:5], {str(file): key for file, key in keys.items()})
    assert products.verify() == []
