"""Completeness: what should be there against what is, each object in one of six classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pytest_k8sha.recovery.manifests import rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.recovery.manifests.backup import Key

Object = dict[str, Any]


class Class(StrEnum):
    """What became of an object. *missing*, *different* and *unknown* are failures."""

    EQUAL = "restored-equal"
    DIFFERENT = "restored-different"
    MISSING = "missing"
    SKIPPED = "skipped-by-rule"
    EXTRA = "extra"
    UNKNOWN = "unknown"


FAILING = (Class.DIFFERENT, Class.MISSING, Class.UNKNOWN)


@dataclass
class Completeness:
    """Each object's class, with what there is to say of it. ``orphans`` lost the references to their owners."""

    classes: dict[Key, tuple[Class, str]] = field(default_factory=dict)
    orphans: list[Key] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Class]:
        return Counter(one for one, _ in self.classes.values())

    @property
    def complete(self) -> bool:
        return not any(self.counts[one] for one in FAILING)

    def of(self, wanted: Class) -> dict[Key, str]:
        return {key: said for key, (one, said) in sorted(self.classes.items()) if one is wanted}


def compare(
    wanted: Mapping[Key, Object], seen: Mapping[Key, Object], unlisted: Mapping[str, str] | None = None
) -> Completeness:
    """``unlisted`` are kinds (``Kind.group``) that could not be read, with the reason: what is missing of them is
    unknown."""
    found = Completeness()
    for key, obj in wanted.items():
        rule = rules.skipped(obj)
        other = seen.get(key)
        if rule:
            found.classes[key] = (Class.SKIPPED, rule)
        elif other is None:
            reason = (unlisted or {}).get(f"{key.kind}.{key.group}", "")
            found.classes[key] = (
                (Class.UNKNOWN, f"it could not be read: {reason}") if reason else (Class.MISSING, "it is not there")
            )
        else:
            found.classes[key] = _judged(obj, other)
            if (obj.get("metadata") or {}).get("ownerReferences") and not other["metadata"].get("ownerReferences"):
                found.orphans.append(key)
    for key, obj in seen.items():
        if key not in wanted and not rules.skipped(obj):
            found.classes[key] = (Class.EXTRA, "nothing of the backup stands for it")
    return found


def _judged(wanted: Object, seen: Object) -> tuple[Class, str]:
    paths = rules.differences(rules.normal(_in_version(wanted, seen)), rules.normal(seen))
    if not paths:
        return Class.EQUAL, ""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return Class.DIFFERENT, f"{', '.join(paths[:3])}{more}"


def _in_version(wanted: Object, seen: Object) -> Object:
    """The version of the API that an object was read in is the reader's choice, not the object's."""
    return {**wanted, "apiVersion": seen.get("apiVersion", wanted.get("apiVersion"))}


def report(judge: Judge, found: Completeness, *, extra_allowed: bool, remedy: str = "") -> None:
    """Puts every object before the judge, and the counts into the report."""
    for key, (one, said) in sorted(found.classes.items()):
        if one in FAILING or (one is Class.EXTRA and not extra_allowed):
            if one is Class.UNKNOWN:
                judge.unsure(key, f"{one}: {said}")
            else:
                judge.bad(key, seen=f"{one}: {said}", remedy=remedy)
        elif one is Class.EQUAL:
            judge.ok(key, str(one))
        else:
            judge.skip(key, f"{one}: {said}")
    judge.table("completeness", [{"class": str(one), "objects": found.counts[one]} for one in Class])
    if found.orphans:
        judge.measure("objects that lost their owners", len(found.orphans), "objects")
