"""What a snapshot and a restore are worth, put before the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.recovery.etcd import drill, moment
from pytest_k8sha.recovery.history import PARTS
from pytest_k8sha.recovery.objective import within

if TYPE_CHECKING:
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.recovery.etcd.drill import Drill, Taken
    from pytest_k8sha.recovery.plan import EtcdPlan, Objectives

ANEW = "take the snapshot anew with `etcdctl snapshot save`, and copy it whole; a copy of the data folder is none"


def whole(judge: Judge, taken: Taken) -> None:
    """The trailer is right, and the trial restore gives a store that holds something."""
    name = f"snapshot {taken.path.name}"
    trailer = taken.integrity.problem
    judge.that(not trailer, name, seen=trailer or f"{taken.integrity.size} bytes, as their SHA-256 says", remedy=ANEW)
    judge.that(
        not taken.refused,
        f"trial restore of {taken.path.name}",
        seen=taken.refused or f"{len(taken.content)} keys up to revision {taken.revision}",
        remedy=ANEW,
    )
    if taken.good:
        judge.control(len(taken.content) > 0, "the restored store holds the keys of a cluster")


def current(judge: Judge, cluster: Cluster, taken: Taken, plan: EtcdPlan) -> None:
    """The snapshot is of this cluster and its content is young enough."""
    if not taken.good:
        raise Inconclusive("the snapshot cannot be restored, so nothing is known of what it holds")
    name = f"snapshot {taken.path.name}"
    ours = moment.uid_of(taken.content, cluster.capabilities.uid)
    told = "it holds the kube-system namespace of this very cluster" if ours else "it is of another cluster"
    if plan.foreign:
        judge.skip(f"{name}: origin", "the plan says that it may be of another cluster")
    else:
        judge.that(ours, f"{name}: origin", seen=told, remedy="name a snapshot of this cluster in the restore plan")
    age = drill.age(cluster, taken)
    within(judge, f"{name}: age", age, plan.max_age, "take snapshots more often, and see that they arrive")


def equal(judge: Judge, found: Drill) -> None:
    """Every member holds what the snapshot holds, and the snapshot what the source held."""
    if found.source is not None:
        seen = (
            str(found.source) if found.source else f"every key is as in the source at revision {found.taken.revision}"
        )
        judge.that(not found.source, "the snapshot", seen=seen, remedy=ANEW)
    for member in found.members:
        good = not member.difference and member.digest == found.digest
        seen = f"{len(found.taken.content)} keys, SHA-256 {member.digest[:16]}" if good else str(member.difference)
        judge.that(good, member.name, seen=seen, remedy="restore every member from the same snapshot, as one cluster")


def ahead(judge: Judge, found: Drill) -> None:
    """The revision is beyond the disaster, and a watch from before it is told so."""
    remedy = "restore with `--bump-revision 1000000000 --mark-compacted`"
    for member in found.members:
        judge.that(
            member.revision > found.revision,
            f"{member.name}: revision",
            seen=f"{member.revision} after the restore, {found.revision} before the disaster",
            remedy=remedy,
        )
        silent = "no event and no error: an informer would stay at the old state and never know"
        told = f"it was ended by the compaction at {member.watch.compacted}"
        behind = f"{member.watch.events} events as if nothing had happened" if member.watch.events else silent
        judge.that(
            member.watch.compacted > 0,
            f"{member.name}: a watch from revision {found.revision + 1}",
            seen=told if member.watch.compacted else behind,
            remedy=remedy,
        )


def agreeing(judge: Judge, found: Drill) -> None:
    """Every API server gives the same lists, from etcd and from its memory."""
    if not found.servers:
        raise Inconclusive(found.trouble or "no API server could be asked")
    if judge.control(found.listed > 0, "the lists hold objects"):
        for line in found.disagreements:
            judge.bad("lists", seen=line, remedy="restore every member, and restart every API server")
        if not found.disagreements:
            seen = f"{found.listed} objects, the same from etcd and from memory on {found.servers} API servers"
            judge.ok("lists", seen)


def converging(judge: Judge, found: Drill) -> None:
    """What ran before runs again, and something new can be started."""
    remedy = "restart the controller managers and schedulers after the restore; read their logs"
    for line in found.missing:
        judge.bad("workload from before the snapshot", seen=line, remedy=remedy)
    if not found.missing and found.workloads:
        judge.ok("workload from before the snapshot", "ready")
    if found.canary:
        judge.ok("new workload", f"its pod was placed on {found.canary}")
    else:
        judge.bad("new workload", seen=found.trouble or "no pod was placed", remedy=remedy)


def little_lost(judge: Judge, found: Drill, objectives: Objectives) -> None:
    """The data end close enough before the disaster, and what came back is as it was written."""
    loss = found.loss
    rpo = loss.rpo(found.inject)
    judge.measure("writes acknowledged", loss.acknowledged, "writes")
    judge.measure("writes lost", len(loss.lost), "writes")
    judge.that(
        not loss.altered, "what came back", seen=str(loss), remedy="no rollback explains this: compare the members"
    )
    within(judge, "RPO", rpo, objectives.rpo, "take snapshots more often")


def soon_back(judge: Judge, found: Drill, objectives: Objectives) -> None:
    """The API serves again in time, by an open-loop probe."""
    if found.rto is None:
        raise Inconclusive("no request of the probe failed during the restore, so there was no outage to measure")
    within(judge, "RTO", found.rto, objectives.rto, "rehearse the restore, and have its commands ready")
    if found.rta is not None:
        for part in PARTS:
            value = getattr(found.rta, part)
            judge.measure(f"RTA {part}", value.hi, "s", value.lo, value.hi)
