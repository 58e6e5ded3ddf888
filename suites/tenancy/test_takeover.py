"""Nobody of a tenant takes a namespace over, or the traffic of somebody else's service."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import ingresses, services, takeover

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


@check(
    "TEN-HIJ-003",
    "No Service of a tenant takes an address as external IP",
    severity="high",
    impact="exercise",
    why="Every node sends what goes to an external IP to the Service that names it, whoever the address belongs to "
    "(CVE-2020-8554).",
    remedy="Switch the admission plugin DenyServiceExternalIPs on, or bind a policy that refuses spec.externalIPs.",
    controls=TRAFFIC,
)
def test_no_external_ips(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    services.judge_external_ips(judge, cluster, tenants)


@check(
    "TEN-HIJ-004",
    "No Service of a tenant is another name for something inside the cluster",
    severity="high",
    impact="exercise",
    why="An ingress controller or a mesh follows an ExternalName with its own rights: to a neighbour's service, the "
    "API server, its own loopback or the metadata service, past the network policies of whoever wrote it.",
    remedy="Bind a policy that lets ExternalName lead to named domains outside the cluster only.",
    controls=TRAFFIC,
)
def test_no_external_names_inside(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    services.judge_external_names(judge, cluster, tenants)


@check(
    "TEN-HIJ-005",
    "No Ingress of a tenant serves a host of its neighbour",
    severity="high",
    impact="exercise",
    why="Of two Ingresses for one host an ingress controller serves both, or the older one: passwords and cookies of "
    "the neighbour's customers go to whoever asked for the host. A wildcard, or no host at all, asks for all.",
    remedy="Give each tenant a domain, and bind a policy that refuses hosts outside it, wildcards above it, Ingresses "
    "without a host and default backends.",
    controls=TRAFFIC,
)
def test_no_foreign_hosts(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    ingresses.judge_hosts(judge, cluster, tenants)


@check(
    "TEN-HIJ-006",
    "No Service of a tenant opens a port of the nodes or a load balancer that it was not granted",
    severity="medium",
    impact="rehearse",
    promises=["quota"],
    why="A node port is open on every node, in front of everybody's network policies; a load balancer costs money and "
    "takes an address from the pool of all.",
    remedy="Set services.nodeports and services.loadbalancers in the tenant's ResourceQuota, to 0 or to what it needs.",
    controls=TRAFFIC,
)
def test_no_openings(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    services.judge_openings(judge, cluster, tenants)
