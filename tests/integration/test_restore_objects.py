"""S3 as boto3 speaks it: what a bucket tells, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_k8sha import _clock
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.model import Verdict
from pytest_k8sha.recovery.objects import judging
from pytest_k8sha.recovery.objects.bucket import S3
from pytest_k8sha.recovery.plan import ObjectStorePlan
from tests.integration.s3 import KEYS, REGION, service


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, service() as url:
        for name, value in KEYS.items():
            patch.setenv(name.upper(), value)
        yield url


def plan(url: str, bucket: str, **more: object) -> ObjectStorePlan:
    return ObjectStorePlan.model_validate(
        {"name": bucket, "bucket": bucket, "endpoint": url, "region": REGION, "min_size": 1000, "locked": True, **more}
    )


def test_what_a_bucket_tells(s3: str) -> None:
    """Objects, the service's own clock within a second or two of ours, and how the bucket keeps its objects."""
    bucket = S3(plan(s3, "good"))
    assert [(item.key, item.size) for item in bucket.items()] == [("daily/today.tar", 2000)]
    before = _clock.epoch()
    clock = bucket.clock()
    assert clock.lo - 1 <= _clock.epoch()
    assert clock.hi >= before
    care = bucket.care()
    assert (care.encrypted, care.versioned, care.locked) == (True, True, True)
    assert "COMPLIANCE for 30 days" in care.said["locked"]
    bare = S3(plan(s3, "bare")).care()
    assert (bare.versioned, bare.locked) == (False, False)


def test_long_listings_are_read_to_their_end(s3: str) -> None:
    """More objects than a page holds."""
    import boto3

    client = boto3.client("s3", endpoint_url=s3, region_name=REGION, **KEYS)
    for number in range(1050):
        client.put_object(Bucket="bare", Key=f"many/{number:04}", Body=b"x")
    client.close()
    assert len(S3(plan(s3, "bare", prefix="many/")).items()) == 1050


def test_a_bucket_that_is_not_there_or_closed_is_not_judged(s3: str) -> None:
    """An answer that is no listing leaves every check open."""
    for found in (plan(s3, "nobody"), plan("http://127.0.0.1:1", "good")):
        with pytest.raises(Inconclusive):
            S3(found).items()
        judge = Judge()
        judging.fresh(judge, judging.look([found]))
        assert judge.conclude()[0] is Verdict.INCONCLUSIVE


def test_a_bucket_without_rights_is_not_judged(s3: str) -> None:
    """The service answers 403: that is neither an empty bucket nor a good one."""
    from moto.core import set_initial_no_auth_action_count

    @set_initial_no_auth_action_count(0)
    def refused() -> str:
        stocks = judging.look([plan(s3, "good")])
        judge = Judge()
        judging.large(judge, stocks)
        assert judge.conclude()[0] is Verdict.INCONCLUSIVE
        return stocks[0].problem

    assert "InvalidAccessKeyId" in refused() or "AccessDenied" in refused()
