"""What a flow run is called and tagged with, so that a list of runs can be read: what is done, on which data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tasks.runtime.parameters import last_night
from ztf_in2p3.identifiers import N_CCD, SKY_FILTERS
from ztf_in2p3.periods import Period


def scheduled_time() -> datetime | None:
    """When the running flow was to begin; later than that it waits, or was tried again; None outside a flow."""
    return flow_run.scheduled_start_time if flow_run.id else None


def scheduled_night() -> str:
    """The last complete night at the time for which the running flow was scheduled, whenever it runs."""
    return last_night(scheduled_time())


def subject_of(given: Mapping[str, Any]) -> str:
    """Nights, targets or folder that a flow with these arguments works on."""
    if given.get("names"):
        return " ".join(given["names"])
    if "night" in given:
        return plain_night(given["night"] or scheduled_night())
    if given.get("period"):
        return plain_night(given["period"])
    place = given.get("targets") or given.get("folder") or ""
    return PurePath(str(place)).stem


def plain_night(text: str) -> str:
    """A period as it is written in the store: one night alone, several with both ends; a typing error as it is."""
    try:
        period = Period.parse(text)
    except ValueError:  # the flow itself says what is wrong with it
        return text
    return f"{period.first:%Y%m%d}" if period.first == period.last else str(period)


def run_name() -> str:
    """``nightly 20190405``: the flow, and what it works on."""
    return f"{flow_run.flow_name} {subject_of(flow_run.parameters)}".strip()


def tags_of(given: Mapping[str, Any]) -> list[str]:
    """Night or period, CCDs and filters of a flow's arguments."""
    tags = [subject_of(given)]
    if "ccds" in given:
        tags += ccd_tags(given["ccds"])
    if "filters" in given:
        tags += [str(filter) for filter in given["filters"] or SKY_FILTERS]
    return [tag for tag in tags if tag]


def ccd_tags(ccds: Iterable[int] | None) -> list[str]:
    """``c03`` for each; the whole camera in one word."""
    chosen = sorted(set(ccds or range(1, N_CCD + 1)))
    return ["all CCDs"] if len(chosen) == N_CCD else [f"c{ccd:02d}" for ccd in chosen]


def tag_run(given: Mapping[str, Any]) -> None:
    """Tag the running flow's run, beside what it was tagged with already."""
    if flow_run.id:
        tags = dict.fromkeys([*flow_run.tags, *tags_of(given)])
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, tags=list(tags))
