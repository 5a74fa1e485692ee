"""How flows of this pipeline run: on which processes, what they show, when they fail."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Concatenate, ParamSpec, Protocol, overload

from prefect import Flow, flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BeforeValidator

from tasks.runtime.engine import running
from tasks.runtime.foreseen import hide_tracebacks
from tasks.runtime.form import OUTSIDE, documented, expanded, from_outside
from tasks.runtime.naming import run_name, subject_of, tag_run
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import NightScope, Scope, contracted
from tasks.runtime.presentation import NAMED, each_line_once, show, skipped_lines
from tasks.runtime.schema import explain
from tasks.runtime.settings import cluster, cores, store_at
from ztf_in2p3.errors import MissingProduct, Mistyped, PipelineError
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import recipe_from
from ztf_in2p3.store import Store

P = ParamSpec("P")

THREADS = 8
"""Tasks under way at once: enough to keep the workers busy and the archive's few connections used."""
CLUSTER_THREADS = 256
"""The same on a cluster, whose workers come and go."""


class TooMuchSetAside(PipelineError):
    """So many inputs could not be used that something else must be wrong."""


class NothingFound(TooMuchSetAside, MissingProduct):
    """A flow that has nothing to work on, or could use nothing of it."""


class VerdictFailed(PipelineError):
    """Everything ran, and the page says that the result is not good."""

    def __init__(self, message: str, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.outcome = Outcome() if outcome is None else outcome
        """What was made all the same, the page among it."""


class PeriodFlow(Protocol[P]):
    """A flow over nights, as it is called: its own parameters and those it shares."""

    name: str

    def __call__(self, period: str, store: str, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        """Run it."""
        ...


class NightFlow(Protocol[P]):
    """The same over one night."""

    name: str

    def __call__(self, night: str, store: str, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        """Run it."""
        ...


class ProductFlow(Protocol):
    """Decorator of a flow, whose arguments are those of the function, or come of the shared ones."""

    @overload
    def __call__(self, function: Callable[Concatenate[Scope, Store, P], Outcome]) -> PeriodFlow[P]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[NightScope, Store, P], Outcome]) -> NightFlow[P]: ...
    @overload
    def __call__(self, function: Callable[P, Outcome]) -> Flow[P, Outcome]: ...


def product_flow(
    name: str,
    *,
    needs: str = "",
    after: str = "",
    makes: Collection[Kind] = (),
    counted: bool = False,
    **defaults: Any,
) -> ProductFlow:
    """A Prefect flow that returns an `Outcome`, computes on worker processes, and says what it did.

    The decorated function takes a `Scope`, a `Store` and ``**shared: Unpack[Shared]``, which stand for the parameters
    that flows share (`tasks.runtime.form.Shared`; the function gets them parsed and as they were typed), or has the
    parameters ``workers`` (processes; 0: none; None: one a core) and ``max_set_aside`` (fraction of the inputs above
    which the flow fails) itself.  Where the operator names a cluster, its workers compute instead of processes.

    Parameters
    ----------
    needs
        What it works on, in words: without any product of it the flow fails, unless its outcome has a note that says
        why that is right.  Empty for a flow that may find nothing.
    after
        Flows to run first, which make that; the flow then reads a store that must exist, and never creates it.
    makes
        Kinds of products that are its purpose, where it makes or lists others on the way: of these there must be one.
    counted
        The CCD exposures it was asked for decide whether it fails, not all its inputs.
    defaults
        Values of shared parameters where this flow has others than most.
    """

    def decorate(function: Callable[..., Outcome]) -> Any:
        signature = expanded(inspect.signature(function, eval_str=True), defaults)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> State:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            workers = given["workers"]
            if workers is not None and workers < 0:
                raise Mistyped(f"workers: {workers}; a number of processes, 0 for none, nothing for one a core")
            if given.get("store") == "":
                raise Mistyped("store: not given; a folder or s3://bucket/prefix")
            arguments = contracted(function, given)  # before anything starts: it says what is mistyped
            began = time.monotonic()
            store = store_at(given["store"]) if "store" in given else None
            tag_run(given)
            try:
                if store is not None:
                    require_place(store, f"run the flow {after} first" if after and not from_outside(given) else "")
                with each_line_once(), running(cores() if workers is None else workers, cluster()) as engine:
                    if engine and engine.scheduler:
                        widen(CLUSTER_THREADS)
                    if engine and engine.warning:
                        get_run_logger().warning(engine.warning)
                    outcome = function(**arguments)
                    show(name, subject_of(given), outcome, store, counted=counted)
                peak = f", largest worker {engine.peak_bytes / 1e9:.1f} GB" if engine else ""
                get_run_logger().info("%s: %s in %.0f s%s", name, outcome, time.monotonic() - began, peak)
                tolerated = outcome.note or (outcome.set_aside and given["max_set_aside"] >= 1)
                if needs and not (outcome.of(*makes) if makes else outcome.built) and not tolerated:
                    raise nothing_found(needs, after, given, outcome)
                if outcome.failure:
                    raise VerdictFailed(outcome.failure, outcome)
                if counted:
                    fail_incomplete(given["max_set_aside"], outcome)
                if not counted or given.get("exposures"):  # some of the list may be known nowhere
                    fail_above(given["max_set_aside"], outcome)
            except PipelineError as error:  # no traceback: nothing is wrong with the code
                return Failed(message=f"{type(error).__name__}: {error}", data=error)
            return Completed(message=str(outcome), data=outcome)

        # The orchestrator reads the types of the parameters where `run` is defined: so it must find no mere names.
        types = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        if of_recipe := types.get("recipe"):
            types["recipe"] = Annotated[of_recipe, BeforeValidator(functools.partial(as_recipe, of_recipe))]
        run.__doc__ = documented(inspect.getdoc(function) or "", signature.parameters)
        vars(run)["__signature__"] = signature.replace(
            parameters=[
                parameter.replace(annotation=types[parameter.name]) for parameter in signature.parameters.values()
            ],
            return_annotation=State,
        )
        run.__annotations__ = types | {"return": State}
        hide_tracebacks()
        threads: Any = TaskThreads(max_workers=THREADS)
        prefect_flow = flow(name=name, flow_run_name=run_name, task_runner=threads, persist_result=False)(run)
        explain(prefect_flow.parameters, run.__doc__, of_recipe)
        return prefect_flow

    return decorate


class TaskThreads(ThreadPoolTaskRunner):
    """Threads for the tasks under way, how many being known only when the flow has begun."""

    def widen(self, count: int) -> None:
        """Before a task was submitted."""
        self.__exit__(None, None, None)
        self._max_workers = count
        self.__enter__()


def widen(count: int) -> None:
    """Let the running flow have so many tasks under way."""
    context = FlowRunContext.get()
    if context is not None and isinstance(context.task_runner, TaskThreads):
        context.task_runner.widen(count)


def as_recipe(kind: type, value: object) -> object:
    """A recipe as it is, or from the mapping that a form or a deployment gives.

    Raises
    ------
    ValueError
        A name that the recipe does not have (it would be ignored otherwise), or a value of another type.
    """
    if not isinstance(value, Mapping):
        return value
    try:
        return recipe_from(kind, value)
    except TypeError as error:
        raise ValueError(str(error)) from None


def require_place(store: Store, remedy: str = "") -> None:
    """Refuse a store that is not there, where the flow reads it (`remedy`: what would make it), or cannot be made.

    Raises
    ------
    MissingProduct
        A folder or bucket is lacking.
    """
    lacking = store.files.absence() if remedy else store.files.obstacle()
    if lacking:
        raise MissingProduct(
            f"no store at {store.files.uri('')}: {lacking}; is the address mistyped? else {remedy or 'make it'}"
        )


def nothing_found(needs: str, after: str, given: Mapping[str, Any], outcome: Outcome) -> NothingFound:
    """The error of a flow that made nothing: what was looked for, where, and which flow comes first."""
    where = [f"{name} {given[name]}" for name in ("store", *OUTSIDE) if given.get(name)]
    which = [subject_of(given)]
    which += [f"{name} {' '.join(map(str, given[name]))}" for name in ("ccds", "filters") if given.get(name)]
    which += [f"camera {given['camera']}"] if given.get("camera") else []
    remedy = f"; run the flow {after} first" if after else "; look at the address and at what lies there"
    reasons = "; ".join(skipped_lines(outcome.set_aside)[:NAMED])
    unusable = f"; none of {len(outcome.set_aside)} inputs could be used: {reasons}" if reasons else ""
    return NothingFound(
        f"nothing for {', '.join(filter(None, which))} in {', '.join(where)}: {needs} were looked for{remedy}{unusable}"
    )


def fail_incomplete(fraction: float, outcome: Outcome) -> None:
    """Fail where more than a fraction of the CCD exposures asked for lacks its result, in all, of a CCD, of a filter.

    A hundred good files do not make up for a lost CCD.
    """
    lacking = outcome.completeness.exceeding(fraction)
    if lacking:
        raise TooMuchSetAside(
            f"CCD exposures without result, {'; '.join(map(str, lacking))}: more than the fraction {fraction} that is "
            f"tolerated{first_reason(outcome)}"
        )


def fail_above(fraction: float, outcome: Outcome) -> None:
    """Fail where more than a fraction of the inputs was set aside."""
    n_aside, n_all = len(outcome.set_aside), len(outcome.built) + len(outcome.set_aside)
    if n_aside > fraction * n_all:
        raise TooMuchSetAside(
            f"{n_aside} of {n_all} inputs were set aside, more than the fraction {fraction} that is tolerated"
            f"{first_reason(outcome)}"
        )


def first_reason(outcome: Outcome) -> str:
    """The end of a message about many inputs; empty if there is no reason to give."""
    return "".join(f"; the first: {aside.what}: {aside.reason}" for aside in outcome.set_aside[:1])
