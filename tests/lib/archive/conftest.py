from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lib.archive.tiny_tree import SECRET, write_tree
from ztf_in2p3.archive import Irsa, Patience, Timeouts
from ztf_in2p3.simulate.server import IrsaLookalike

USER, PASSWORD = "astronomer@example.org", "s&cret/pass wörd%41"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only for the tests."""
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def served(tree: Path) -> Iterator[IrsaLookalike]:
    """The tree behind HTTP, with one user and one exposure only users see."""
    with IrsaLookalike(tree, private=[f"*{SECRET.parts[0]}*"], users={USER: PASSWORD}) as server:
        yield server


@pytest.fixture
def naps() -> list[float]:
    """Seconds the client wanted to wait, in turn; nobody really waits."""
    return []


@pytest.fixture
def connect(served: IrsaLookalike, naps: list[float]) -> Callable[..., Irsa]:
    """A client of the look-alike, which knows no difference but the address."""

    def client(credentials=None, **options) -> Irsa:
        defaults = {"timeouts": Timeouts(connect=5, read=0.4), "patience": Patience(first_wait=1), "sleep": naps.append}
        return Irsa(served.url, credentials, **(defaults | options))

    return client
