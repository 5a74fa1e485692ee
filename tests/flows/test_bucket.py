"""The same night in an S3 bucket: moto's server on the loopback."""

from __future__ import annotations

import pytest

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.download import download
from tests.bucket import client_of, know_only, s3_service
from tests.flows.night import NIGHT, opened
from ztf_in2p3.products import Kind

MADE = (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.FOCAL_PLANE, Kind.CATALOGUE)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch):
    with s3_service() as endpoint:
        know_only(endpoint, monkeypatch)
        client_of(endpoint).create_bucket(Bucket="night")
        yield "s3://night/store"


def test_a_bucket_holds_the_same_products_as_a_disk(bucket, survey, reduced, calls):
    def reduce() -> None:
        download(NIGHT, bucket, archive=str(survey.tree), **survey.stars, **survey.scope)
        calibrate(NIGHT, bucket, **survey.scope)
        catalogue(NIGHT, bucket, **survey.scope)

    reduce()
    here, there = opened(bucket), opened(reduced.store)
    for kind in (*MADE, Kind.RAW, Kind.HEADER, Kind.MASK, Kind.REFERENCE):
        assert {one.ref: one.sha256 for one in here.list(kind)} == {one.ref: one.sha256 for one in there.list(kind)}
    assert here.verify() == []

    calls.so_far()
    reduce()
    assert calls.so_far() == {}
    (bias, *_) = here.list(Kind.BIAS)
    here.remove(bias.ref)
    reduce()
    assert calls.so_far() == {"master_bias": 1}
