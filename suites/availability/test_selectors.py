"""What points at workloads points at something: selectors, autoscalers, headless Services. Read-only."""

from pytest_k8sha import Judge, check
from pytest_k8sha.workloads import wiring
from pytest_k8sha.workloads.model import Inventory, report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]
CAPACITY = ["SOC2:A1.1", "ISO-27001:A.8.6", "NIST-800-53r5:SC-5", "NIST-800-53r5:SC-6", "DORA:7"]


@check(
    "AVL-SEL-001",
    "Every Service and every disruption budget selects pods",
    severity="high",
    impact="observe",
    why="A selector with a slip of the pen is valid YAML: the Service has no endpoint, the budget protects nothing.",
    remedy="Make the selector equal to the labels of the pods.",
    controls=REDUNDANCY,
)
def test_selectors_find_pods(inventory: Inventory, judge: Judge) -> None:
    report(judge, wiring.selectors(inventory))


@check(
    "AVL-STS-001",
    "Every StatefulSet names a headless Service that selects its pods",
    severity="medium",
    impact="observe",
    why="Without it the members of a database do not find each other by name, and failover finds no new primary.",
    remedy="Make the headless Service that spec.serviceName names.",
    controls=REDUNDANCY,
)
def test_stateful_sets_have_names(inventory: Inventory, judge: Judge) -> None:
    report(judge, wiring.stateful_services(inventory))


@check(
    "AVL-HPA-001",
    "Every autoscaler has a target, keeps two replicas, can grow, and can measure",
    severity="medium",
    impact="observe",
    why="An autoscaler without target, range or requests does nothing on the day it is needed.",
    remedy="Correct the target, the range or the requests that are named.",
    controls=CAPACITY,
)
def test_autoscalers_can_work(inventory: Inventory, judge: Judge) -> None:
    report(judge, wiring.autoscalers(inventory))
