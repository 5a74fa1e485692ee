"""Commands as processes: each finds or starts its own server, so the tests' is not wanted here."""

import pytest


@pytest.fixture(autouse=True)
def engine() -> None:
    """Instead of the one that flows called in the tests' process need."""
