"""Manifest backups: they read, they are whole, and an empty cluster becomes the same again from them."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.recovery.manifests import judging
from pytest_k8sha.recovery.manifests.judging import Subject
from pytest_k8sha.recovery.plan import Plan

BACKUP = ["SOC2:A1.2", "ISO-27001:A.8.13", "NIST-800-53r5:CP-9", "DORA:12"]
RESTORE = ["SOC2:A1.3", "ISO-27001:A.8.13", "NIST-800-53r5:CP-4", "NIST-800-53r5:CP-10", "DORA:12"]


@check(
    "RST-MAN-001",
    "A manifest backup reads without a mistake and holds every kind that it must",
    severity="critical",
    impact="observe",
    why="A key that is given twice, a file that was cut, a kind that nobody thought of: each is found in the disaster.",
    remedy=f"M{judging.ANEW[1:]}.",
    controls=BACKUP,
)
def test_a_backup_reads(manifest_backup: Subject, restore_plan: Plan, judge: Judge) -> None:
    judging.readable(judge, manifest_backup, restore_plan.manifests)


@check(
    "RST-MAN-002",
    "The API server takes every object of a manifest backup as it is",
    severity="high",
    impact="rehearse",
    why="A field that the server does not know is dropped without a word, and the object is another one.",
    remedy="Correct the field that the finding names.",
    controls=BACKUP,
)
def test_every_object_is_accepted(cluster: Cluster, manifest_backup: Subject, judge: Judge) -> None:
    judging.accepted(judge, cluster, manifest_backup)


@check(
    "RST-MAN-003",
    "Every object of the cluster is in the manifest backup, as it is",
    severity="critical",
    impact="observe",
    why="What is not in the backup does not come back, and nobody misses it before.",
    remedy="Have the backup read every kind in every namespace.",
    controls=BACKUP,
)
def test_a_backup_is_complete(manifest_backup: Subject, judge: Judge) -> None:
    judging.complete(judge, manifest_backup)


@check(
    "RST-MAN-004",
    "A manifest backup restores into an empty cluster, object by object",
    severity="critical",
    impact="observe",
    why="Only a restore shows that the backup brings everything that its objects need.",
    remedy="Add what the refused or missing object needs, such as the definition of its kind.",
    controls=RESTORE,
)
def test_a_backup_restores(manifest_backup: Subject, scratch: Cluster, judge: Judge) -> None:
    judging.restores(judge, manifest_backup, scratch)


@check(
    "RST-MAN-005",
    "A manifest backup is of this cluster and young enough",
    severity="high",
    impact="observe",
    why="Backups stop without a word: the last one that worked may be of last year.",
    remedy="Make backups on a schedule, and look at the age of the newest.",
    controls=BACKUP,
)
def test_a_backup_is_current(cluster: Cluster, manifest_backup: Subject, restore_plan: Plan, judge: Judge) -> None:
    judging.current(judge, cluster, manifest_backup, restore_plan.manifests)
