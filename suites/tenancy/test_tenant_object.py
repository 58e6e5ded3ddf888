"""Tenants that are objects of the API: what the object says is so, and what its status says is true."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import tenant_object


@check(
    "TEN-OBJ-001",
    "Each namespace of a tenant holds what the tenant's object says",
    severity="high",
    impact="observe",
    promises=["object"],
    why="The object is what people read and auditors are shown; a controller that leaves a part of it out leaves a "
    "hole that nobody looks for.",
    remedy="See the controller's log for this tenant; compare the version of the CRD with the controller's.",
    controls=["NIST-800-53r5:AC-4", "NIST-800-53r5:CM-6", "SOC2:CC6.6", "ISO-27001:A.8.9", "PCI-4:A1.1"],
)
def test_the_object_is_honoured(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    tenant_object.judge_spec(judge, cluster, tenants)


@check(
    "TEN-OBJ-002",
    "Phase, conditions and usage in the status of a tenant's object are true",
    severity="medium",
    impact="exercise",
    promises=["object"],
    why="Alerts, bills and the next step of a pipeline rest on the status; one that lies is worse than none.",
    remedy="Let the controller say Ready only of what it has seen, with the generation that it saw, and sum the usage "
    "up from the status of the quotas.",
    controls=["NIST-800-53r5:CM-6", "NIST-800-53r5:AU-2", "SOC2:CC7.2", "ISO-27001:A.8.6"],
)
def test_the_status_is_true(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    tenant_object.judge_status(judge, cluster, tenants)
