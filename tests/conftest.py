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
