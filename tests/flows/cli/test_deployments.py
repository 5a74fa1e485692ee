"""Every deployment can be loaded as the worker will load it, and its parameters fit its flow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.schema_tools.validation import validate

from flows.cli.commands import FLOWS
from ztf_in2p3.recipes.limits import UNBOUNDED

ROOT = Path(__file__).parents[3]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def name_of(deployment: dict) -> str:
    return deployment["entrypoint"].rpartition(".")[2]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Where a worker starts."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=name_of)
def test_a_deployment_loads_and_its_parameters_fit(deployment):
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert flow.name == name_of(deployment)
    parameters = deployment.get("parameters", {})
    schema = flow.parameters.model_dump()
    assert set(parameters) <= set(schema["properties"])
    needed = set(schema.get("required", ())) - set(parameters)
    assert needed <= {"period", "night", "table"}  # what only the operator knows
    flow.validate_parameters(parameters | dict.fromkeys(needed, "20190405"))


def forms(deployment: dict) -> list[tuple[str, dict]]:
    """Every field of a deployment's form, those of its recipes too, by its path."""
    schema = load_flow_from_entrypoint(deployment["entrypoint"]).parameters.model_dump()
    fields = list(schema["properties"].items())
    for name, recipe in schema["definitions"].items():
        fields += [(f"{name}.{field}", form) for field, form in recipe["properties"].items()]
    return fields


def branches(form: dict) -> list[dict]:
    """Types that a field may have; of lists, those of their members."""
    types = form.get("anyOf", [form])
    members = [items for branch in types for items in [branch.get("items"), *branch.get("prefixItems", [])] if items]
    return [branch for branch in types if branch.get("type") != "array"] + [
        branch for items in members for branch in branches(items)
    ]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=name_of)
def test_the_form_explains_and_bounds_every_field(deployment):
    fields = forms(deployment)
    assert [path for path, form in fields if not form.get("description")] == []
    free = {
        path
        for path, form in fields
        for branch in branches(form)
        if branch.get("type") in ("integer", "number") and not {"minimum", "exclusiveMinimum"} & set(branch)
    }
    assert {path for path in free if path.rpartition(".")[2] not in UNBOUNDED} == set()
    words = {path: branch.get("enum") for path, form in fields for branch in branches(form) if "enum" in branch}
    assert words.get("camera") in (None, ["ztf", "tiny"])
    assert words.get("filters") in (None, ["zg", "zr", "zi"])
    assert all(path in words for path, _ in fields if path in ("camera", "filters", "SensorRecipe.pocket"))


def test_the_server_refuses_what_the_form_does_not_allow():
    schema = load_flow_from_entrypoint("flows.catalogue.catalogue").parameters.model_dump()
    right = {"period": "20190405", "store": "store", "ccds": [3], "filters": None}
    assert validate(right, schema) == []
    for wrong in (
        {"ccds": [17]}, {"filters": ["r"]}, {"camera": "decam"}, {"max_set_aside": 2}, {"workers": -1},
        {"period": "2019"}, {"recipe": {"photometry": {"radii": [-1.0]}}},
        {"recipe": {"quadrant": {"choice": "newest"}}},
    ):  # fmt: skip
        assert validate(right | wrong, schema) != [], wrong


def test_every_flow_is_deployed_and_nightly_without_anybody_asking():
    assert {name_of(one) for one in DEPLOYMENTS} >= set(FLOWS) - {"real"}
    scheduled = {name_of(one): one["schedules"] for one in DEPLOYMENTS if one.get("schedules")}
    assert list(scheduled) == ["nightly"]
    (schedule,) = scheduled["nightly"]
    assert schedule["active"]
    hour = int(schedule["cron"].split()[1])
    assert (schedule["timezone"], hour >= 14) == ("UTC", True)  # or `last_night` would be the one before
