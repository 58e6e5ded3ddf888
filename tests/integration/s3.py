"""An S3 service in this process: real HTTP, real boto3, no account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
REGION = "eu-central-1"


@contextmanager
def service() -> Iterator[str]:
    """The URL of a service with two buckets of one backup each: ``good`` encrypts, keeps versions and locks; ``bare``
    does nothing."""
    from moto.server import ThreadedMotoServer  # takes a second, which most selections can do without

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        # What an earlier service of this process kept is still there: moto's memory is the process's.
        with urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST"), timeout=10):
            _make_buckets(f"http://{host}:{port}")
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _make_buckets(url: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=url, region_name=REGION, **KEYS)
    place = {"LocationConstraint": REGION}
    client.create_bucket(Bucket="bare", CreateBucketConfiguration=place)
    client.create_bucket(Bucket="good", CreateBucketConfiguration=place, ObjectLockEnabledForBucket=True)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket="good", ServerSideEncryptionConfiguration={"Rules": [rule]})
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}}
    client.put_object_lock_configuration(Bucket="good", ObjectLockConfiguration=lock)
    for bucket in ("good", "bare"):
        client.put_object(Bucket=bucket, Key="daily/today.tar", Body=b"x" * 2000)
    client.close()
