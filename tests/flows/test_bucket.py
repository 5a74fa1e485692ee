"""The same night in an S3 bucket: moto's server on the loopback."""

from __future__ import annotations

import boto3
import pytest
from moto.server import ThreadedMotoServer

from flows.calibrate import calibrate
from flows.catalogue import catalogue
from flows.download import download
from lib.products import Kind
from tests.flows.night import NIGHT, opened

MADE = (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.FOCAL_PLANE, Kind.CATALOGUE)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="night")
    yield "s3://night/store"
    server.stop()


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
