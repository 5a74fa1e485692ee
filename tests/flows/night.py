"""The night of the flow tests, and ways to look at what was made of it without asking the pipeline."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.states import State

import tasks.calibration
import tasks.inputs.images
import tasks.pages.drawing
import tasks.pages.report
import tasks.quality
import tasks.reduction
from tasks.runtime.outcome import Outcome
from tasks.runtime.settings import store_at
from ztf_in2p3.archive import Irsa, LocalTree
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.store import Store

NIGHT = "20190405"
CCDS = (3, 6)
PLAN = tiny_night(ccdids=CCDS, filters=(Filter.ZR,), n_bias=4, n_led=1, n_flat=3, n_object=2, n_field=1)

COUNTS = {
    "raw": 2 * (4 + 3 + 2), "header": 2 * 2 * 4, "mask": 2 * 2 * 4,
    "bias": 2, "ledflat": 2, "flat": 2, "focalplane": 1, "quality": 2 + 2, "badpixels": 2, "calibrations": 1,
    "apcat": 2 * 2,
    "summary": 2 + 2, "figure": 9 + 5, "report": 1 + 1,
}  # fmt: skip
"""Products of the night by kind, counted by hand: 2 CCDs, 4 bias, 3 flats of 1 LED, 2 exposures of 4 quadrants;
the detector has a table a CCD, five pictures and a page of its own.

The reference partitions around it are left out: how many there are is the sky's business."""

COMPUTING: dict[str, tuple[object, str]] = {
    "fetch": (LocalTree, "fetch"),
    "fetch over HTTP": (Irsa, "fetch"),
    "fetch stars": (ReferenceCatalogue, "fetch"),
    "master_bias": (tasks.calibration, "master_bias"),
    "led_flat": (tasks.calibration, "led_flat"),
    "combine_leds": (tasks.calibration, "combine_leds"),
    "focal_plane": (tasks.calibration, "focal_plane"),
    "compare": (tasks.quality, "compare"),
    "bad_pixel_masks": (tasks.calibration, "bad_pixel_masks"),
    "calibrations": (tasks.calibration, "calibrations"),
    "detrend_ccd": (tasks.inputs.images, "detrend_one_by_one"),
    "science_image": (tasks.reduction, "science_image"),
    "aperture_catalogue": (tasks.reduction, "aperture_catalogue"),
    "quadrant_summary": (tasks.pages.report, "quadrant_summary"),
    "residuals": (tasks.pages.report, "residuals"),
    "render_html": (tasks.pages.drawing, "render_html"),
    "figure": (tasks.pages.drawing, "png"),
}
"""Whatever costs time, where the tasks find it."""


class Calls:
    """How often each computing function was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._made: list[str] = []
        for name, (place, attribute) in COMPUTING.items():
            monkeypatch.setattr(place, attribute, self._counted(name, getattr(place, attribute)))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._made.append(name)
            return function(*args, **kwargs)

        return counted

    def so_far(self) -> dict[str, int]:
        """Since the last time this was asked."""
        made, self._made[:] = Counter(self._made), []
        return dict(made)


@dataclass(frozen=True)
class Survey:
    tree: Path

    @property
    def stars(self) -> dict[str, str]:
        return {"reference": str(self.tree / "reference")}

    @property
    def scope(self) -> dict[str, Any]:
        """Of every flow on this night, computed in this process."""
        return {"camera": "tiny", "ccds": list(CCDS), "filters": ["zr"], "workers": 0}


@dataclass(frozen=True)
class Reduced:
    store: Path
    state: State

    @property
    def outcome(self) -> Outcome:
        return self.state.result()


def opened(store: Path | str) -> Store:
    return store_at(str(store))


# --- the files of a store on disk, without the store's code


def products(store: Path) -> dict[str, Path]:
    """Files of all products by address: what stands beside a manifest."""
    return {
        str(manifest.parent.relative_to(store)): file
        for manifest in store.rglob("manifest.json")
        for file in manifest.parent.iterdir()
        if file != manifest
    }


def digests(store: Path, *kinds: Kind) -> dict[str, str]:
    """Content of the products (of some kinds) by address."""
    return {
        address: hashlib.sha256(file.read_bytes()).hexdigest()
        for address, file in products(store).items()
        if not kinds or Kind(address.split("/")[0]) in kinds
    }


class Watched:
    """Tells which products were written since it was made, whatever is in them."""

    def __init__(self, store: Path) -> None:
        self._store, self._before = store, self._stamps(store)

    def written(self) -> set[str]:
        now = self._stamps(self._store)
        return {address for address, stamp in now.items() if stamp != self._before.get(address)}

    @staticmethod
    def _stamps(store: Path) -> dict[str, tuple[int, int]]:
        return {address: (file.stat().st_ino, file.stat().st_mtime_ns) for address, file in products(store).items()}


def kinds(addresses: set[str]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(address.split("/")[0] for address in addresses))


# --- what the orchestrator shows


def flow_runs(client: SyncPrefectClient, state: State) -> FlowRunFilter:
    """The flow run that ended in a state, and those of the flows it called."""
    run_id = state.state_details.flow_run_id
    called_by = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id]))
    return FlowRunFilter(
        id=FlowRunFilterId(any_=[run_id, *(r.id for r in client.read_flow_runs(flow_run_filter=called_by))])
    )


def task_runs(state: State, n: int) -> dict[str, str]:
    """Name of the state of each task run, below a flow run and the flows it called, by the run's name.

    The server writes task runs down a little later than they happen: waits for `n`.
    """
    with get_client(sync_client=True) as client:
        within = flow_runs(client, state)
        for _ in polling(30):
            found = client.read_task_runs(flow_run_filter=within, limit=200)
            if len(found) >= n and all(run.state and run.state.is_final() for run in found):
                break
        return {run.name: run.state.name for run in found}


def artifacts(state: State) -> dict[str, Artifact]:
    """What a flow run and the flows it called left to be looked at, by key."""
    with get_client(sync_client=True) as client:
        return {one.key: one for one in client.read_artifacts(flow_run_filter=flow_runs(client, state))}


def polling(seconds: float) -> Iterator[None]:
    """Ticks until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.05)
