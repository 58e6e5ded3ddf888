"""Secrets that a pod names."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import mounts

CONTROLS = ["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-6", "SOC2:CC6.1", "ISO-27001:A.5.15", "PCI-4:7.2", "CIS-K8s:5.1"]


@check(
    "TEN-SEC-001",
    "A pod never gets a neighbour's secret by naming it",
    severity="critical",
    impact="exercise",
    why="A program that copies secrets between namespaces, for the sake of one certificate, makes every name that it "
    "copies everybody's.",
    remedy="Have what copies secrets do so for named secrets into named namespaces only, and no tenant's.",
    controls=CONTROLS,
    requires=["nodes:real"],
)
def test_a_neighbours_secret_does_not_mount(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    mounts.judge_named(judge, cluster, tenants)


@check(
    "TEN-SEC-002",
    "Who is there to view gets no secret by way of a pod, and of all others it is told",
    severity="high",
    impact="rehearse",
    why="Whoever creates pods, or anything that makes pods, mounts every secret of the namespace and has the pod print "
    "it, whatever the rules on secrets say. The table shows who that is.",
    remedy="Take create on pods and workloads from viewers; keep secrets that a developer must not have in a namespace "
    "of their own.",
    controls=CONTROLS,
)
def test_who_gets_secrets_by_pods(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    mounts.judge_makers(judge, cluster, tenants)
