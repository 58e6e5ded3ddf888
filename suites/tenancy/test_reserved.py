"""Nodes that are not for tenants."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import placement


@check(
    "TEN-NOD-001",
    "No pod of a tenant runs on a node that is reserved",
    severity="high",
    impact="exercise",
    promises=["policies"],
    why="A taint keeps out only who does not tolerate it, and every pod may tolerate everything; nodeName does not "
    "even ask. On the control plane's node an escape from the container is an escape from the cluster.",
    remedy="Bind a policy that refuses nodeName and tolerations that are not the tenant's own "
    "(fixtures/policies/placement.yaml).",
    controls=[
        "NIST-800-53r5:SC-39",
        "NIST-800-53r5:CM-7",
        "SOC2:CC6.8",
        "ISO-27001:A.8.22",
        "PCI-4:2.2",
        "CIS-K8s:5.7",
    ],
    requires=["nodes:real"],
)
def test_reserved_nodes_stay_reserved(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    placement.judge_reserved(judge, cluster, tenants)
