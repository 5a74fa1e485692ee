"""What a flow shows when it has ended: its summary, each reason once, where its pictures are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from os.path import commonpath

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from tasks.runtime.outcome import Outcome, SetAside
from ztf_in2p3.figures.page import MOST_ASIDE, markdown_table, plain
from ztf_in2p3.products import Kind
from ztf_in2p3.store import Store

NAMED = 3
"""Inputs that a line of the log names where many were skipped for one reason."""

_logged: ContextVar[set[object] | None] = ContextVar("logged", default=None)


@contextmanager
def each_line_once() -> Iterator[None]:
    """Log reasons and places once within, also those that several flows come across: each calls the next."""
    if _logged.get() is not None:
        yield
        return
    token = _logged.set(set())
    try:
        yield
    finally:
        _logged.reset(token)


def is_new(line: object) -> bool:
    """Whether this has not been logged yet; from now on it has."""
    logged = _logged.get()
    if logged is None:
        return True
    if line in logged:
        return False
    logged.add(line)
    return True


def show(name: str, subject: str, outcome: Outcome, store: Store | None, *, counted: bool = False) -> None:
    """Leave a summary in the log and among the orchestrator's artifacts, and say where the pictures are."""
    for line in skipped_lines([aside for aside in outcome.set_aside if is_new(aside)]):
        get_run_logger().warning("%s", line)
    if store is not None:
        for line in picture_lines(outcome, store):
            if is_new(line):
                get_run_logger().info("%s", line)
    title = f"{name} {subject}".strip()
    key = f"{name.replace('_', '-')}-summary"
    show_markdown(key, summary_page(title, outcome, counted=counted), f"{title}: {outcome}")


def show_markdown(key: str, text: str, description: str) -> None:
    """Leave a page among the orchestrator's artifacts; those of one key form a history."""
    create_markdown_artifact(text, key=key, description=description)


def skipped_lines(skipped: Sequence[SetAside]) -> list[str]:
    """One line a reason, with some of the inputs that were skipped for it."""
    alike: dict[str, list[SetAside]] = defaultdict(list)
    for aside in skipped:
        alike[aside.kind].append(aside)
    return [
        f"skipped {shortened([aside.what for aside in of_kind])}: {of_kind[0].reason}" for of_kind in alike.values()
    ]


def shortened(names: Sequence[str]) -> str:
    """The first names of a long list, and how many more there are."""
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more for the like reason, of which the first"


def picture_lines(outcome: Outcome, store: Store) -> list[str]:
    """Address of each page, and the folder of the pictures."""
    pages = [f"page, {built.ref.label}: {store.uri(built.ref)}" for built in outcome.of(Kind.REPORT)]
    pictures = sorted({store.uri(built.ref) for built in outcome.of(Kind.FIGURE)})
    if not pictures:
        return pages
    if len(pictures) == 1:
        return [*pages, f"picture: {pictures[0]}"]
    scheme, _, _ = pictures[0].partition("://")
    paths = [uri.partition("://")[2] for uri in pictures]
    return [*pages, f"{len(pictures)} pictures below {scheme}://{commonpath(paths)}"]


def summary_page(title: str, outcome: Outcome, *, counted: bool = False) -> str:
    """Markdown of what was made, and of what was skipped with its reason; nothing in it can break the page."""
    counts = [(str(row["product"]), str(row["made"]), str(row["cached"])) for row in outcome.table()]
    parts = [f"# {plain(title)}", plain(str(outcome)), markdown_table(["product", "made", "cached"], counts)]
    if counted:
        lost = outcome.completeness
        lines = [share for share in (lost.all, *lost.ccds, *lost.filters) if share.n_missing]
        parts += [f"Without what was asked for: {plain('; '.join(map(str, lines)))}"] if lines else []
    if outcome.set_aside:
        rows = [(aside.what, aside.reason) for aside in outcome.set_aside[:MOST_ASIDE]]
        parts += ["## Set aside", markdown_table(["input", "reason"], rows)]
        hidden = len(outcome.set_aside) - len(rows)
        parts += [f"and {hidden} more."] if hidden else []
    return "\n\n".join(parts) + "\n"
