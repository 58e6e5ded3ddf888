"""What one tenant leaves on a volume."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import volumes


@check(
    "TEN-VOL-001",
    "Nothing that a tenant wrote on a volume is there for the next one",
    severity="critical",
    impact="disrupt",
    why="A volume that is kept and handed on carries the data of who had it before, deleted claim or not.",
    remedy="Use reclaimPolicy Delete; have retained volumes wiped before their claimRef is cleared.",
    controls=["NIST-800-53r5:MP-6", "NIST-800-53r5:SC-4", "SOC2:CC6.5", "ISO-27001:A.8.10", "PCI-4:3.2", "CIS-K8s:5.7"],
    requires=["nodes:real"],
)
def test_volumes_come_clean(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    volumes.judge_leavings(judge, cluster, tenants)
