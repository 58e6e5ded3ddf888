"""What a manifest backup is worth, put before the judge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, FileProblem, FileProblems, Inconclusive, K8shaError, NotEvaluated
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery.manifests import backup as backups
from pytest_k8sha.recovery.manifests import completeness, restore, rules
from pytest_k8sha.recovery.objective import within

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.recovery.manifests.backup import Backup, Key
    from pytest_k8sha.recovery.plan import ManifestsPlan

ANEW = "make it anew with `k8sha backup manifests`, and copy it whole"


@dataclass
class Subject:
    """The backup that is judged, or its mistakes, and the cluster's objects as they are now."""

    path: Path
    backup: Backup | None
    problems: list[FileProblem]
    live: dict[Key, dict[str, Any]]
    unlisted: dict[str, str]

    @property
    def good(self) -> Backup:
        """The backup. Raises `Inconclusive` when it could not be read."""
        if self.backup is None:
            raise Inconclusive(f"the backup {self.path.name} cannot be read: {self.problems[0]}")
        return self.backup


def subject(cluster: Cluster, plan: ManifestsPlan, folder: Path) -> Subject:
    """Reads the backup that the plan names, or makes one in ``folder``."""
    path = plan.backup or folder / "manifests"
    found: Backup | None = None
    problems: list[FileProblem] = []
    if plan.backup is None:
        backups.make(cluster, path)
    try:
        found = backups.read(path)
    except FileProblems as error:
        problems = error.problems
    live, unlisted = backups.inventory(cluster)
    return Subject(path, found, problems, live, unlisted)


def readable(judge: Judge, seen: Subject, plan: ManifestsPlan) -> None:
    """It reads without a mistake and holds the kinds that it must."""
    for problem in seen.problems:
        judge.bad(problem.path, seen=str(problem), remedy=ANEW)
    if seen.backup is None:
        return
    judge.control(bool(seen.backup.objects), "the backup holds objects")
    here = {key.kind for key, obj in seen.live.items() if not rules.skipped(obj)}
    for kind in sorted({*plan.required, *here}):
        count = sum(key.kind == kind for key in seen.backup.objects)
        judge.that(count > 0, f"kind {kind}", seen=f"{count} objects", remedy="have the backup read this kind as well")


def accepted(judge: Judge, cluster: Cluster, seen: Subject) -> None:
    """The API server takes each object, as a rehearsal with strict validation: no field is unknown to it."""
    wanted = {key: obj for key, obj in seen.good.objects.items() if not rules.skipped(obj)}

    def rehearse(item: tuple[Key, dict[str, Any]]) -> tuple[Key, K8shaError | None]:
        key, obj = item
        query = {"fieldManager": restore.FIELD_MANAGER, "force": "true", "fieldValidation": "Strict", "dryRun": "All"}
        try:
            path = cluster.client.discovery.find(obj["apiVersion"], key.kind).path(key.namespace, key.name)
            cluster.client.request(
                "PATCH", path, query=query, body=restore.clean(obj), content_type="application/apply-patch+yaml"
            )
        except K8shaError as error:
            return key, error
        return key, None

    with ThreadPoolExecutor(backups.AT_ONCE) as pool:
        for key, error in pool.map(rehearse, sorted(wanted.items(), key=lambda item: item[0])):
            if error is None:
                judge.ok(key, "taken, by a rehearsal")
            elif isinstance(error, NotEvaluated) or (isinstance(error, ApiError) and _is_refusal(error)):
                judge.bad(key, seen=str(error), remedy="correct the field, or bring the definition of the kind")
            else:
                judge.unsure(key, str(error))


def _is_refusal(error: ApiError) -> bool:
    """Whether the server says that the object is not as it must be. An unknown field of a server-side apply comes as a
    500 with these words (``structured-merge-diff``)."""
    return error.status in {400, 422} or "failed to create typed patch object" in error.message


def current(judge: Judge, cluster: Cluster, seen: Subject, plan: ManifestsPlan) -> None:
    """By its ``metadata.json`` the backup is of this cluster and young enough."""
    about = seen.good.about
    if not about:
        raise NotEvaluated(f"the backup {seen.path.name} has no metadata.json, so nothing says when it was made")
    uid = (about.get("cluster") or {}).get("uid", "")
    ours = uid == cluster.capabilities.uid
    told = f"the cluster with the uid {uid}" + ("" if ours else ", which is another one")
    judge.that(ours, "origin", seen=told, remedy="name a backup of this cluster")
    try:
        made = [datetime.fromisoformat(str(about[key])).timestamp() for key in ("started", "completed")]
    except (KeyError, ValueError) as error:
        judge.bad("age", seen=f"metadata.json does not say when it was made ({error})", remedy=ANEW)
        return
    now = _clock.epoch()
    if made[0] > now + 1:
        ahead = f"it is {made[0] - now:.0f} s newer than now: a clock is wrong, or the file is"
        judge.bad("age", seen=ahead, remedy="set the clocks by NTP")
        return
    # Not a point in time: its age counts from the beginning.
    age = Interval(max(0.0, now - made[1]), max(0.0, now - made[0]))
    within(judge, "age", age, plan.max_age, "make backups more often")


def complete(judge: Judge, seen: Subject) -> None:
    """Each object of the cluster is in the backup as it is; what was made or changed since the backup began is left
    out."""
    began = seen.good.about.get("started")
    since = datetime.fromisoformat(began).timestamp() if began else None
    fresh = {
        key
        for key, obj in seen.live.items()
        # Times of objects have whole seconds.
        if since is not None and rules.changed(obj) >= since - 1
    }
    wanted = {key: obj for key, obj in seen.live.items() if key not in fresh}
    there = {key: obj for key, obj in seen.good.objects.items() if key not in fresh}
    found = completeness.compare(wanted, there)
    for kind, reason in seen.unlisted.items():
        judge.unsure(f"kind {kind}", f"it could not be read: {reason}")
    for key in sorted(fresh):
        judge.skip(key, "changed since the backup began")
    completeness.report(judge, found, extra_allowed=True, remedy="have the backup read this object as well")


def restores(judge: Judge, seen: Subject, scratch: Cluster) -> None:
    """Restored into an empty cluster, every object is there and equal."""
    clock = _clock.Deadline(0)
    done = restore.restore(seen.good, scratch)
    there, unlisted = backups.inventory(scratch)
    judge.measure("restored and read", clock.spent, "s")
    found = completeness.compare(seen.good.objects, there, unlisted)
    for key, said in done.refused.items():
        judge.bad(key, seen=f"refused: {said}", remedy="let the backup bring what the object needs")
    completeness.report(judge, found, extra_allowed=True, remedy="let the backup bring what the object needs")
