"""What the orchestrator costs: CPU per product task of flow, workers and server, over empty tasks.

    python benchmarks/scheduling.py                          the cost of a task
    python benchmarks/scheduling.py --store demo/ztf/store   and its share of the work that the manifests of
                                                             a real-size run (make demo CAMERA=ztf) tell of

Tasks are threads of the flow that hand their work to processes, as everywhere in this pipeline; beside
it Prefect's own process pool, one task at a time in each process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from flows.cli.server import free_port, started, talking_to
from ztf_in2p3.identifiers import N_CCD
from ztf_in2p3.products import Kind

N_TASK = 200


def cpu_seconds() -> float:
    """Of this process and all its children, those that ended included: flow, workers, server."""
    here = psutil.Process()
    return sum(sum(p.cpu_times()[:4]) for p in [here, *here.children(recursive=True)])


def per_task(flow, n_task: int) -> float:
    """CPU milliseconds of one task: what many cost more than a few, which start the processes too."""
    costs = []
    for n in (4, 4, 4 + n_task):
        before = cpu_seconds()
        flow(n)
        time.sleep(3)  # the server records what it was told
        costs.append(cpu_seconds() - before)
    return 1e3 * (costs[2] - costs[1]) / n_task


def measure() -> dict[str, float]:
    from prefect import flow, task
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    from tasks.runtime.engine import running
    from tasks.runtime.policies import collect, launch, product_task

    nothing = product_task(make_nothing)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
    def ours(n: int) -> None:
        with running(2):
            collect(launch(nothing, f"nothing {i}") for i in range(n))

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def prefects(n: int) -> None:
        submitted = [task(make_nothing).submit(f"nothing {i}") for i in range(n)]
        for one in submitted:
            one.wait()

    return {
        "threads that hand work to processes (this pipeline)": per_task(ours, N_TASK),
        "Prefect's process pool": per_task(prefects, N_TASK // 4),
    }


def make_nothing(target: str):
    from tasks.runtime.outcome import Outcome

    return Outcome()


def work_of(store: Path) -> dict[Kind, list[float]]:
    """CPU seconds of each product that was made there, by kind."""
    from ztf_in2p3.store.manifest import Manifest

    found: dict[Kind, list[float]] = {}
    for path in store.glob("*/*/**/manifest.json"):
        manifest = Manifest.parse(path.read_text())
        found.setdefault(manifest.ref.kind, []).append(manifest.cpu_s)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="of a real-size run")
    arguments = parser.parse_args()
    os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
    with tempfile.TemporaryDirectory() as home, started(Path(home), free_port()) as (api, _), talking_to(api):
        costs = measure()
    print(f"{'CPU per task run (flow + workers + server)':60s} ms")
    for name, cost in costs.items():
        print(f"{name:60s} {cost:.1f}")
    if arguments.store is None:
        return
    cost = next(iter(costs.values())) / 1e3
    print(f"\n{'task of a real-size night':40s} {'CPU s of work':>14s} {'scheduling':>11s}")
    for kind, seconds in sorted(work_of(arguments.store).items()):
        if kind not in (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.CATALOGUE):
            continue
        each = sum(seconds) / len(seconds) * (N_CCD if kind is Kind.CATALOGUE else 1)  # a catalogue task is an exposure
        print(f"{kind + (' (exposure)' if kind is Kind.CATALOGUE else ''):40s} {each:14.1f} {100 * cost / each:10.2f}%")


if __name__ == "__main__":
    main()
