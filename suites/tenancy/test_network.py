"""Tenants stay apart on the network: real packets between real pods, each way twice, with the policies and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.network import judging, timing, window
from pytest_k8sha.tenancy.network.survey import Survey, clear
from pytest_k8sha.tenancy.network.survey import survey as look_around

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROLS = ["NIST-800-53r5:AC-4", "NIST-800-53r5:SC-7", "SOC2:CC6.6", "ISO-27001:A.8.22", "PCI-4:1", "CIS-K8s:5.3"]
REAL = ["nodes:real"]
DENY = "Select every pod (podSelector: {}) with policyTypes [Ingress, Egress] and no rules; then allow by name."


@pytest.fixture(scope="module")
def survey(cluster: Cluster, tenants: list[Tenant]) -> Iterator[Survey]:
    """Probe pods of every tenant on every node, and what they could reach; made once for all checks of this file."""
    found = look_around(cluster, tenants)
    yield found
    clear(cluster, found)


@check(
    "TEN-NET-001",
    "Pods of one tenant reach each other, on the same node and across nodes",
    severity="medium",
    impact="exercise",
    promises=["network"],
    why="Isolation that cuts a tenant's own parts off gets switched off by the next person on call.",
    remedy="Allow the tenant's own namespace by a podSelector in both directions; the finding names the policies.",
    controls=CONTROLS,
    requires=REAL,
)
def test_a_tenant_reaches_itself(survey: Survey, judge: Judge) -> None:
    judging.same_tenant(judge, survey)


@check(
    "TEN-NET-002",
    "No pod of a tenant reaches a pod of another tenant, by any route, in either direction",
    severity="critical",
    impact="exercise",
    promises=["network"],
    why="One compromised pod otherwise scans and attacks every neighbour's unprotected port.",
    remedy=DENY,
    controls=CONTROLS,
    requires=REAL,
)
def test_tenants_do_not_reach_each_other(survey: Survey, judge: Judge) -> None:
    judging.cross_tenant(judge, survey)


@check(
    "TEN-NET-003",
    "Who belongs to no tenant reaches a tenant's pods only where a policy names it",
    severity="high",
    impact="exercise",
    promises=["network"],
    why="Whatever else runs in the cluster, ingress controllers and build jobs alike, is a way in that nobody chose.",
    remedy="Replace rules for everybody (an empty from, namespaceSelector: {}, a /0 block) by who really needs it.",
    controls=CONTROLS,
    requires=REAL,
)
def test_nobody_gets_in_undeclared(survey: Survey, judge: Judge) -> None:
    judging.into_tenants(judge, survey)


@check(
    "TEN-NET-004",
    "Each tenant is isolated in both directions, and every node enforces it",
    severity="critical",
    impact="exercise",
    promises=["network"],
    why="A policy is text; the network plugin's agent on each node is what drops packets, and it fails open.",
    remedy="See whether the network plugin enforces NetworkPolicies, and whether its agent runs on the node named.",
    controls=CONTROLS,
    requires=REAL,
)
def test_every_node_enforces(survey: Survey, judge: Judge) -> None:
    judging.every_node(judge, survey)


@check(
    "TEN-NET-005",
    "A tenant's pods can ask the cluster's name server",
    severity="medium",
    impact="exercise",
    promises=["network"],
    why="Without names almost nothing works, and the cause is looked for everywhere but in the policies.",
    remedy="Allow egress to the pods labelled k8s-app=kube-dns in kube-system, port 53, UDP and TCP.",
    controls=CONTROLS,
    requires=REAL,
)
def test_names_can_be_asked_for(survey: Survey, judge: Judge) -> None:
    judging.name_service(judge, survey)


@check(
    "TEN-NET-006",
    "A tenant's pods reach only what a policy names: no other namespace and nothing outside the cluster",
    severity="high",
    impact="exercise",
    promises=["network"],
    why="Open egress is how data leaves and how a foothold calls home.",
    remedy="Name destinations: a selector, or an address block as narrow as what is meant, with its ports.",
    controls=CONTROLS,
    requires=REAL,
)
def test_nothing_leaves_undeclared(survey: Survey, judge: Judge) -> None:
    judging.out_of_tenants(judge, survey)


@check(
    "TEN-NET-007",
    "A tenant's pods reach no other node's kubelet, no etcd and no metadata service",
    severity="critical",
    impact="exercise",
    promises=["network"],
    why="Each of the three hands out credentials of the node or of the whole cluster to whoever may ask.",
    remedy="Never allow 0.0.0.0/0 without except for 169.254.0.0/16 and the nodes' addresses.",
    controls=CONTROLS,
    requires=REAL,
)
def test_the_machinery_is_out_of_reach(survey: Survey, judge: Judge) -> None:
    judging.machinery(judge, survey)


@check(
    "TEN-NET-008",
    "A tenant's pods reach the API server only where a policy names it",
    severity="medium",
    impact="exercise",
    promises=["network"],
    why="A stolen token is worth nothing where the API server cannot be reached.",
    remedy="Allow the API server's address by itself, and only to the pods that need it.",
    controls=CONTROLS,
    requires=REAL,
)
def test_the_api_server_is_declared(survey: Survey, judge: Judge) -> None:
    judging.api_server(judge, survey)


@check(
    "TEN-NET-009",
    "A new pod and its neighbours are kept from each other from the first packet on",
    severity="high",
    impact="exercise",
    promises=["network"],
    why="Where rules are programmed after the pod has started, an attacker needs only to start pods.",
    remedy="Use a network plugin that programs the rules before the pod's network is ready.",
    controls=CONTROLS,
    requires=REAL,
)
def test_the_first_moments_of_a_pod(survey: Survey, judge: Judge) -> None:
    window.judge_window(judge, survey)


@check(
    "TEN-NET-010",
    "The network does in every way between pods what the policies say",
    severity="high",
    impact="exercise",
    promises=["network"],
    why="Where the two differ, reading the policies tells an auditor nothing.",
    remedy="Each difference names the way and the policies that decide it; look at the network plugin's own rules.",
    controls=CONTROLS,
    requires=REAL,
)
def test_policy_and_network_agree(survey: Survey, judge: Judge) -> None:
    judging.whole_table(judge, survey)


@check(
    "TEN-NET-011",
    "Whom a tenant lets in, such as an ingress controller, reaches the port that is meant and no other",
    severity="medium",
    impact="exercise",
    why="A controller that gets no answer is an outage; one that may dial every port is a way round the front door.",
    remedy="Allow the controller's namespace and pods, both in one entry of from, at the one port that serves.",
    controls=CONTROLS,
    requires=REAL,
)
def test_visitors_reach_what_is_meant(survey: Survey, judge: Judge) -> None:
    judging.visitors(judge, survey)


@check(
    "TEN-NET-012",
    "What a tenant may reach outside, such as a database, is reached, and nothing else at that address",
    severity="high",
    impact="exercise",
    why="A rule that names an address and no port opens all that listens there, and SSH with it.",
    remedy="Allow the address as a /32 (IPv6: /128) with its port and protocol.",
    controls=CONTROLS,
    requires=REAL,
)
def test_destinations_are_reached_and_nothing_else(survey: Survey, judge: Judge) -> None:
    judging.destinations(judge, survey)


@check(
    "TEN-NET-013",
    "Each policy is enforced soon after it is written, and no longer once it is gone",
    severity="medium",
    impact="exercise",
    why="Between the word of the API server and the drop of a packet a tenant is open, and nobody is told how long.",
    remedy="Look at the load of the network plugin's agents and at how many policies and pods each of them handles.",
    controls=CONTROLS,
    requires=REAL,
)
def test_policies_are_enforced_in_time(survey: Survey, judge: Judge) -> None:
    timing.judge_times(judge, survey)


@check(
    "TEN-NET-014",
    "A new pod is isolated from its first packet on, also where nobody else's policies help",
    severity="medium",
    impact="exercise",
    why="Most of what a pod can reach, and most of what can reach it, has no policy of its own.",
    remedy="Use a network plugin that programs the rules before the pod starts; else let an init container wait.",
    controls=CONTROLS,
    requires=REAL,
)
def test_the_first_moments_of_a_pod_alone(survey: Survey, judge: Judge) -> None:
    window.judge_alone(judge, survey)
