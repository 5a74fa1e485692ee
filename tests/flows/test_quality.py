"""A master unlike the good one before it is kept, shown and not chosen, until an operator says otherwise."""

from __future__ import annotations

from datetime import date

import pyarrow.compute as pc
import pytest
from astropy.io import fits

from flows.calibrate import calibrate
from flows.detector import detector
from flows.detrend import detrend
from flows.download import download
from tasks.inputs.calibrations import Calibrations
from tests.flows.night import artifacts, opened
from ztf_in2p3.identifiers import CcdExposure, Filter, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, calibrations_ref, period_of
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.simulate import chain
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.store.parquet import read_table

RECIPE = CatalogueRecipe().quadrant
BEFORE, AFTER = "20190405", "20190406"
SCOPE = {"camera": "tiny", "ccds": [3], "filters": ["zr"], "workers": 0}
NIGHTS = {
    night: tiny_night(date.fromisoformat(night), seed, ccdids=(3,), filters=(Filter.ZR,), n_bias=3, n_led=1, n_flat=2,
                      n_object=1, n_field=1)
    for night, seed in ((BEFORE, 1), (AFTER, 2))
}  # fmt: skip
"""Another seed is another detector."""
SAID = """
[[verdict]]
kind = "{kind}"
period = "{night}"
quality = "{quality}"
reason = "seen by a person"
"""


@pytest.fixture(scope="module")
def calibrated(orchestrator, tmp_path_factory):
    """Store, and how `calibrate` ended on the two nights."""
    store = tmp_path_factory.mktemp("quality") / "store"
    states = {}
    for night, plan in NIGHTS.items():
        tree = tmp_path_factory.mktemp(night)
        simulate_night(plan, tree)
        download(night, str(store), archive=str(tree), reference=str(tree / "reference"), **SCOPE)
        states[night] = calibrate(night, str(store), **SCOPE, max_set_aside=1.0, return_state=True)
    return store, states


def bias_for(store, night, recipe=RECIPE) -> str:
    """Night of the bias chosen."""
    exposure = NIGHTS[night].objects[0].exposure
    return f"{period_of(Calibrations(opened(store), recipe).of(CcdExposure(exposure, 3)).bias.built.ref).first:%Y%m%d}"


@pytest.fixture
def say(tmp_path, monkeypatch):
    def write(*words: str) -> None:
        (tmp_path / "verdicts.toml").write_text("".join(words))
        monkeypatch.setenv("ZTF_DEPLOYMENTS", str(tmp_path))

    return write


def test_the_first_masters_are_good_and_those_of_another_detector_suspect(calibrated):
    _, states = calibrated
    assert states[BEFORE].result().set_aside == ()
    aside = {one.what: one.reason for one in states[AFTER].result().set_aside}
    assert set(aside) == {f"bias c03 {AFTER}_{AFTER}", f"flat c03 zr {AFTER}_{AFTER}"}
    assert all("suspect:" in why and "moved by more than 6 sigma" in why for why in aside.values())
    shown = artifacts(states[AFTER])["calibrate-summary"].data
    assert "bias c03" in shown
    assert "moved by more than 6 sigma" in shown


def test_a_detector_page_that_says_fail_makes_its_flow_red(calibrated):
    store, _ = calibrated
    state = detector(AFTER, str(store), **SCOPE, return_state=True)
    assert state.is_failed()
    assert "VerdictFailed" in state.message
    assert "Suspect masters" in state.message
    (page,) = state.result(raise_on_failure=False).outcome.of(Kind.REPORT)
    assert opened(store).uri(page.ref) in state.message


def test_the_good_one_is_chosen_until_an_operator_decides(calibrated, say):
    store, _ = calibrated
    assert (bias_for(store, BEFORE), bias_for(store, AFTER)) == (BEFORE, BEFORE)
    say(*(SAID.format(kind=kind, night=AFTER, quality="good") for kind in ("bias", "flat")))
    assert (bias_for(store, BEFORE), bias_for(store, AFTER)) == (BEFORE, AFTER)
    assert calibrate(AFTER, str(store), **SCOPE).set_aside == ()
    say(
        SAID.format(kind="bias", night=BEFORE, quality="rejected"),
        SAID.format(kind="bias", night=AFTER, quality="good"),
    )
    assert bias_for(store, BEFORE) == AFTER


def test_the_list_tells_quality_reason_and_origin(calibrated):
    store, _ = calibrated
    kept = opened(store)
    calibrate(AFTER, str(store), **SCOPE, max_set_aside=1.0)  # an operator may have spoken since
    for night in NIGHTS:
        with kept.open(calibrations_ref(RECIPE.calibrations, Period.parse(night))) as path:
            table = read_table(path)
        assert sorted(table["kind"].to_pylist()) == ["badpixels", "bias", "flat", "focalplane", "ledflat"]
        (bias,) = table.filter(pc.equal(table["kind"], "bias")).to_pylist()
        assert (bias["part"], bias["ccd"], bias["filter"], bias["n_frames"]) == ("c03", 3, None, 3)
        assert bias["first"] == bias["last"] == date.fromisoformat(night)
        raws = [one for one in kept.list(Kind.RAW) if one.ref.data_id.startswith(night) and "_b/" in one.ref.data_id]
        assert sorted(bias["inputs"]) == sorted(one.sha256 for one in raws)
        assert kept.require(next(one.ref for one in kept.list(Kind.BIAS) if one.ref.address == bias["address"]))
    assert bias["quality"] == "suspect"
    assert BEFORE in bias["compared"]
    assert bias["moved"] > 0.1  # levels of two amplifiers: uniform over 35 ADU, and 6 sigma are 8 ADU


def test_the_images_say_what_detrended_them_and_count_their_bad_pixels(calibrated):
    store, _ = calibrated
    made = detrend(AFTER, str(store), **SCOPE)
    assert made.set_aside == ()
    kept, plan = opened(store), NIGHTS[BEFORE]
    for built in made.of(Kind.QUADRANT):
        with kept.open(built) as path:
            header = fits.getheader(path, "SCI")
            mask = fits.getdata(path, "MASK")
        assert (header["BIASQUAL"], header["FLATQUAL"], header["BIASDAYS"]) == ("good", "good", 1)
        assert header["BIASFILE"] == f"ztfin2p3_{BEFORE}_000000_bi_c03_bias.fits"
        assert header["BPIXFILE"] == f"ztfin2p3_{BEFORE}_000000_zr_c03_badpixels.fits"
        dead = chain.dead_pixels(plan, Quadrant(3, int(built.ref.data_id[-1])))
        assert ((mask[dead] & 0x200) > 0).all()  # the other night's own mask knows other ones
        assert header["NDEAD"] == ((mask & 0x200) > 0).sum()
        used = {one.ref.kind for one in kept.manifest(built.ref).inputs}
        assert {Kind.BIAS, Kind.FLAT, Kind.QUALITY, Kind.BAD_PIXELS} <= used
