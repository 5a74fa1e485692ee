from __future__ import annotations

from pathlib import Path

import pytest

from tests.lib.doctor.altered import PLAN, Altered
from ztf_in2p3.simulate.survey import simulate_night


@pytest.fixture(scope="session")
def doctors_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only for the tests."""
    tree = tmp_path_factory.mktemp("doctor")
    simulate_night(PLAN, tree)
    return tree


@pytest.fixture
def night(doctors_tree: Path, tmp_path: Path) -> Altered:
    return Altered.of(doctors_tree, tmp_path / "night")
