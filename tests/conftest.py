"""The orchestrator for flow tests: Prefect's real engine and a server of its own, started once."""

from __future__ import annotations

import os

# Read by Prefect when it is first imported.
os.environ.update(
    DO_NOT_TRACK="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_LOGGING_TO_API_ENABLED="false",
    PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE="100",
    PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE="200",
    ZTF_RETRY_SECONDS="0",
)

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What two processes share between them: whole files, the long ones first, so that both end together.

    Files that look at the reduced night stay together, so that it is made once.  Meanwhile the other process fits: that
    needs other compiled functions, so that none is compiled by both.
    """
    of_the_night = {item.path for item in items if "reduced" in getattr(item, "fixturenames", ())}
    for item in items:
        file = f"{item.path.parent.name}/{item.path.stem}"
        item.add_marker(pytest.mark.xdist_group("night" if item.path in of_the_night else file))
    long = ("scene", "fit", "flows", "truth")
    rank = {name: place for place, name in enumerate(long)}
    items.sort(key=lambda item: (item.path not in of_the_night, rank.get(item.path.parent.name, len(long))))


@pytest.fixture(scope="session")
def orchestrator():
    """Prefect with a temporary server and database."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield
