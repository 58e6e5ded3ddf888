"""What a pod sees of its node."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import view


@check(
    "TEN-POV-001",
    "No pod of a tenant sees the node's processes, whatever its people try",
    severity="critical",
    impact="exercise",
    promises=["pod-security"],
    why="The node's processes are everybody's: their environment and their open files hold the neighbours' secrets.",
    remedy="Label the tenant's namespaces pod-security.kubernetes.io/enforce=baseline at least, and leave the labels "
    "to the platform.",
    controls=["NIST-800-53r5:CM-7", "NIST-800-53r5:SC-39", "SOC2:CC6.8", "ISO-27001:A.8.9", "PCI-4:2.2", "CIS-K8s:5.2"],
    requires=["nodes:real"],
)
def test_processes_of_the_node_are_hidden(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    view.judge_processes(judge, cluster, tenants)
