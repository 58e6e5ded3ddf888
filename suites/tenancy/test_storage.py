"""Storage, as far as the API decides: nobody makes volumes, and a claim gets no one else's data."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import claims

CONTROLS = ["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-4", "SOC2:CC6.1", "ISO-27001:A.8.3", "PCI-4:7.2", "CIS-K8s:5.1"]


@check(
    "TEN-STO-001",
    "Nobody of a tenant makes or changes volumes and classes of storage",
    severity="critical",
    impact="rehearse",
    why="A PersistentVolume of type hostPath is the disk of a node, past Pod Security, which sees only the claim; a "
    "class names a driver and its secrets.",
    remedy="Remove write access to persistentvolumes and to the kinds of storage.k8s.io and snapshot.storage.k8s.io at "
    "cluster scope.",
    controls=CONTROLS,
)
def test_nobody_makes_volumes(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    claims.judge_volumes(judge, cluster, tenants)


@check(
    "TEN-STO-002",
    "No claim of a tenant gets, by its name, a volume that was somebody else's",
    severity="critical",
    impact="rehearse",
    why="A released volume that is made available again, by clearing its claimRef, still holds the data of its last "
    "tenant, and goes to whoever names it first.",
    remedy="Delete released volumes, or wipe them before they are offered again; bind a policy that refuses claims "
    "with a volumeName.",
    controls=CONTROLS,
)
def test_no_claim_by_name(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    claims.judge_named_volumes(judge, cluster, tenants)


@check(
    "TEN-STO-003",
    "No claim of a tenant takes its data from a neighbour's namespace",
    severity="high",
    impact="rehearse",
    why="With CrossNamespaceVolumeDataSource a claim may name a snapshot or a claim of another namespace; then only a "
    "ReferenceGrant there stands between the tenants.",
    remedy="Leave the feature gate off, or bind a policy that refuses dataSourceRef.namespace.",
    controls=CONTROLS,
)
def test_no_data_of_neighbours(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    claims.judge_sources(judge, cluster, tenants)
