"""Into the neighbour's running pods, by connections that are really opened."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import reach


@check(
    "TEN-RCH-001",
    "Nobody of a tenant gets into a neighbour's running pod",
    severity="critical",
    impact="exercise",
    why="What the authoriser says of a request that opens nothing is not yet what happens to one that does: a "
    "connection is authorised again when it is upgraded, and a proxy in front may do without.",
    remedy="Remove the pods subresources from roles that are bound beyond the tenant's own namespaces.",
    controls=["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-6", "SOC2:CC6.1", "ISO-27001:A.5.15", "PCI-4:7.2", "CIS-K8s:5.1"],
    requires=["nodes:real"],
)
def test_running_pods_are_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    reach.judge_running(judge, cluster, tenants)
