"""Object stores: the newest backup, the history, and how they are kept. Read-only."""

from pytest_k8sha import Judge, check
from pytest_k8sha.recovery.objects import judging
from pytest_k8sha.recovery.objects.judging import Stock

BACKUP = ["SOC2:A1.2", "ISO-27001:A.8.13", "NIST-800-53r5:CP-9", "NIST-800-53r5:CP-6", "DORA:12"]


@check(
    "RST-OBJ-001",
    "The newest backup in each store is young enough",
    severity="critical",
    impact="observe",
    why="A backup job that stopped says nothing; the store is where it shows.",
    remedy="Find out why the job stopped, and have its silence alert somebody.",
    controls=BACKUP,
)
def test_the_newest_backup_is_young(object_stores: list[Stock], judge: Judge) -> None:
    judging.table(judge, object_stores)
    judging.fresh(judge, object_stores)


@check(
    "RST-OBJ-002",
    "The newest backup in each store is of a usual size",
    severity="high",
    impact="observe",
    why="A dump that failed half-way leaves a file with the right name and nothing in it.",
    remedy="Look into the newest backup, and have the job fail when its program fails.",
    controls=BACKUP,
)
def test_the_newest_backup_is_no_stump(object_stores: list[Stock], judge: Judge) -> None:
    judging.large(judge, object_stores)


@check(
    "RST-OBJ-003",
    "The backups in each store reach back far enough, without a gap",
    severity="medium",
    impact="observe",
    why="Damage that is noticed after two weeks needs a backup of three weeks ago.",
    remedy="Keep backups longer, and see why some are missing.",
    controls=BACKUP,
)
def test_backups_are_kept(object_stores: list[Stock], judge: Judge) -> None:
    judging.kept(judge, object_stores)


@check(
    "RST-OBJ-004",
    "Each store keeps its backups encrypted, versioned and locked, as the plan wants",
    severity="high",
    impact="observe",
    why="Whoever encrypts a company for a ransom begins with its backups.",
    remedy="Switch default encryption, versioning and object lock on for the bucket.",
    controls=BACKUP,
)
def test_backups_are_protected(object_stores: list[Stock], judge: Judge) -> None:
    judging.cared(judge, object_stores)
