"""How two processes share the tests, and the orchestrator: Prefect's real engine and a server of its own."""

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

import hypothesis
import pytest

# A machine that does other work beside is no failure of a property.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

OF_THE_NIGHT = {
    f"tests/flows/test_{name}.py"
    for name in (
        "bad_input",
        "bucket",
        "cache",
        "faults",
        "kill",
        "linearity",
        "look_back",
        "nightly",
        "nothing",
        "parameters",
        "weather",
        "mutations",
        "doctor",
        "other_masters",
        "tree",
    )
}
"""Files that look at the reduced night: by one process, so that it is made once."""
WAITING = ("tests/flows/cli/test_serve.py", "tests/tasks/test_cluster.py", "tests/test_readme.py")
"""Files that wait for schedules and servers more than they compute: first, while others compute."""
LONG = ("scene", "fit", "flows", "truth")
"""Folders: next, so that all processes end together; none of the first two compiles what the night does meanwhile."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Marks of groups would say it too, but this xdist loses them with pytest 9.2."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "the night" if file in OF_THE_NIGHT else file

    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        file, folder = item.nodeid.partition("::")[0], item.path.parent.name
        return file not in OF_THE_NIGHT, file not in WAITING, LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:  # processes that share the tests would not agree on them
        raise pytest.UsageError(f"name this test's parameters, its name has an address in memory: {unstable[0]}")


@pytest.fixture(scope="session")
def orchestrator(tmp_path_factory):
    """Prefect with a temporary server and database; what this machine keeps for its processes is the tests' own."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("ZTF_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        yield
