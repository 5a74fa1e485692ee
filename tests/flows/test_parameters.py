"""What an operator types wrong is named, with what would have been right, before anything is made."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime

import pytest
from prefect.exceptions import ParameterTypeError

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.nightly import nightly
from flows.science import science
from tasks.inputs.selection import frames
from tasks.runtime import parameters
from tasks.runtime.parameters import last_night, scope_of
from tasks.runtime.product_flow import NothingFound
from tests.flows.night import NIGHT, Calls, digests, opened
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.identifiers import SKY_FILTERS, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, ccd_of, exposure_of
from ztf_in2p3.recipes import CatalogueRecipe, recipe_from


def test_what_is_right_is_understood():
    scope = scope_of("20190405", "tiny", [3, 6], ["zr"])
    assert (scope.period, scope.camera) == (Period.of(date(2019, 4, 5)), TINY)
    assert (tuple(scope.ccdids), tuple(scope.filters)) == ((3, 6), (Filter.ZR,))
    whole = scope_of("20190401_20190430", "ztf", None, None)
    assert (whole.period.last, whole.camera) == (date(2019, 4, 30), ZTF)
    assert (tuple(whole.ccdids), tuple(whole.filters)) == (tuple(range(1, 17)), tuple(SKY_FILTERS))


WRONG = [
    ({"ccds": [3, 17]}, r"ccds: \[17\]; CCDs are numbered 1 to 16"),
    ({"ccds": []}, "ccds: none given"),
    ({"filters": ["zr", "r"]}, r"filters: \['r'\]; known: zg, zr, zi"),
    ({"filters": ["bi"]}, r"filters: \['bi'\]"),
    ({"filters": []}, "filters: none given"),
    ({"camera": "decam"}, "decam.*(ztf|tiny)"),
    ({"period": "2019"}, "'2019' is no period.*YYYYMMDD_YYYYMMDD"),
    ({"period": "20190430_20190401"}, "ends 2019-04-01, before it starts 2019-04-30"),
    ({"workers": -1}, "workers.*-1"),
]


UNKNOWN = [
    ({"fields": []}, "fields: none given"),
    ({"exposures": "no such list"}, "exposures: no such list cannot be read"),
]


@pytest.mark.parametrize(("changed", "message"), UNKNOWN)
def test_a_choice_of_exposures_that_is_none_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        scope_of("20190405", "tiny", None, None, **changed)


def test_flows_that_choose_exposures_take_fields_and_a_list():
    """The shared parameters, in one order, the flow's own between the choice of exposures and how it runs."""
    first = [
        "period",
        "store",
        "camera",
        "ccds",
        "filters",
        "fields",
        "exposures",
        "recipe",
        "with_psf",
        "workers",
        "max_set_aside",
    ]
    assert list(inspect.signature(catalogue.fn).parameters) == first
    assert not {"fields", "exposures"} & set(inspect.signature(calibrate.fn).parameters)


def test_only_the_exposures_wanted_are_measured(store, survey, tmp_path):
    raws = frames(opened(store), Kind.RAW, Period.parse(NIGHT))
    name = exposure_of(raws[0].ref).filefracday
    (tmp_path / "list.csv").write_text(f"filefracday,ccdid\n{name},3\n20190405999999,\n")
    how = survey.scope | {"max_set_aside": 0.5}
    outcome = catalogue(NIGHT, str(store), exposures=str(tmp_path / "list.csv"), **how)
    assert [str(ccd_of(one.ref)) for one in outcome.built] == [str(ccd_of(raws[0].ref))]
    assert [one.what for one in outcome.set_aside] == ["exposure 20190405999999"]


@pytest.mark.parametrize(("changed", "message"), WRONG)
def test_what_is_wrong_is_named_with_what_would_be_right(survey, tmp_path, changed, message):
    asked = {"period": NIGHT, "store": str(tmp_path), **survey.scope} | changed
    with pytest.raises(ValueError, match=message):
        calibrate(**asked)


@pytest.mark.parametrize("night", ["20190405_20190407", "yesterday"])
def test_a_night_is_one_night(survey, tmp_path, night):
    with pytest.raises(ValueError, match=night):
        nightly(night, str(tmp_path), archive=str(survey.tree), **survey.stars, **survey.scope)
    assert digests(tmp_path) == {}


MISTYPED = [
    ({"photometry": {"radius": [3.0]}}, "PhotometryRecipe has no radius; it has radii"),
    ({"quadrat": {}}, "CatalogueRecipe has no quadrat; it has quadrant"),
    ({"photometry": {"isolation_arcsec": "wide"}}, "isolation_arcsec = 'wide': expected a value like 20.0"),
    ("release.toml", "CatalogueRecipe"),
]


@pytest.mark.parametrize(("recipe", "message"), MISTYPED)
def test_a_recipe_with_a_typing_error_is_refused(survey, tmp_path, recipe, message):
    with pytest.raises(ParameterTypeError, match=message):
        catalogue(NIGHT, str(tmp_path), **survey.scope, recipe=recipe)


def test_a_recipe_may_be_a_mapping_as_a_form_sends_it(store, survey, calls: Calls):
    """The form sends the defaults too, tuples as lists."""
    written = {"photometry": {"radii": [3, 6.0], "version": 1}, "quadrant": {"tolerance_days": 10}, "version": 1}
    outcome = catalogue(NIGHT, str(store), **survey.scope, recipe=written)
    made = {one.ref.recipe for one in outcome.built}
    assert calls.so_far()["detrend_ccd"] == 4
    again = catalogue(NIGHT, str(store), **survey.scope, recipe=recipe_from(CatalogueRecipe, written))
    assert (calls.so_far(), {one.ref.recipe for one in again.built}) == ({}, made)


def test_no_reference_in_a_form_means_detected_sources(survey, tmp_path):
    empty = {"archive": str(survey.tree), **survey.scope, "recipe": {"reference": None}}
    with pytest.raises(NothingFound, match="20190406"):
        science("20190406", str(tmp_path), **empty)


def test_the_last_night_is_the_last_one_that_is_over(monkeypatch):
    for now, night in [
        (datetime(2019, 4, 6, 13, 59, tzinfo=UTC), "20190405"),  # still observing at Palomar
        (datetime(2019, 4, 6, 14, 1, tzinfo=UTC), "20190406"),
        (datetime(2020, 1, 1, 3, 0, tzinfo=UTC), "20191231"),
    ]:
        monkeypatch.setattr(parameters, "now", lambda now=now: now)
        assert last_night() == night
