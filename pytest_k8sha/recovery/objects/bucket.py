"""Where backups are kept: a bucket of an S3 service, or a folder. Only reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pytest_k8sha import _clock
from pytest_k8sha.errors import EnvironmentFailure, Inconclusive
from pytest_k8sha.probes.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_k8sha.recovery.plan import ObjectStorePlan


@dataclass(frozen=True)
class Item:
    """One object. ``modified`` is in seconds since the epoch, on the store's own clock."""

    key: str
    size: int
    modified: float


@dataclass(frozen=True)
class Care:
    """How a store keeps its objects: True, False, or None where it does not say. ``said`` explains each."""

    encrypted: bool | None = None
    versioned: bool | None = None
    locked: bool | None = None
    said: Mapping[str, str] = field(default_factory=dict)


class Bucket(Protocol):
    """A place with backups. Every method raises `Inconclusive` when the store gives no answer, or no right to read."""

    def items(self) -> list[Item]: ...

    def get(self, key: str) -> bytes:
        """The content of one object."""

    def clock(self) -> Interval:
        """The store's clock now, in seconds since the epoch."""

    def care(self) -> Care: ...


def opened(plan: ObjectStorePlan) -> Bucket:
    """The place that a plan names."""
    return Folder(plan.folder, plan.prefix) if plan.folder else S3(plan)


class Folder:
    """A folder of this machine, or one that is mounted. Its clock is taken for ours."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self._path, self._prefix = path, prefix

    def items(self) -> list[Item]:
        found = []
        try:
            for file in sorted(self._path.rglob("*")):
                name = file.relative_to(self._path).as_posix()
                if name.startswith(self._prefix) and file.is_file() and not file.is_symlink():
                    stat = file.stat()
                    found.append(Item(name, stat.st_size, stat.st_mtime))
        except OSError as error:
            raise Inconclusive(f"the folder {self._path} cannot be read ({error.strerror})") from error
        return found

    def get(self, key: str) -> bytes:
        try:
            return (self._path / key).read_bytes()
        except OSError as error:
            raise Inconclusive(f"the file {self._path / key} cannot be read ({error.strerror})") from error

    def clock(self) -> Interval:
        return Interval.exactly(_clock.epoch())

    def care(self) -> Care:
        try:
            mode = self._path.stat().st_mode & 0o777
        except OSError as error:
            raise Inconclusive(f"the folder {self._path} cannot be read ({error.strerror})") from error
        said = dict.fromkeys(("encrypted", "versioned", "locked"), f"a folder does not say (mode {mode:03o})")
        return Care(said=said)


class S3:
    """A bucket of an S3 service, by boto3 (the extra ``s3``). Credentials are found as boto3 finds them."""

    def __init__(self, plan: ObjectStorePlan) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise EnvironmentFailure("S3 needs boto3", remedy="pip install pytest-k8sha[s3]") from error
        self._name, self._prefix = plan.bucket, plan.prefix
        style: Any = {"addressing_style": "path"} if plan.endpoint else {}
        config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 2}, s3=style)
        self._client = boto3.client(
            "s3", endpoint_url=plan.endpoint or None, region_name=plan.region or None, config=config
        )

    def items(self) -> list[Item]:
        found: list[Item] = []
        query: dict[str, Any] = {"Bucket": self._name, "Prefix": self._prefix}
        while True:
            answer = self._ask("list_objects_v2", **query)
            found += [
                Item(one["Key"], int(one["Size"]), one["LastModified"].timestamp())
                for one in answer.get("Contents", [])
            ]
            if not answer.get("IsTruncated"):
                return found
            query["ContinuationToken"] = answer["NextContinuationToken"]

    def get(self, key: str) -> bytes:
        found: bytes = self._ask("get_object", Bucket=self._name, Key=key)["Body"].read()
        return found

    def clock(self) -> Interval:
        """By the Date header, which has whole seconds, and the time that the answer took."""
        from email.utils import parsedate_to_datetime

        before = _clock.now()
        answer = self._ask("list_objects_v2", Bucket=self._name, MaxKeys=1)
        took = _clock.now() - before
        text = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            date = parsedate_to_datetime(text).timestamp()
        except ValueError as error:
            raise Inconclusive(f"bucket {self._name}: the service does not tell its time ({text!r})") from error
        return Interval(date, date + 1 + took)

    def care(self) -> Care:
        said: dict[str, str] = {}
        values: dict[str, bool | None] = {}

        def look(name: str, method: str, absent: str, read: Any) -> None:
            try:
                values[name], said[name] = read(self._ask(method, Bucket=self._name))
            except _Absent:
                values[name], said[name] = False, absent
            except Inconclusive as error:
                values[name], said[name] = None, str(error)

        def encryption(answer: Any) -> tuple[bool, str]:
            rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
            names = [r.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "") for r in rules]
            return any(names), f"by default with {', '.join(filter(None, names)) or 'nothing'}"

        def versions(answer: Any) -> tuple[bool, str]:
            status = answer.get("Status", "never switched on")
            return status == "Enabled", status

        def lock(answer: Any) -> tuple[bool, str]:
            config = answer["ObjectLockConfiguration"]
            rule = (config.get("Rule") or {}).get("DefaultRetention") or {}
            on = config.get("ObjectLockEnabled") == "Enabled" and bool(rule)
            length = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
            kept = f"{rule.get('Mode')} for {length}"
            return on, kept if rule else "on, without a retention for new objects"

        look("encrypted", "get_bucket_encryption", "no encryption by default", encryption)
        look("versioned", "get_bucket_versioning", "never switched on", versions)
        look("locked", "get_object_lock_configuration", "no object lock", lock)
        return Care(**values, said=said)

    def _ask(self, method: str, **query: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, method)(**query)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in {"ServerSideEncryptionConfigurationNotFoundError", "ObjectLockConfigurationNotFoundError"}:
                raise _Absent(code) from error
            raise Inconclusive(f"bucket {self._name}: {method} was answered with {code}: {error}") from error
        except BotoCoreError as error:
            raise Inconclusive(f"bucket {self._name}: {method} got no answer: {error}") from error


class _Absent(Exception):
    """The service says that there is no such setting, which is an answer."""
