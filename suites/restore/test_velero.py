"""Velero: what is in its backups, and how they came to be."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.recovery.plan import Plan
from pytest_k8sha.recovery.velero import judging, trial
from pytest_k8sha.recovery.velero.stored import Stored

BACKUP = ["SOC2:A1.2", "ISO-27001:A.8.13", "NIST-800-53r5:CP-9", "DORA:12"]


@check(
    "RST-VEL-001",
    "Every object of the namespaces is in the backup of Velero, as it is",
    severity="critical",
    impact="observe",
    why="`Completed` says that Velero visited what it found; a kind that it did not know is no error to it.",
    remedy="Have the backup include the object, or name its kind in the restore plan as left out on purpose.",
    controls=BACKUP,
)
def test_a_velero_backup_is_complete(cluster: Cluster, velero_backup: Stored, restore_plan: Plan, judge: Judge) -> None:
    assert restore_plan.velero is not None
    judging.complete(judge, cluster, velero_backup, restore_plan.velero)


@check(
    "RST-VEL-002",
    "The backup of Velero ended well, is young and kept, and its storage location is available",
    severity="high",
    impact="observe",
    why="A storage location that is away, a failed hook, an expired backup: nobody sees them who does not look.",
    remedy="Read the backup's log and the status of the storage location.",
    controls=BACKUP,
)
def test_a_velero_backup_is_sound(cluster: Cluster, velero_backup: Stored, restore_plan: Plan, judge: Judge) -> None:
    assert restore_plan.velero is not None
    judging.sound(judge, cluster, velero_backup, restore_plan.velero)


@check(
    "RST-VEL-003",
    "Velero restores its backup into scratch namespaces, object by object",
    severity="critical",
    impact="disrupt",
    why="Velero counts what it visited as restored; what was refused or left is a line in a log.",
    remedy="See why the object was not restored: the log of the restore, admission, a kind that is not there.",
    controls=["SOC2:A1.3", "ISO-27001:A.8.13", "NIST-800-53r5:CP-4", "NIST-800-53r5:CP-10", "DORA:12"],
)
def test_a_velero_backup_restores(cluster: Cluster, velero_backup: Stored, restore_plan: Plan, judge: Judge) -> None:
    assert restore_plan.velero is not None
    trial.restores(judge, cluster, velero_backup, restore_plan.velero)
