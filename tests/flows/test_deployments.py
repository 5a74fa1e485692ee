"""Every deployment can be loaded as the worker will load it, and its parameters fit its flow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from flows.cli.commands import FLOWS

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def name_of(deployment: dict) -> str:
    return deployment["entrypoint"].rpartition(":")[2]


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


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=name_of)
def test_the_form_explains_every_parameter(deployment):
    schema = load_flow_from_entrypoint(deployment["entrypoint"]).parameters.model_dump()
    assert [name for name, about in schema["properties"].items() if not about.get("description")] == []


def test_a_form_knows_the_numbers_of_a_recipe():
    schema = load_flow_from_entrypoint("flows/catalogue.py:catalogue").parameters.model_dump()
    assert "isolation_arcsec" in schema["definitions"]["PhotometryRecipe"]["properties"]


def test_every_flow_is_deployed_and_nightly_without_anybody_asking():
    assert {name_of(one) for one in DEPLOYMENTS} >= set(FLOWS) - {"real"}
    scheduled = {name_of(one): one["schedules"] for one in DEPLOYMENTS if one.get("schedules")}
    assert list(scheduled) == ["nightly"]
    (schedule,) = scheduled["nightly"]
    assert schedule["active"]
    hour = int(schedule["cron"].split()[1])
    assert (schedule["timezone"], hour >= 14) == ("UTC", True)  # or `last_night` would be the one before
