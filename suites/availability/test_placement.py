"""Replicas: how many, where they are meant to run, and where they run. Read-only."""

from pytest_k8sha import Judge, check
from pytest_k8sha.workloads import spread, wiring
from pytest_k8sha.workloads.model import Inventory, report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]


@check(
    "AVL-WRK-001",
    "No workload depends on a single replica",
    severity="high",
    impact="observe",
    why="A single replica is an outage at every node failure, drain and update.",
    remedy="Run two replicas at least; a program that must be alone needs leader election, or a documented exception.",
    controls=REDUNDANCY,
)
def test_more_than_one_replica(inventory: Inventory, judge: Judge) -> None:
    report(judge, wiring.replicas(inventory, 2))


@check(
    "AVL-WRK-002",
    "A workload has three replicas, so that one may fail while another is drained",
    severity="low",
    impact="observe",
    why="With two replicas, a failure during an update or a drain leaves none.",
    remedy="Run three replicas, one in each zone.",
    controls=REDUNDANCY,
)
def test_three_replicas(inventory: Inventory, judge: Judge) -> None:
    report(judge, wiring.replicas(inventory, 3))


@check(
    "AVL-SPR-001",
    "The scheduler is bound to spread replicas over nodes and zones",
    severity="medium",
    impact="observe",
    why="What is only a wish, or selects the wrong pods, is dropped when it is inconvenient: all replicas on one node.",
    remedy="Use topologySpreadConstraints with whenUnsatisfiable: DoNotSchedule on hostname and zone.",
    controls=REDUNDANCY,
)
def test_spread_is_asked_for(inventory: Inventory, judge: Judge) -> None:
    report(judge, spread.wishes(inventory))


@check(
    "AVL-SPR-002",
    "A spread that binds leaves room for the replacement of a lost replica",
    severity="medium",
    impact="observe",
    why="A lost zone that counts as an empty one keeps every replacement Pending until it is back.",
    remedy="Set nodeTaintsPolicy: Honor in topologySpreadConstraints that bind.",
    controls=REDUNDANCY,
)
def test_lost_replicas_can_be_replaced(inventory: Inventory, judge: Judge) -> None:
    report(judge, spread.replaceable(inventory))


@check(
    "AVL-PLC-001",
    "Replicas really run on two nodes and in two zones",
    severity="high",
    impact="observe",
    why="What counts is where the scheduler put them: three replicas on one node are one replica.",
    remedy="Spread them, then restart the rollout so that they are placed anew.",
    controls=REDUNDANCY,
)
def test_replicas_are_apart(inventory: Inventory, judge: Judge) -> None:
    report(judge, spread.placement(inventory))


@check(
    "AVL-PLC-002",
    "The loss of any one node or zone leaves as many ready replicas as the service needs",
    severity="high",
    impact="observe",
    why="Nodes and zones fail; what remains must carry the service until replacements are ready.",
    remedy="Run more replicas and spread them.",
    controls=REDUNDANCY,
)
def test_a_lost_node_or_zone_is_survived(inventory: Inventory, judge: Judge) -> None:
    report(judge, spread.losses(inventory))
