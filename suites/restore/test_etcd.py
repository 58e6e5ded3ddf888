"""etcd: a snapshot is whole and current, and a cluster that is restored from it is as it was."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.recovery.etcd import judging
from pytest_k8sha.recovery.etcd.drill import Drill, Taken
from pytest_k8sha.recovery.plan import Plan

BACKUP = ["SOC2:A1.2", "ISO-27001:A.8.13", "NIST-800-53r5:CP-9", "DORA:12"]
RESTORE = ["SOC2:A1.3", "ISO-27001:A.8.13", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "NIST-800-53r5:CP-10", "DORA:12"]


@check(
    "RST-ETC-001",
    "A snapshot of etcd is whole, and restores",
    severity="critical",
    impact="observe",
    why="`snapshot status` finds nothing wrong with a snapshot that a restore refuses; that is learned in a disaster.",
    remedy=f"T{judging.ANEW[1:]}.",
    controls=BACKUP,
)
def test_a_snapshot_is_whole(etcd_snapshot: Taken, judge: Judge) -> None:
    judging.whole(judge, etcd_snapshot)


@check(
    "RST-ETC-002",
    "A snapshot of etcd is of this cluster and current, by what it holds",
    severity="high",
    impact="observe",
    why="The date of a file says when it was copied. An old snapshot brings back deleted secrets and lost volumes.",
    remedy="Take snapshots on a schedule shorter than the objective, and look at what arrives.",
    controls=BACKUP,
)
def test_a_snapshot_is_current(cluster: Cluster, etcd_snapshot: Taken, restore_plan: Plan, judge: Judge) -> None:
    judging.current(judge, cluster, etcd_snapshot, restore_plan.etcd)


@check(
    "RST-ETC-003",
    "A restored etcd holds every key as it was, on every member",
    severity="critical",
    impact="disrupt",
    why="A member that was restored alone serves another state than the others, and each read is a matter of luck.",
    remedy="Restore every member from the same snapshot, as one new cluster.",
    controls=RESTORE,
    requires=["storage:etcd"],
)
def test_every_key_is_restored(etcd_drill: Drill, judge: Judge) -> None:
    judging.equal(judge, etcd_drill)


@check(
    "RST-ETC-004",
    "After a restore of etcd, watches from before the disaster end with an error",
    severity="critical",
    impact="disrupt",
    why="Revisions that are used twice leave every informer at the old state, without an event and without an error.",
    remedy="Restore with `--bump-revision 1000000000 --mark-compacted`.",
    controls=RESTORE,
    requires=["storage:etcd"],
)
def test_old_watches_are_ended(etcd_drill: Drill, judge: Judge) -> None:
    judging.ahead(judge, etcd_drill)


@check(
    "RST-ETC-005",
    "After a restore of etcd, every API server gives the same lists, from etcd and from memory",
    severity="high",
    impact="disrupt",
    why="An API server that was not restarted serves what it remembers, and controllers act on it.",
    remedy="Restart every API server after the restore.",
    controls=RESTORE,
    requires=["storage:etcd"],
)
def test_lists_agree(etcd_drill: Drill, judge: Judge) -> None:
    judging.agreeing(judge, etcd_drill)


@check(
    "RST-ETC-006",
    "After a restore of etcd, workloads run and new ones start",
    severity="high",
    impact="disrupt",
    why="An API that answers is not a cluster that works: controllers and scheduler must have found their way back.",
    remedy="Restart the controller managers and the schedulers after the restore.",
    controls=RESTORE,
    requires=["storage:etcd"],
)
def test_workloads_converge(etcd_drill: Drill, judge: Judge) -> None:
    judging.converging(judge, etcd_drill)


@check(
    "RST-ETC-007",
    "A restore of etcd loses no more than the objective allows, and alters nothing",
    severity="critical",
    impact="disrupt",
    why="What was written after the snapshot is gone; how much that is, nobody knows who has not measured it.",
    remedy="Take snapshots more often.",
    controls=RESTORE,
    requires=["storage:etcd"],
)
def test_little_is_lost(etcd_drill: Drill, restore_plan: Plan, judge: Judge) -> None:
    judging.little_lost(judge, etcd_drill, restore_plan.objectives)


@check(
    "RST-ETC-008",
    "A restore of etcd is done in time",
    severity="high",
    impact="disrupt",
    why="A recovery time that was never measured is a hope.",
    remedy="Rehearse the restore until it fits the objective, or change the objective.",
    controls=RESTORE,
    requires=["storage:etcd"],
)
def test_the_restore_is_in_time(etcd_drill: Drill, restore_plan: Plan, judge: Judge) -> None:
    judging.soon_back(judge, etcd_drill, restore_plan.objectives)
