"""Which nights a nightly run has to do, and how its steps end."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any, ParamSpec, Protocol

from prefect.logging import get_run_logger

from tasks.archive import expected_of, find_frames, outdated
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.parameters import Scope
from tasks.runtime.product_flow import VerdictFailed
from ztf_in2p3.archive import Archive
from ztf_in2p3.archive.files import ArchiveFiles
from ztf_in2p3.errors import Mistyped, PipelineError, TransientError
from ztf_in2p3.figures.page import FAIL
from ztf_in2p3.periods import Period
from ztf_in2p3.products import NO_RECIPE, Kind, report_ref
from ztf_in2p3.recipes import CatalogueRecipe, ReportRecipe
from ztf_in2p3.simulate.truth import truth_digest
from ztf_in2p3.store import Store

P = ParamSpec("P")

LOOK_BACK = 3
"""Nights before the last one that a scheduled run looks at again: a long week-end without power or network."""

CLOSED = "the archive has no exposures of the sky of this night: the telescope did not open, or they are not there yet"


def nights_before(night: date, count: int | None, default: int) -> list[date]:
    """The nights before one, the oldest first: each master is compared with the good one before it."""
    chosen = default if count is None else count
    if chosen < 0:
        raise Mistyped(f"look_back: {chosen}; a number of nights before the last one, 0 for none")
    return [night - timedelta(days=back) for back in range(chosen, 0, -1)]


def nights_to_do(
    nights: Collection[date],
    archive: Archive,
    store: Store,
    scope: Scope,
    recipe: CatalogueRecipe,
    truth: str | None = None,
) -> list[date]:
    """Earlier nights that are not done as the archive has them now, each logged with the reason.

    A question to the archive and a listing of the store for each night, and nothing more where all is done.
    """
    unfinished = []
    for night in nights:
        wanted = scope.selected(find_frames(archive, Period.of(night), scope.filters, scope.ccdids))
        reason = to_do(night, wanted, store, ReportRecipe(recipe, truth_digest(truth)))
        get_run_logger().info("looking back at %s: %s", f"{night:%Y%m%d}", reason or "nothing to do")
        if reason:
            unfinished.append(night)
    return unfinished


def to_do(night: date, wanted: ArchiveFiles, store: Store, recipe: ReportRecipe) -> str:
    """Why a night has to be reduced (again); empty if there is no reason.

    Parameters
    ----------
    wanted
        Files of the night that the archive has.
    recipe
        Recipe of the night's report.
    """
    files = [file for files in wanted.values() for file in files]
    stored = {
        built.ref: built
        for kind in {file.ref.kind for file in files}
        for built in store.list(kind, NO_RECIPE, prefix=f"{night:%Y%m%d}")
    }
    new, changed = sum(file.ref not in stored for file in files), len(outdated(wanted, stored))
    page = store.find(report_ref(recipe, night))
    if new or changed:
        return f"of the archive's {len(files)} files {new} are not in the store, {changed} have changed"
    if page is None:
        return "it has no report" if expected_of(wanted) else ""
    return "its report says FAIL" if page.about.get("verdict") == FAIL else ""


class Step(Protocol[P]):
    """A flow as a step of another."""

    name: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        """Run it."""
        ...


def step(flow: Step[P], *args: P.args, **kwargs: P.kwargs) -> Outcome:
    """Run a flow as a step of another, which goes on where it fails for a reason of the data.

    Raises
    ------
    TransientError
        The store or the archive does not answer: the next step would not get further.
    """
    run: Any = flow  # by `return_state` the orchestrator gives the state instead
    result = run(*args, **kwargs, return_state=True).result(raise_on_failure=False)
    if isinstance(result, VerdictFailed):
        return Outcome(result.outcome.built, [*result.outcome.set_aside, SetAside.because(flow.name, result)])
    if isinstance(result, PipelineError) and not isinstance(result, TransientError):
        return Outcome(set_aside=[SetAside.because(flow.name, result)])
    if isinstance(result, BaseException):
        raise result
    return result


def without_inputs(outcome: Outcome, flow: Step[...]) -> Outcome:
    """Products of a step, and why it failed if it did; not the inputs it skipped, which an earlier step has named."""
    return Outcome(outcome.built, [aside for aside in outcome.set_aside if aside.what == flow.name])


def require_page(drawn: Outcome) -> Outcome:
    """What to add to a night whose report could not be drawn: without its verdict it is not good."""
    if drawn.of(Kind.REPORT):
        return Outcome()
    return Outcome(failure="the night has no report; the reason is among what was set aside")
