"""How tasks of this pipeline run: what is retried, what is shown, where it is computed."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, overload

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import task_run
from prefect.states import Completed, Failed, State
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import quote

from tasks.runtime import settings
from tasks.runtime.engine import compute
from tasks.runtime.outcome import Outcome, as_outcome, total
from ztf_in2p3.errors import BadData, MissingProduct, TransientError
from ztf_in2p3.products import Built, ProductRef
from ztf_in2p3.store import Store

P = ParamSpec("P")
R = TypeVar("R")

RETRY: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=settings.retry_seconds()),
    "retry_jitter_factor": 0.5,
}
"""Pauses double, with jitter, so that many tasks do not come back to a busy server at once."""


LONGEST_PAUSE = 120.0
"""Seconds.  Who asks for a longer one is left alone for the rest of this run."""


PARSER_RACE = "AST constructor recursion depth mismatch"
"""Rare message of CPython 3.11 before 3.11.8 (python/cpython#106905); NumPy parses when astropy writes."""


FINISHED = re.compile(r"Finished in state (Incomplete|Failed)\('?([^:]*)", re.DOTALL)
"""Pattern of the orchestrator's own line for a task; what follows the first colon is why."""


def shorten(record: logging.LogRecord) -> bool:
    """Log a task that is not complete as a warning, without its reasons: the flow says each of them once."""
    match = FINISHED.match(record.getMessage())
    if match and match[1] == "Incomplete":
        record.msg, record.args = f"Incomplete: {match[2]}", ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    elif match:
        record.msg, record.args = f"Failed: {match[2].rstrip(chr(39) + ')')}", ()
    return True


logging.getLogger("prefect.task_runs").addFilter(shorten)


async def is_transient(task: Task[..., Any], run: object, state: State) -> bool:
    """Try again what another attempt can cure, and nothing else, nor sooner than the other side asked for."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, TransientError) and (error.retry_after or 0.0) <= LONGEST_PAUSE


POLICY: dict[str, Any] = {
    "cache_policy": NO_CACHE, "persist_result": False, "retry_condition_fn": is_transient, **RETRY,
}  # fmt: skip
"""What all tasks have in common: the store is the only cache."""


def run_name() -> str:
    """The label of a product, ``bias c03 20190401_20190430``, or what is done to an exposure."""
    subject = next(iter(task_run.parameters.values()))
    return label_of(subject) if isinstance(subject, ProductRef) else f"{task_run.task_name} {label_of(subject)}"


def label_of(subject: object) -> str:
    """Name of the product that a task makes, or of the data that it works on, for people."""
    return getattr(subject, "label", None) or str(subject)


@overload
def product_task(make: Callable[P, Built | Outcome]) -> Task[P, Any]: ...
@overload
def product_task(make: None = None, *, in_worker: bool = True) -> Callable[[Callable[P, Any]], Task[P, Any]]: ...
def product_task(make: Callable[..., Any] | None = None, *, in_worker: bool = True) -> Any:
    """A Prefect task that returns products, made now or found in the store.

    The store is the only cache: it compares the fingerprint asked for with the one in the
    manifest, and the bytes with what the manifest says.  A second record of what exists, kept
    by the orchestrator, would still say "done" after a file was deleted or overwritten.
    Prefect only shows which of the two happened.

    Parameters
    ----------
    make
        Its first parameter names the run: the product made, or an exposure.  Arguments and result are
        pickled on the way to a worker process: references, never pixels.
    in_worker
        Computed by the running engine's processes, if there are any; False for what waits
        for the network.
    """
    if make is None:
        return functools.partial(product_task, in_worker=in_worker)

    @functools.wraps(make)
    def run(*args: Any, **kwargs: Any) -> State:
        try:
            product = compute(make, *args, **kwargs) if in_worker else make(*args, **kwargs)
        except (BadData, MissingProduct) as error:  # no traceback: nothing is wrong with the code
            return Failed(message=f"{type(error).__name__}: {error}", data=error)
        except SystemError as error:
            if PARSER_RACE not in str(error):
                raise
            raise TransientError(f"two threads parsed at once, which confuses Python before 3.11.8: {error}") from error
        return _state_of(product)

    decorated = task(name=make.__name__.replace("_", " "), task_run_name=run_name, **POLICY)(run)
    vars(decorated)["computes"] = make  # what `call_by_path` and `computed_by` find
    return decorated


def computed_by(decorated: Task[P, Any]) -> Callable[P, Any]:
    """The function that a product task was decorated from."""
    return vars(decorated)["computes"]


def query_task(ask: Callable[P, R]) -> Task[P, R]:
    """A Prefect task that only asks: never cached, since the answer may be another tomorrow."""
    return task(name=getattr(ask, "__name__", "query").replace("_", " "), **POLICY)(ask)


def _state_of(product: Built | Outcome) -> State:
    """What the orchestrator shows of a task that came to its end."""
    outcome = as_outcome("the task", product)
    if outcome.set_aside:
        reasons = "; ".join(f"{aside.what}: {aside.reason}" for aside in outcome.set_aside)
        return Completed(name="Incomplete", message=f"{outcome}: {reasons}", data=product)
    if outcome.built and not outcome.n_made:
        return Completed(name="Cached", message=str(outcome), data=product)
    return Completed(message=str(outcome), data=product)


@dataclass(frozen=True, slots=True)
class Launched:
    """A product task under way."""

    label: str
    future: PrefectFuture


def launch(make: Task[P, Any], *args: P.args, **kwargs: P.kwargs) -> Launched:
    """Start a product task; its first argument names the run.

    Its arguments are quoted: the orchestrator would look through every one of the thousands of
    references for futures, which took longer than finding the products.
    """
    quoted = {name: quote(value) for name, value in kwargs.items()}
    subject, *others = args
    submit: Callable[..., PrefectFuture[Any]] = make.submit
    return Launched(label_of(subject), submit(subject, *map(quote, others), **quoted))


def tell_where(outcome: Outcome, store: Store) -> None:
    """Log where what a person wants to look at is."""
    for built in outcome.built:
        get_run_logger().info("%s: %s", built.ref.label, store.uri(built.ref))


def collect(launched: Iterable[Launched]) -> Outcome:
    """Wait for tasks; what failed for a foreseen reason is set aside, anything else is raised."""
    under_way = list(launched)  # all of them, before the first is waited for
    results = [(task_run.label, task_run.future.result(raise_on_failure=False)) for task_run in under_way]
    return total(as_outcome(label, result) for label, result in results)
