"""The cluster's name server: where its pods are, and what becomes of questions when one of them is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.chaos.serving import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.chaos.serving.objectives import Demand


@check(
    "AVL-DNS-001",
    "The name server runs on two nodes or more",
    severity="high",
    impact="observe",
    why="Nothing in a cluster finds anything without names; kubeadm puts both of its pods on the first node.",
    remedy="Two replicas with a topologySpreadConstraint on kubernetes.io/hostname; restart the Deployment once.",
    controls=["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"],
    requires=["nodes:real", "nodes>=2"],
)
def test_names_are_served_on_two_nodes(cluster: Cluster, judge: Judge) -> None:
    names.judge_places(cluster, judge)


@check(
    "AVL-DNS-002",
    "Names are found while a pod of the name server is lost",
    severity="high",
    impact="disrupt",
    why="A pod of the name server is lost at every drain, and every program asks it.",
    remedy="Run two replicas or more, on two nodes; a node-local cache bridges what is left.",
    controls=["SOC2:A1.2", "SOC2:A1.3", "ISO-27001:A.8.14", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "DORA:11"],
    requires=["nodes:real"],
)
def test_names_are_found_without_one_pod(cluster: Cluster, demands: Mapping[str, Demand], judge: Judge) -> None:
    names.lose_pod(cluster, judge, demands["names"])
