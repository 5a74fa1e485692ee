"""Bad weather: an archive that refuses, breaks off, lies and sends odd rows costs time, and nothing else."""

from __future__ import annotations

from collections import Counter

from flows.nightly import nightly
from tests.flows.night import NIGHT, digests, opened
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import IrsaLookalike, Quirks, Weather

SHARE = 0.1
"""Fraction of the requests that are refused, of those that break off, of those that get a lie, and of the odd rows."""
ARCHIVED = (Kind.RAW, Kind.HEADER, Kind.MASK, Kind.REFERENCE)
FETCHED = {"fetch over HTTP", "fetch stars"}


def test_a_night_in_bad_weather_ends_with_everything_that_can_be_had(survey, reduced, store, calls):
    """What was made of the night in fair weather is still there, and found again if the same files came."""
    products = opened(store)
    for built in [built for kind in ARCHIVED for built in products.list(kind)]:
        products.remove(built.ref)
    weather = Weather(SHARE, seed=1)
    with IrsaLookalike(survey.tree, quirks=Quirks(SHARE), weather=weather) as served:
        outcome = nightly(
            NIGHT, str(store), archive=served.url, truth=str(survey.tree), **survey.stars, **survey.scope,
            max_set_aside=1.0,
        )  # fmt: skip

    struck = Counter(request.fault for request in served.requests if request.fault)
    assert all(struck.keys() & set(kind) for kind in weather.kinds)
    # A page tells what was set aside, and here that is more rows of the archive's tables.
    compared = tuple(set(Kind) - {Kind.REPORT})
    found, undisturbed = digests(store, *compared), digests(reduced.store, *compared)
    assert found == undisturbed
    assert {aside.what.partition(" of the ")[2] for aside in outcome.set_aside} <= {
        "rows of the archive's raw table", "rows of the archive's sci table",
    }  # fmt: skip
    assert products.verify() == []
    made = calls.so_far()
    assert made["fetch over HTTP"] >= sum(address.split("/")[0] in ("raw", "header", "mask") for address in found)
    assert set(made) - FETCHED == {"render_html"}
