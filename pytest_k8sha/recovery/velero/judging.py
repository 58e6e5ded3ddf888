"""What a backup of Velero is worth, put before the judge."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery.manifests import backup as backups
from pytest_k8sha.recovery.manifests import completeness, rules
from pytest_k8sha.recovery.objective import within
from pytest_k8sha.recovery.velero.stored import API

if TYPE_CHECKING:
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.recovery.plan import VeleroPlan
    from pytest_k8sha.recovery.velero.stored import Stored


def complete(judge: Judge, cluster: Cluster, stored: Stored, plan: VeleroPlan) -> None:
    """Each object of the namespaces is in the archive as it is, but for the kinds that the plan leaves out. What was
    made or changed since the backup began is left out too."""
    live, unlisted = backups.inventory(cluster)
    began = _moment(stored, "startTimestamp")
    names = set(plan.namespaces)
    here = {
        key: obj
        for key, obj in live.items()
        if (key.namespace in names or (key.kind == "Namespace" and key.name in names)) and not rules.skipped(obj)
    }
    judge.control(
        all(any(key.namespace == name for key in here) for name in names), "each namespace of the plan holds objects"
    )
    wanted = {}
    for key, obj in sorted(here.items()):
        if key.kind in plan.excluded:
            judge.skip(key, "the plan leaves its kind out")
        elif rules.changed(obj) >= began - 1:  # times of objects have whole seconds
            judge.skip(key, "changed since the backup began")
        else:
            wanted[key] = obj
    judge.control(bool(wanted), "the backup is younger than the objects")
    for kind, reason in unlisted.items():
        judge.unsure(f"kind {kind}", f"it could not be read: {reason}")
    there = {key: obj for key, obj in stored.objects.items() if key in wanted}
    found = completeness.compare(wanted, there)
    completeness.report(
        judge,
        found,
        extra_allowed=True,
        remedy="have the backup include the object, or say in the plan that it may not",
    )


def sound(judge: Judge, cluster: Cluster, stored: Stored, plan: VeleroPlan) -> None:
    """Velero ended it without an error or a failed hook, it is young and not expired, and its storage location is
    available. Says nothing of what is in it."""
    status, name = stored.status, f"backup {stored.name}"
    phase, errors = status.get("phase", ""), int(status.get("errors") or 0)
    why = status.get("failureReason") or ", ".join(status.get("validationErrors") or [])
    judge.that(
        phase == "Completed" and not errors,
        name,
        seen=f"{phase or 'no phase'}, {errors} errors, {int(status.get('warnings') or 0)} warnings{why and f': {why}'}",
        remedy=f"read `velero backup logs {stored.name}`",
    )
    hooks = status.get("hookStatus") or {}
    tried, failed = int(hooks.get("hooksAttempted") or 0), int(hooks.get("hooksFailed") or 0)
    judge.that(not failed, f"{name}: hooks", seen=f"{failed} of {tried} failed", remedy="correct the hook's command")
    now = _clock.epoch()
    # No point in time: its age counts from its beginning, and timestamps have whole seconds.
    ends = [_moment(stored, key) for key in ("startTimestamp", "completionTimestamp")]
    if ends[0] > now + 1:
        judge.bad(f"{name}: age", seen=f"it is {ends[0] - now:.0f} s newer than now", remedy="set the clocks by NTP")
    else:
        age = Interval(max(0.0, now - ends[1] - 1), max(0.0, now - ends[0]))
        within(judge, f"{name}: age", age, plan.max_age, "have a Schedule make backups more often")
    expires = _moment(stored, "expiration")
    judge.that(
        expires > now, f"{name}: expiration", seen=f"in {expires - now:.0f} s", remedy="keep it longer (spec.ttl)"
    )
    locations = cluster.resource(API, "BackupStorageLocation").list(plan.namespace)
    judge.control(bool(locations), "there is a storage location")
    for one in locations:
        said = one.get("status") or {}
        judge.that(
            said.get("phase") == "Available",
            f"storage location {one['metadata']['name']}",
            seen=" ".join(filter(None, [said.get("phase", "no phase"), said.get("message", "")])),
            remedy="see that the bucket is there and its credentials are right",
        )


def _moment(stored: Stored, key: str) -> float:
    """In seconds since the epoch. Raises `Inconclusive` where the backup does not tell."""
    try:
        return datetime.fromisoformat(str(stored.status[key])).timestamp()
    except (KeyError, ValueError) as error:
        raise Inconclusive(
            f"the backup {stored.name} does not say its {key}; its phase is {stored.status.get('phase')}"
        ) from error
