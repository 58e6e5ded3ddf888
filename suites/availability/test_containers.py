"""Pods: probes, shutdown, resources, images. Read-only."""

from pytest_k8sha import Judge, check
from pytest_k8sha.workloads import containers
from pytest_k8sha.workloads.model import Inventory, report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]
CAPACITY = ["SOC2:A1.1", "ISO-27001:A.8.6", "NIST-800-53r5:SC-5", "NIST-800-53r5:SC-6", "DORA:7"]


@check(
    "AVL-PRB-001",
    "The container that serves has a readiness, a liveness and a startup probe",
    severity="medium",
    impact="observe",
    why="Without readiness a broken pod gets traffic and a rollout goes on; without liveness a stuck one stays.",
    remedy="Probe the container that serves, not its sidecar.",
    controls=REDUNDANCY,
)
def test_serving_containers_are_probed(inventory: Inventory, judge: Judge) -> None:
    report(judge, containers.probes(inventory))


@check(
    "AVL-PRB-002",
    "Liveness does not kill what readiness would only take out of service",
    severity="high",
    impact="observe",
    why="When both ask the same, a slow dependency restarts every replica at once instead of letting them wait.",
    remedy="Let liveness ask whether the process itself is stuck, or let it be slower than readiness.",
    controls=REDUNDANCY,
)
def test_liveness_is_not_readiness(inventory: Inventory, judge: Judge) -> None:
    report(judge, containers.distinct_probes(inventory))


@check(
    "AVL-WRK-003",
    "A pod that serves waits before it stops, and then has time to finish",
    severity="medium",
    impact="observe",
    why="Load balancers learn of the end of a pod later than the pod does: each update and drain then loses requests.",
    remedy="Add a preStop of 5 to 15 seconds, and a terminationGracePeriodSeconds well above it.",
    controls=REDUNDANCY,
)
def test_pods_stop_gently(inventory: Inventory, judge: Judge) -> None:
    report(judge, containers.shutdown(inventory))


@check(
    "AVL-WRK-004",
    "Every container requests CPU and memory and has a memory limit",
    severity="medium",
    impact="observe",
    why="Without requests the scheduler overfills nodes, and these pods are the first to be killed under pressure.",
    remedy="Set requests to what was seen to be used, and a memory limit.",
    controls=CAPACITY,
)
def test_resources_are_declared(inventory: Inventory, judge: Judge) -> None:
    report(judge, containers.resources(inventory))


@check(
    "AVL-WRK-005",
    "Every image is pinned by a tag other than latest, or by a digest",
    severity="medium",
    impact="observe",
    why="A pod that is replaced at night runs another version than its neighbours, and no rollback takes it back.",
    remedy="Name a version, best of all a digest.",
    controls=REDUNDANCY,
)
def test_images_are_pinned(inventory: Inventory, judge: Judge) -> None:
    report(judge, containers.images(inventory))
