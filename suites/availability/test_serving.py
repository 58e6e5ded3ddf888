"""What a Service does with a pod that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.chaos.serving import removal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.workloads.model import Inventory

RECOVERY = ["SOC2:A1.2", "SOC2:A1.3", "ISO-27001:A.8.14", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "DORA:11"]


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
