"""The promises of the BIA file: they fit together, the strategies can keep them, and they were kept."""

from pytest_k8sha import Judge, check
from pytest_k8sha.recovery import promises
from pytest_k8sha.recovery.plan import Plan

CONTINUITY = ["ISO-22301:8.2.2", "ISO-22301:8.3", "SOC2:A1.3", "NIST-800-34:3.2", "NIST-800-53r5:CP-2", "DORA:11"]


@check(
    "RST-BIA-001",
    "No service promises to recover sooner than what it depends on",
    severity="high",
    impact="observe",
    why="A shop that is to be back in 15 minutes on a database that takes four hours is back in four hours.",
    remedy="Let the dependency recover sooner, or promise less.",
    controls=CONTINUITY,
)
def test_promises_fit_together(restore_plan: Plan, judge: Judge) -> None:
    promises.fitting(judge, promises.loaded(restore_plan.bia))


@check(
    "RST-BIA-002",
    "The recovery strategy of each service can keep what it promises",
    severity="high",
    impact="observe",
    why="Nobody restores a backup in five minutes; a promise of that wants a standby.",
    remedy="Choose a strategy that is further along, or promise less.",
    controls=CONTINUITY,
)
def test_strategies_suffice(restore_plan: Plan, judge: Judge) -> None:
    promises.feasible(judge, promises.loaded(restore_plan.bia))


@check(
    "RST-BIA-003",
    "The recoveries that earlier runs measured keep the strictest promise",
    severity="high",
    impact="observe",
    why="An objective is met when it was measured, not when it was written down.",
    remedy="Rehearse the recovery until it fits, or promise less.",
    controls=CONTINUITY,
)
def test_promises_were_kept(restore_plan: Plan, judge: Judge) -> None:
    promises.kept(judge, promises.loaded(restore_plan.bia), restore_plan.records)


@check(
    "RST-BIA-004",
    "The availability that follows from measured recoveries keeps what is promised",
    severity="medium",
    impact="observe",
    why="Three nines are 43 minutes a month; one restore of an hour has used them up.",
    remedy="Recover sooner, fail less often, or promise less.",
    controls=CONTINUITY,
)
def test_availability_was_kept(restore_plan: Plan, judge: Judge) -> None:
    promises.available(judge, promises.loaded(restore_plan.bia), restore_plan.records, restore_plan.observed)
