"""Priority on a full node."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import preempt


@check(
    "TEN-PRI-001",
    "On a full node no priority that a tenant may use evicts a neighbour's pod",
    severity="high",
    impact="disrupt",
    promises=["quota"],
    why="Preemption ends running pods of whoever has the lower class: a tenant that may use a high one takes the place "
    "of its neighbours as soon as the cluster is full, and within its quota.",
    remedy="Give classes for tenants preemptionPolicy: Never, and set pods to 0 in a ResourceQuota that is scoped to "
    "each class that they must not use.",
    controls=["NIST-800-53r5:SC-5", "NIST-800-53r5:SC-6", "SOC2:A1.1", "ISO-27001:A.8.6", "DORA:7"],
    requires=["nodes:real"],
)
def test_priority_evicts_no_neighbour(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    preempt.judge_preemption(judge, cluster, tenants)
