"""One small night, simulated once and reduced once; tests work on copies of what was made of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tasks.runtime import settings
from tests.flows.night import NIGHT, PLAN, Calls, Reduced, Survey
from ztf_in2p3.archive import Patience, Timeouts, open_archive
from ztf_in2p3.simulate.server import IrsaLookalike
from ztf_in2p3.simulate.survey import simulate_night


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Read-only for the tests."""
    tree = tmp_path_factory.mktemp("survey")
    simulate_night(PLAN, tree)
    return Survey(tree)


@pytest.fixture(autouse=True)
def engine(orchestrator: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test here runs flows: with nobody's account, and with an archive client that does not wait."""
    for name in ("IRSA_USER", "IRSA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    hasty = {"timeouts": Timeouts(connect=5, read=0.5), "patience": Patience(first_wait=0)}
    monkeypatch.setattr(settings, "open_archive", partial(open_archive, **hasty))


@pytest.fixture(scope="session")
def reduced(survey: Survey, orchestrator: None, tmp_path_factory: pytest.TempPathFactory) -> Reduced:
    """The night as `nightly` made it from the archive over HTTP.  Read-only for the tests."""
    from flows.nightly import nightly

    store = tmp_path_factory.mktemp("reduced") / "store"
    with IrsaLookalike(survey.tree) as archive:
        state = nightly(
            NIGHT, str(store), archive=archive.url, truth=str(survey.tree), **survey.stars, **survey.scope,
            return_state=True,
        )  # fmt: skip
    return Reduced(store, state)


@pytest.fixture
def store(reduced: Reduced, tmp_path: Path) -> Path:
    """A copy of the reduced night, to be damaged."""
    return shutil.copytree(reduced.store, tmp_path / "store")


@pytest.fixture
def served(survey: Survey) -> Iterator[IrsaLookalike]:
    """An archive whose tables are plain: a test chooses what it gets wrong."""
    with IrsaLookalike(survey.tree, quirks=None) as archive:
        yield archive


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Counts what computes or fetches from here on."""
    return Calls(monkeypatch)
