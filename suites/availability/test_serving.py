"""What users feel: traffic goes on while pods are updated, deleted, killed and silenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.chaos.serving import removal, update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.workloads.model import Inventory

RECOVERY = ["SOC2:A1.2", "SOC2:A1.3", "ISO-27001:A.8.14", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "DORA:11"]


@check(
    "AVL-SRV-001",
    "A rollout and its rollback lose no request",
    severity="high",
    impact="disrupt",
    why="Every release, and every repair of one, is otherwise a small outage that users see and nobody counts.",
    remedy="RollingUpdate with maxUnavailable: 0, a readiness probe, a preStop of some seconds and a longer grace.",
    controls=RECOVERY,
    requires=["nodes:real"],
)
def test_updates_lose_no_request(
    cluster: Cluster, present: Inventory, demands: Mapping[str, Demand], judge: Judge
) -> None:
    update.update(cluster, judge, present, demands["update"])


@check(
    "AVL-SRV-003",
    "A deleted pod is replaced in time, and its users feel nothing",
    severity="high",
    impact="disrupt",
    why="Pods are deleted every day: by autoscalers, by evictions, by hand.",
    remedy="Run two replicas or more; give pods a preStop and a grace in which their last requests end.",
    controls=RECOVERY,
    requires=["nodes:real"],
)
def test_a_deleted_pod_is_not_missed(
    cluster: Cluster, present: Inventory, demands: Mapping[str, Demand], judge: Judge
) -> None:
    removal.remove(cluster, judge, present, demands["delete"])


@check(
    "AVL-SRV-005",
    "A killed container runs again in time, and its users feel it only for a moment",
    severity="medium",
    impact="disrupt",
    why="A process that crashes, or runs out of memory, must cost a few requests, not the service.",
    remedy="Run two replicas or more, and let readiness be asked often, so that the broken one is left out at once.",
    controls=RECOVERY,
    requires=["nodes:real", "faults:containers"],
)
def test_a_killed_container_is_not_missed(
    cluster: Cluster, present: Inventory, demands: Mapping[str, Demand], judge: Judge
) -> None:
    removal.remove(cluster, judge, present, demands["kill"], action="container-kill")


@check(
    "AVL-PRB-003",
    "A pod that does not answer leaves its Service in time, and comes back as it was",
    severity="high",
    impact="disrupt",
    why="A pod that is silent and still in its Service answers nothing to its share of the users.",
    remedy="Give the container that serves a readinessProbe that asks it, and a livenessProbe that is slower.",
    controls=RECOVERY,
    requires=["nodes:real", "faults:containers"],
)
def test_a_silent_pod_is_left_out(
    cluster: Cluster, present: Inventory, demands: Mapping[str, Demand], judge: Judge
) -> None:
    removal.unready(cluster, judge, present, demands["unready"])
