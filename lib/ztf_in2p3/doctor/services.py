"""The orchestrator's server, its schedules and workers, and a cluster: what was asked of them against what must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ztf_in2p3.doctor.findings import Check, Result, differs, failed, ok

_SERVE = "start `ztf serve` (or `make serve`) and leave it running"


@dataclass(frozen=True, slots=True)
class ServerState:
    """Answers of a Prefect server."""

    address: str
    healthy: bool
    version: str
    """Version of the server."""
    client_version: str
    schedules: tuple[str, ...]
    """Deployments with an active schedule."""
    planned: int
    """Runs that the scheduler has planned for them."""
    workers: Mapping[str, float]
    """Seconds since the last sign of life of each worker."""
    heartbeat: float = 30.0
    """Seconds between two signs of life of a worker."""


def health(state: ServerState) -> Result:
    """Whether the server answers and is well."""
    expected = "an answer of a Prefect server"
    if not state.healthy:
        return failed(f"no answer at {state.address}", expected, f"{_SERVE}, or mend PREFECT_API_URL")
    return ok(state.address, expected)


def version(state: ServerState) -> Result:
    """Version of the server against that of this installation."""
    observed, expected = f"server {state.version}", f"{state.client_version}, that of this installation"
    same = state.version.split(".")[:2] == state.client_version.split(".")[:2]
    remedy = "run server, worker and commands from one installation (make setup)"
    return ok(observed, expected) if same else differs(observed, expected, remedy)


def schedule(state: ServerState) -> Result:
    """Whether a deployment is scheduled."""
    expected = "a deployment with an active schedule (nightly)"
    if not state.schedules:
        return failed("no active schedule", expected, f"{_SERVE}: it registers the deployments of prefect.yaml")
    return ok(", ".join(state.schedules), expected)


def scheduler(state: ServerState) -> Result:
    """A live scheduler plans runs ahead for every active schedule."""
    expected = "runs planned ahead"
    if not state.planned:
        remedy = "its scheduler is dead or has just begun: wait a minute; then see server.log in PREFECT_HOME"
        return failed("no run is planned", expected, remedy)
    return ok(f"{state.planned} runs planned", expected)


def worker(state: ServerState) -> Result:
    """Whether a worker gave a sign of life just now."""
    expected = "a worker that gave a sign of life just now"
    alive = [name for name, seconds in state.workers.items() if seconds < 3 * state.heartbeat]
    if alive:
        return ok(f"{len(alive)} alive", expected)
    youngest = min(state.workers.values(), default=None)
    observed = "no worker" if youngest is None else f"none for {youngest:.0f} s"
    return failed(observed, expected, f"{_SERVE}: it runs a worker; else `prefect worker start --pool ztf`")


SERVED: tuple[Check[ServerState], ...] = (
    Check("schedule", schedule, ("answer",)),
    Check("scheduler", scheduler, ("answer", "schedule")),
    Check("worker", worker, ("answer",)),
)
"""What only a server that stays can have."""
CHECKS: tuple[Check[ServerState], ...] = (
    Check("answer", health),
    Check("version", version, ("answer",)),
    *SERVED,
)


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What the workers of a cluster answered."""

    address: str
    versions: Mapping[str, str]
    """Version of this package by worker."""
    own_version: str
    sees_store: Mapping[str, bool]
    """Whether each worker sees the scratch file in the store."""


def cluster_workers(state: ClusterState) -> Result:
    """Whether the cluster has workers."""
    expected = "at least one worker"
    if not state.versions:
        return failed("no worker", expected, "start workers: dask worker ... (README, At a computing centre)")
    return ok(f"{len(state.versions)} workers", expected)


def cluster_versions(state: ClusterState) -> Result:
    """Version of this package on the cluster's workers."""
    observed = ", ".join(sorted(set(state.versions.values())))
    expected = f"{state.own_version} everywhere"
    same = set(state.versions.values()) == {state.own_version}
    return ok(observed, expected) if same else differs(observed, expected, "start the workers from this installation")


def cluster_store(state: ClusterState) -> Result:
    """Whether the cluster's workers see the store."""
    n = sum(state.sees_store.values())
    observed, expected = f"{n} of {len(state.sees_store)} see it", "every worker sees the store"
    if n < len(state.sees_store):
        return failed(observed, expected, "put the store on a file system all nodes share, or in a bucket")
    return ok(observed, expected)


CLUSTER: tuple[Check[ClusterState], ...] = (
    Check("workers", cluster_workers),
    Check("versions", cluster_versions, ("workers",)),
    Check("store", cluster_store, ("workers",)),
)
