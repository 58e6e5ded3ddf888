"""The cluster repairs itself: a leader and a node are taken away, and given back."""

from collections.abc import Mapping

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.probes import node_loss, takeover
from pytest_k8sha.workloads.model import Inventory

RECOVERY = ["SOC2:A1.2", "SOC2:A1.3", "ISO-27001:A.8.14", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "DORA:11"]


@check(
    "AVL-LDR-002",
    "When a leader dies another one leads in time, and work goes on",
    severity="high",
    impact="disrupt",
    why="While nobody leads no pod is scheduled and no lost pod replaced: a second failure then becomes an outage.",
    remedy="Run the scheduler and the controller manager on three members, with leader election.",
    controls=RECOVERY,
    requires=["faults:members"],
)
def test_a_dead_leader_is_replaced(cluster: Cluster, namespace: str, judge: Judge, goals: Mapping[str, float]) -> None:
    found = takeover.candidates(cluster, judge, goals["takeover"])
    if found:
        takeover.replace(cluster, judge, namespace, found)


@check(
    "AVL-NOD-001",
    "The pods of a lost node are evicted and replaced in time",
    severity="high",
    impact="disrupt",
    why="A pod that stays on a lost node is capacity that is missing until somebody notices.",
    remedy="Give tolerations a key or tolerationSeconds; leave replacements a node that they may run on.",
    controls=RECOVERY,
    requires=["faults:heartbeat", "nodes>=2"],
)
def test_a_lost_node_is_made_up_for(cluster: Cluster, namespace: str, present: Inventory, judge: Judge) -> None:
    node_loss.lose(cluster, judge, namespace, present)
