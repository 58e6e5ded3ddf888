"""Nobody of a tenant takes a namespace over, or the traffic of somebody else's service."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import takeover

CONTROLS = ["NIST-800-53r5:AC-3", "NIST-800-53r5:CM-6", "SOC2:CC6.1", "ISO-27001:A.8.9", "PCI-4:2.2", "CIS-K8s:5.1"]
TRAFFIC = ["NIST-800-53r5:AC-4", "NIST-800-53r5:SC-7", "SOC2:CC6.6", "ISO-27001:A.8.22", "PCI-4:A1.1", "CIS-K8s:5.3"]


@check(
    "TEN-NSP-001",
    "Nobody of a tenant changes a namespace's labels or owners",
    severity="critical",
    impact="rehearse",
    why="Pod Security, network policies and admission policies find a namespace by its labels: who changes the labels "
    "switches them off. An owner reference lets the garbage collector delete the namespace.",
    remedy="Remove patch and update on namespaces, in every tenant role; labels are the platform's to set.",
    controls=CONTROLS,
)
def test_namespace_labels_are_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    takeover.judge_metadata(judge, cluster, tenants)


@check(
    "TEN-NSP-002",
    "Nobody of a tenant makes, replaces, finalizes or deletes a namespace",
    severity="critical",
    impact="rehearse",
    promises=["namespaces"],
    why="/finalize removes a namespace whose objects are still there, /status lies to every controller that reads it, "
    "and a namespace of one's own making is outside quota and policy.",
    remedy="Remove create, update and delete on namespaces, namespaces/status and namespaces/finalize.",
    controls=CONTROLS,
)
def test_namespace_lifecycle_is_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    takeover.judge_lifecycle(judge, cluster, tenants)


@check(
    "TEN-HIJ-001",
    "Nobody of a tenant writes Endpoints",
    severity="high",
    impact="rehearse",
    why="Endpoints may name any address: a tenant that writes them sends the clients of a service, or an ingress "
    "controller that network policies trust, to a neighbour's pods (CVE-2021-25740).",
    remedy="Remove create, update and patch on endpoints from tenant roles; the built-in roles edit and admin had them "
    "before 1.22 and still have them in clusters that were upgraded.",
    controls=TRAFFIC,
)
def test_endpoints_are_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    takeover.judge_endpoints(judge, cluster, tenants)


@check(
    "TEN-HIJ-002",
    "Nobody of a tenant writes EndpointSlices",
    severity="high",
    impact="rehearse",
    why="kube-proxy reads EndpointSlices: one with a foreign address and the label of a service takes part in its "
    "traffic at once.",
    remedy="Remove create, update and patch on endpointslices.discovery.k8s.io from tenant roles.",
    controls=TRAFFIC,
)
def test_endpoint_slices_are_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    takeover.judge_slices(judge, cluster, tenants)
