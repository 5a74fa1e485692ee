"""How flows of this pipeline run: on which processes, what they show, when they fail."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

from prefect import Flow, flow
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BeforeValidator

from tasks.runtime.engine import running
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import contracted, documented, expanded, meanings
from tasks.runtime.settings import cluster, cores
from ztf_in2p3.errors import PipelineError
from ztf_in2p3.recipes import recipe_from

THREADS = 8
"""Tasks under way at once: enough to keep the workers busy and the archive's few connections used."""
CLUSTER_THREADS = 256
"""The same on a cluster, whose workers come and go."""


class TooMuchSetAside(PipelineError):
    """So many inputs could not be used that something else must be wrong."""


def product_flow(
    name: str, *, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., Outcome]], Flow]:  # fmt: skip
    """A Prefect flow that returns an `Outcome`, computes on worker processes, and says what it did.

    The decorated function takes a `Scope` and a `Store`, which stand for the parameters that flows share
    (`tasks.runtime.parameters.SHARED`), or has the parameters ``workers`` (processes; 0: none; None: one a
    core) and ``max_set_aside`` (fraction of the inputs above which the flow fails) itself.  Where the operator names a
    cluster, its workers compute instead of processes.

    Parameters
    ----------
    without
        Shared parameters that this flow does not have.
    defaults
        Of shared parameters, where this flow has others.
    """

    def decorate(function: Callable[..., Outcome]) -> Flow:
        signature = expanded(inspect.signature(function, eval_str=True), without=without, defaults=defaults)

        @functools.wraps(function)
        def shown(*args: Any, **kwargs: Any) -> State:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            workers = given.arguments["workers"]
            if workers is not None and workers < 0:
                raise ValueError(f"workers: {workers}; a number of processes, 0 for none, nothing for one a core")
            arguments = contracted(function, given.arguments)  # before anything starts: it says what is mistyped
            began = time.monotonic()
            with running(cores() if workers is None else workers, cluster()) as engine:
                if engine and engine.scheduler:
                    widen(CLUSTER_THREADS)
                outcome = function(**arguments)
            peak = f", largest worker {engine.peak_bytes / 1e9:.1f} GB" if engine else ""
            get_run_logger().info("%s: %s in %.0f s%s", name, outcome, time.monotonic() - began, peak)
            show(name, outcome)
            fail_above(given.arguments["max_set_aside"], outcome)
            return Completed(message=str(outcome), data=outcome)

        # The orchestrator reads the types of the parameters where `shown` is defined: so it must find no mere names.
        types = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        if of_recipe := types.get("recipe"):
            types["recipe"] = Annotated[of_recipe, BeforeValidator(functools.partial(as_recipe, of_recipe))]
        shown.__doc__ = documented(inspect.getdoc(function) or "", signature.parameters)
        shown.__signature__ = signature.replace(
            parameters=[one.replace(annotation=types[one.name]) for one in signature.parameters.values()],
            return_annotation=State,
        )
        shown.__annotations__ = types | {"return": State}
        made = flow(shown, name=name, task_runner=TaskThreads(max_workers=THREADS), persist_result=False)
        for parameter, text in meanings(shown.__doc__).items():  # it reads docstrings of another style only
            made.parameters.properties[parameter]["description"] = text
        return made

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


def show(name: str, outcome: Outcome) -> None:
    """Leave a summary in the log and among the orchestrator's artifacts."""
    logger = get_run_logger()
    for one in outcome.set_aside:
        logger.warning("set aside %s: %s", one.what, one.reason)
    rows = [f"| {row['product']} | {row['made']} | {row['cached']} |" for row in outcome.table()]
    aside = [f"| {one.what} | {one.reason} |" for one in outcome.set_aside]
    text = ["# " + str(outcome), "", "| product | made | cached |", "|---|---|---|", *rows]
    if aside:
        text += ["", "## Set aside", "", "| input | reason |", "|---|---|", *aside]
    create_markdown_artifact("\n".join(text), key=f"{name}-summary", description=str(outcome))


def fail_above(fraction: float, outcome: Outcome) -> None:
    n_aside, n_all = len(outcome.set_aside), len(outcome.built) + len(outcome.set_aside)
    if n_aside > fraction * n_all:
        first = outcome.set_aside[0]
        raise TooMuchSetAside(
            f"{n_aside} of {n_all} inputs were set aside, more than the fraction {fraction} that is tolerated; "
            f"the first: {first.what}: {first.reason}"
        )
