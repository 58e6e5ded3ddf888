"""What NetworkPolicies mean: each rule of the API's documentation, and the traps that policies are written into."""

from __future__ import annotations

import pytest

from pytest_k8sha.tenancy.network.evaluate import ITSELF, OWN_NODE, declared, evaluate
from pytest_k8sha.tenancy.network.places import Address, Pod, Service, ServicePort
from tests.unit.network_worlds import ACME, CACHE, DENY, DNS, HOST, NODE1, NODE2, OTHER, OUTSIDE, WEB, policy


def allowed(policies: object, src: object, dst: object, protocol: str = "TCP", port: int = 8080) -> bool:
    return evaluate(policies, src, dst, protocol, port).allowed  # type: ignore[arg-type]


def test_a_pod_that_no_policy_selects_is_open() -> None:
    """Isolation begins with the first policy that selects the pod, and in its own namespace only."""
    assert allowed([], OTHER, WEB)
    assert allowed([policy("globex", podSelector={})], OTHER, WEB)
    assert allowed([policy(podSelector={"matchLabels": {"app": "cache"}})], OTHER, WEB)


def test_each_direction_is_isolated_by_itself() -> None:
    """A policy of type Ingress leaves what the pod sends alone, and the other way round."""
    ingress, egress = policy(podSelector={}, policyTypes=["Ingress"]), policy(podSelector={}, policyTypes=["Egress"])
    assert not allowed([ingress], OTHER, WEB)
    assert allowed([ingress], WEB, OTHER)
    assert allowed([egress], OTHER, WEB)
    assert not allowed([egress], WEB, OTHER)


def test_both_ends_must_allow_it() -> None:
    """An egress rule does not open the destination's ingress."""
    out = policy(podSelector={}, policyTypes=["Egress"], egress=[{}])
    closed = policy("globex", podSelector={}, policyTypes=["Ingress"])
    decision = evaluate([out, closed], WEB, OTHER, "TCP", 8080)
    assert not decision.allowed
    assert decision.why == ("ingress: isolated, and not allowed, by globex/p",)


def test_policies_add_up() -> None:
    """One that allows is enough; there is no order and no denial."""
    allow = policy(name="allow", podSelector={}, ingress=[{"from": [{"podSelector": {}}]}])
    decision = evaluate([DENY, allow, policy(name="out", podSelector={}, egress=[{}])], CACHE, WEB, "TCP", 8080)
    assert decision.allowed
    assert decision.why == ("egress: allowed by acme/out", "ingress: allowed by acme/allow")


def test_the_types_default_to_ingress_and_to_egress_where_there_is_an_egress_rule() -> None:
    """Without policyTypes a policy without egress rules does not isolate egress, even when it says ``egress: []``."""
    assert allowed([policy(podSelector={}, egress=[])], WEB, OTHER)
    assert not allowed([policy(podSelector={}, egress=[])], OTHER, WEB)
    assert not allowed([policy(podSelector={}, egress=[{"to": [{"podSelector": {}}]}])], WEB, OTHER)


def test_rules_of_a_direction_that_is_not_among_the_types_do_nothing() -> None:
    """``policyTypes: [Egress]`` with ingress rules neither isolates nor allows ingress."""
    odd = policy(podSelector={}, policyTypes=["Egress"], ingress=[{"from": [{"podSelector": {}}]}])
    assert allowed([odd], OTHER, WEB)
    assert not allowed([odd, DENY], CACHE, WEB)


def test_two_selectors_in_one_peer_are_both_needed_and_in_two_peers_either() -> None:
    """The one dash that makes the difference."""
    team = {"namespaceSelector": {"matchLabels": {"team": "g"}}}
    cache = {"podSelector": {"matchLabels": {"app": "cache"}}}
    both = policy(podSelector={}, ingress=[{"from": [{**team, **cache}]}])
    either = policy(podSelector={}, ingress=[{"from": [team, cache]}])
    assert not allowed([both], OTHER, WEB)
    assert not allowed([both], CACHE, WEB)
    assert allowed([either], OTHER, WEB)
    assert allowed([either], CACHE, WEB)


def test_a_pod_selector_alone_looks_in_its_own_namespace() -> None:
    """``podSelector: {}`` is everybody here; ``namespaceSelector: {}`` is everybody everywhere."""
    here = policy(podSelector={}, ingress=[{"from": [{"podSelector": {}}]}])
    everywhere = policy(podSelector={}, ingress=[{"from": [{"namespaceSelector": {}}]}])
    assert allowed([here], CACHE, WEB)
    assert not allowed([here], OTHER, WEB)
    assert allowed([everywhere], OTHER, WEB)
    assert not allowed([everywhere], OUTSIDE, WEB)


@pytest.mark.parametrize("empty", [{}, {"from": []}, {"from": [], "ports": []}])
def test_an_empty_rule_allows_everything(empty: dict[str, object]) -> None:
    """An absent and an empty list mean the same: no restriction."""
    assert allowed([DENY, policy(podSelector={}, ingress=[empty])], OUTSIDE, WEB, "SCTP", 1)


def test_no_rules_allow_nothing() -> None:
    """``ingress: []`` is a default deny; ``ingress: [{}]`` is an allow-all."""
    assert not allowed([policy(podSelector={}, ingress=[])], OTHER, WEB)


