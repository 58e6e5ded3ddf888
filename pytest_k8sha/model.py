"""The words of the project as types: impact, severity, verdict, object references, run identity."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from pytest_k8sha.errors import UsageError

LABEL_RUN = "k8sha.dev/run"
LABEL_OWNER = "k8sha.dev/owner"
LABEL_EXPIRES = "k8sha.dev/expires"
"""Seconds since the epoch after which anybody may delete the object."""


class Impact(IntEnum):
    """What a check may do to a cluster; each step includes those before it."""

    OBSERVE = 1
    """GET, LIST, WATCH and the access-review kinds."""
    REHEARSE = 2
    """Also writes with ``dryRun=All``."""
    EXERCISE = 3
    """Also its own labelled objects, in namespaces that the run created."""
    DISRUPT = 4
    """Also faults inside a declared blast radius."""

    @classmethod
    def parse(cls, text: str) -> Impact:
        try:
            return cls[text.strip().upper()]
        except KeyError:
            raise UsageError("unknown impact", value=text, allowed=[str(i) for i in cls]) from None

    def __str__(self) -> str:
        return self.name.lower()


class Severity(IntEnum):
    """How bad it is when a check fails."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @classmethod
    def parse(cls, text: str) -> Severity:
        try:
            return cls[text.strip().upper()]
        except KeyError:
            raise UsageError("unknown severity", value=text, allowed=[str(s) for s in cls]) from None

    def __str__(self) -> str:
        return self.name.lower()


class Verdict(StrEnum):
    """What a check concluded. An error is never a denial, no data is never a pass, zero subjects never pass."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_EVALUATED = "not evaluated"


@dataclass(frozen=True, order=True)
class ObjectRef:
    """Names one object of a cluster. ``namespace`` is empty for cluster-scoped kinds."""

    kind: str
    name: str
    namespace: str = ""
    api_version: str = "v1"

    @classmethod
    def of(cls, obj: dict[str, Any]) -> ObjectRef:
        """The reference of an object as the API server returns it, or of a manifest."""
        meta = obj.get("metadata") or {}
        return cls(
            kind=obj.get("kind", ""),
            name=meta.get("name", ""),
            namespace=meta.get("namespace", ""),
            api_version=obj.get("apiVersion", "v1"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Finding:
    """What was seen of one subject. ``rule`` is the promise that was judged, ``seen`` what the cluster showed."""

    subject: str
    verdict: Verdict
    seen: str
    rule: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return {
            "subject": self.subject,
            "verdict": str(self.verdict),
            "seen": self.seen,
            "rule": self.rule,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class Run:
    """Who makes what: stamped on every object that a run creates.

    ``expires`` is in seconds since the epoch. ``id`` and ``owner`` are valid label values. ``secrets`` are the values
    that this process handed out or planted: no record and no report may show them.
    """

    id: str
    owner: str
    expires: int
    secrets: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL_RUN: self.id, LABEL_OWNER: self.owner, LABEL_EXPIRES: str(self.expires)}


def nonce(prefix: str = "k8sha") -> str:
    """A name that nobody else has: ``prefix`` and ten random characters, valid as a DNS label."""
    return f"{prefix}-{secrets.token_hex(5)}"
