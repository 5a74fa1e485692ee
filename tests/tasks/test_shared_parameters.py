"""A flow's own signature, and what operators see of it: the shared parameters are written down once."""

from __future__ import annotations

import inspect
from datetime import date
from inspect import Parameter
from typing import Unpack

import pytest

from tasks.runtime.form import DEFAULTS, OfExposures, OfFilters, Shared, expanded
from tasks.runtime.parameters import NightScope, Scope, contracted
from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import Mistyped
from ztf_in2p3.periods import Period
from ztf_in2p3.store import Store


def over_tables(scope: Scope, store: Store, table: str, *, recipe: int = 1, **shared: Unpack[OfFilters]): ...


def over_exposures(scope: Scope, store: Store, **shared: Unpack[OfExposures]): ...


def over_a_night(scope: NightScope, store: Store, *, truth: str | None = None, **shared: Unpack[Shared]): ...


def of_its_own(folder: str = "here", *, workers: int | None = 0): ...


def signature_of(function, **defaults):
    return expanded(inspect.signature(function, eval_str=True), defaults)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (over_tables, "period store table camera ccds filters recipe workers max_set_aside"),
        (over_exposures, "period store camera ccds fields exposures workers max_set_aside"),
        (over_a_night, "night store camera ccds filters fields exposures truth workers max_set_aside"),
        (of_its_own, "folder workers"),
    ],
)
def test_nights_and_store_come_first_and_the_running_last(function, names):
    parameters = signature_of(function).parameters
    assert list(parameters) == names.split()
    positional = [name for name, of in parameters.items() if of.kind is Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == names.split()[: len(positional)]


def test_types_and_defaults_are_those_written_down_unless_a_flow_has_others():
    parameters = signature_of(over_tables, max_set_aside=0.0).parameters
    assert parameters["ccds"].annotation == list[int] | None
    assert parameters["max_set_aside"].annotation is float
    assert (parameters["camera"].default, parameters["max_set_aside"].default) == ("ztf", 0.0)
    assert parameters["period"].default is Parameter.empty
    assert set(Shared.__annotations__) == set(DEFAULTS)


def test_a_flow_gets_its_scope_and_what_was_typed(tmp_path):
    typed = {"night": "2019-04-05", "store": str(tmp_path), "camera": "tiny", "ccds": [3], "max_set_aside": 0.1}
    arguments = contracted(over_a_night, typed)
    scope = arguments["scope"]
    assert isinstance(scope, NightScope)
    assert (scope.period, scope.camera, tuple(scope.ccdids)) == (Period.of(date(2019, 4, 5)), TINY, (3,))
    assert (arguments["store"].camera, arguments["max_set_aside"]) == (TINY, 0.1)
    inspect.signature(over_a_night).bind(**arguments)


def test_a_period_is_no_night(tmp_path):
    typed = {"night": "20190405_20190406", "store": str(tmp_path), "camera": "tiny"}
    with pytest.raises(Mistyped, match=r"night: .* is a period of several"):
        contracted(over_a_night, typed)
