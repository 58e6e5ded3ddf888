"""The restore plan: where a cluster's backups are, what they promise, and how they are restored.

A YAML file that a fleet file names by ``restore`` for a cluster, or ``--k8sha-restore`` for all. Every part may be left
out: then the checks of that part use what can be made on the spot, or are not evaluated.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pytest_k8sha.kube.manifests import typed
from pytest_k8sha.recovery.etcd.trial import BUMP

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)")


def duration(value: Any) -> Any:
    """``90s``, ``15m``, ``1h30m`` or ``30d`` in seconds; a number is seconds already. Raises ValueError for others."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    found = _DURATION.findall(text)
    if not found or "".join(_DURATION.sub("", text).split()):
        raise ValueError(f"{value!r} is no duration; write it as 30s, 15m, 1h30m or 30d")
    return sum(float(number) * UNITS[unit] for number, unit in found)


Seconds = Annotated[float, BeforeValidator(duration), Field(ge=0)]


class Part(BaseModel):
    """A part of the plan. ``extra`` keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Objectives(Part):
    """What a restore promises, in seconds or as a text such as ``15m``."""

    rto: Seconds = Field(
        default=3600.0, description="from the disaster until the service is back (recovery time objective)"
    )
    rpo: Seconds = Field(default=3600.0, description="from the last write that came back to the disaster")


class EtcdPlan(Part):
    """How etcd is backed up and restored."""

    snapshot: Path | None = Field(
        default=None, description="a snapshot file to judge; without one it is taken on the spot"
    )
    foreign: bool = Field(default=False, description="the snapshot may be of another cluster")
    max_age: Seconds = Field(default=86400.0, description="how old the content of a snapshot may be")
    bump: int = Field(
        default=BUMP, ge=0, description="revisions that the restore skips; 0: none, as a plain restore does"
    )
    members: list[int] = Field(
        default_factory=list,
        description="the members that are restored, each in a cluster of its own; none: all, as one",
    )


class ManifestsPlan(Part):
    """A backup of manifests: a folder, a tar or a zip."""

    backup: Path | None = Field(default=None, description="the backup to judge; without one it is made on the spot")
    required: list[str] = Field(
        default_factory=list, description="kinds that it must hold; always those that the cluster has objects of"
    )
    max_age: Seconds = Field(default=86400.0, description="how old the backup may be, by its metadata.json")


class ObjectStorePlan(Part):
    """A place where backups are kept: a bucket of an S3 service, or a folder."""

    name: str = Field(description="what the report calls it")
    bucket: str = Field(default="", description="the bucket's name (needs the extra `s3`)")
    folder: Path | None = Field(default=None, description="a folder instead of a bucket")
    prefix: str = Field(default="", description="only objects whose key begins so")
    endpoint: str = Field(default="", description="the URL of the service; empty: AWS")
    region: str = Field(default="", description="the region; empty: as boto3 finds it")
    max_age: Seconds = Field(default=86400.0, description="how old the newest backup may be")
    min_size: int = Field(default=1_000_000, ge=0, description="bytes that the newest backup must have")
    shrink: float = Field(
        default=0.5, ge=0, le=1, description="the least share of the usual size that the newest may have"
    )
    retention: Seconds = Field(default=30 * 86400.0, description="how far back the backups must reach")
    encrypted: bool = Field(default=True, description="the bucket encrypts by default")
    versioned: bool = Field(default=True, description="the bucket keeps versions")
    locked: bool = Field(default=False, description="the bucket locks new objects against deletion")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.bucket) == bool(self.folder):
            raise ValueError("a bucket or a folder is expected, and not both")
        return self


class VeleroPlan(Part):
    """Backups that Velero makes of a cluster."""

    store: ObjectStorePlan = Field(description="where its storage location keeps them")
    namespaces: list[str] = Field(min_length=1, description="the namespaces that a backup must hold")
    excluded: list[str] = Field(default_factory=list, description="kinds that are left out on purpose")
    backup: str = Field(default="", description="the backup's name; empty: the newest of the store")
    namespace: str = Field(default="velero", description="where Velero's own objects are")
    max_age: Seconds = Field(default=86400.0, description="how old the backup may be, from its beginning")


class Plan(Part):
    """One restore plan."""

    bia: Path | None = Field(default=None, description="the BIA file: what the services promise (R7, R8)")
    records: list[Path] = Field(default_factory=list, description="records of earlier runs, for what they measured")
    observed: Seconds = Field(
        default=0.0, description="the time of operation that those records tell of; 0: no availability follows"
    )
    objectives: Objectives = Field(default_factory=Objectives, description="what every restore promises")
    etcd: EtcdPlan = Field(default_factory=EtcdPlan, description="snapshots of etcd (R1)")
    manifests: ManifestsPlan = Field(default_factory=ManifestsPlan, description="backups of manifests (R5)")
    object_stores: list[ObjectStorePlan] = Field(
        default_factory=list, alias="objectStores", description="where backups are kept (R6)"
    )
    velero: VeleroPlan | None = Field(default=None, description="backups of Velero (R2)")


def load(path: Path) -> Plan:
    """Reads a plan; paths in it count from its folder. Raises `FileProblems` with every mistake."""

    def absent(found: Plan) -> Iterator[tuple[tuple[str, ...], str]]:
        for field, place in _paths(_placed(found, path.parent)):
            if not place.exists():
                yield field, f"{place} is not there"

    expected = "one mapping is expected, as `k8sha schema restore` describes"
    placed: Plan = _placed(typed(path, Plan, expected=expected, further=absent), path.parent)
    return placed


def _placed(part: Any, base: Path) -> Any:
    """The part with every path counted from ``base``."""
    if isinstance(part, Path):
        return base / part
    if isinstance(part, BaseModel):
        return part.model_copy(update={name: _placed(getattr(part, name), base) for name in type(part).model_fields})
    return [_placed(one, base) for one in part] if isinstance(part, list) else part


def _paths(part: Any, field: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Path]]:
    if isinstance(part, Path):
        yield field, part
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _paths(getattr(part, name), (*field, name))
    elif isinstance(part, list):
        for number, one in enumerate(part):
            yield from _paths(one, (*field, str(number)))