def test_an_address_block_with_exceptions() -> None:
    """The exception is cut out of its own block only; a second peer may bring it back."""
    world = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "10.0.0.0/8"]}}
    out = policy(podSelector={}, policyTypes=["Egress"], egress=[{"to": [world]}])
    metadata = Address("169.254.169.254")
    assert allowed([out], WEB, OUTSIDE)
    assert not allowed([out], WEB, metadata)
    assert not allowed([out], WEB, OTHER)
    link_local = {"ipBlock": {"cidr": "169.254.0.0/16"}}
    assert allowed([out, policy(podSelector={}, egress=[{"to": [link_local]}])], WEB, metadata)


def test_a_block_of_one_family_says_nothing_about_the_other() -> None:
    """``0.0.0.0/0`` holds no IPv6 address, so the same pod is out of reach on its other address."""
    out = policy(podSelector={}, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])
    assert allowed([out], WEB, OTHER)
    assert not allowed([out], WEB, OTHER.at("fd00::6"))


def test_named_ports_are_those_of_the_destination() -> None:
    """One name is 8080 on one pod and 9090 on another, and nothing on an address; the protocol counts."""
    out = policy(podSelector={}, policyTypes=["Egress"], egress=[{"ports": [{"port": "http"}]}])
    assert allowed([out], OTHER, WEB, port=8080)
    assert allowed([out], WEB, CACHE, port=9090)
    assert not allowed([out], WEB, CACHE, port=8080)
    assert not allowed([out], WEB, OUTSIDE, port=8080)
    assert not allowed([out], WEB, CACHE, "UDP", 9090)
    into = policy(podSelector={}, ingress=[{"ports": [{"port": "dns", "protocol": "UDP"}]}])
    assert allowed([into], OTHER, WEB, "UDP", 53)
    assert not allowed([into], OTHER, WEB, "TCP", 53)


def test_a_range_of_ports_and_a_protocol_without_a_port() -> None:
    """``endPort`` is included; the protocol defaults to TCP; no port means all of the protocol."""
    rule = {"ports": [{"port": 8000, "endPort": 8080}, {"protocol": "UDP"}]}
    into = policy(podSelector={}, ingress=[rule])
    assert [allowed([into], OTHER, WEB, port=p) for p in (7999, 8000, 8080, 8081)] == [False, True, True, False]
    assert allowed([into], OTHER, WEB, "UDP", 1)
    assert not allowed([into], OTHER, WEB, "SCTP", 8000)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "x"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "nope", "operator": "NotIn", "values": ["web"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_expressions(expression: dict[str, object], matches: bool) -> None:
    """NotIn is true as well where the label is absent."""
    closed = policy(podSelector={"matchExpressions": [expression]})
    assert allowed([closed], OTHER, WEB) is not matches


def test_what_no_policy_can_forbid() -> None:
    """A pod reaches itself; a pod and its own node reach each other, whatever the policies say."""
    assert evaluate([DENY], WEB, WEB, "TCP", 1).why == (ITSELF,)
    assert evaluate([DENY], NODE1, WEB, "TCP", 1).why == (OWN_NODE,)
    assert evaluate([DENY], WEB, NODE1, "TCP", 10250).why == (OWN_NODE,)
    assert evaluate([DENY], HOST, WEB, "TCP", 1).why == (OWN_NODE,)
    assert not allowed([DENY], NODE2, WEB)
    assert not allowed([DENY], WEB, NODE2, port=10250)


def test_a_pod_on_the_hosts_network_is_its_nodes_address() -> None:
    """No selector finds it, no policy governs it, only its address can be named."""
    by_label = policy(podSelector={}, ingress=[{"from": [{"namespaceSelector": {}}]}])
    far = Pod("far", ACME, "10.244.2.9", {}, "n2")
    assert not allowed([by_label], HOST, far)
    by_address = policy(podSelector={}, ingress=[{"from": [{"ipBlock": {"cidr": "172.18.0.0/16"}}]}])
    assert allowed([by_address], HOST, far)
    assert allowed([policy("kube-system", podSelector={})], far, HOST)


def test_a_service_is_judged_by_its_backend() -> None:
    """The port that counts is the pod's, and a block that holds the service's address helps nobody."""
    service = Service("web", "acme", "10.96.0.9", (ServicePort(80, "http"),), {"app": "web"})
    ends = service.backends("TCP", 80, [WEB, CACHE, OTHER])
    assert ends == [(WEB, 8080)]
    out = policy("globex", podSelector={}, egress=[{"to": [{"ipBlock": {"cidr": "10.96.0.0/12"}}]}])
    assert not allowed([out], OTHER, *ends[0][:1], "TCP", ends[0][1])
    assert Service("x", "acme", "10.96.0.8", (ServicePort(80, 80),)).backends("TCP", 80, [WEB]) == []


def test_what_is_declared() -> None:
    """A rule for everybody allows a destination, but nobody wrote it down; the isolation of each direction stays."""
    wide = policy(
        podSelector={},
        policyTypes=["Egress"],
        egress=[
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"namespaceSelector": {}}]},
            {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]},
        ],
    )
    assert allowed([wide], WEB, OUTSIDE)
    assert not allowed(declared([wide]), WEB, OUTSIDE)
    assert not allowed(declared([wide]), WEB, OTHER)
    assert allowed(declared([wide]), WEB, DNS, "UDP", 53)
    assert not allowed(declared([policy(podSelector={}, egress=[{}])]), WEB, OUTSIDE)
