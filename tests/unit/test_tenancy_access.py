"""The access matrix: as few reviews as prove the whole of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.kube.discovery import Kind
from pytest_k8sha.tenancy.access import VERBS, Pair, Rule, listing, offered, plan

RESOURCES = ("pods", "secrets", "deployments")
SUBRESOURCES = ("", "exec", "status")
GROUPS = ("", "apps")
EVERY = [Pair(v, g, r, s) for v in VERBS for g in GROUPS for r in RESOURCES for s in SUBRESOURCES]

words = st.sampled_from
rules = st.builds(
    Rule,
    verbs=st.frozensets(words([*VERBS, "*"]), min_size=1, max_size=3),
    groups=st.frozensets(words([*GROUPS, "*"]), min_size=1, max_size=2),
    resources=st.frozensets(
        words([*RESOURCES, "*", "pods/exec", "*/status", "deployments/status"]), min_size=1, max_size=3
    ),
    names=st.sampled_from([(), (), ("one",), ("one", "two")]),
)


@given(st.lists(rules, max_size=5), st.integers(0, 20))
def test_the_plan_asks_about_every_pair_that_may_be_allowed(found: list[Rule], turn: int) -> None:
    """What any rule allows is reviewed by itself, by name where the rule speaks of names; the rest by a sample that
    holds each resource and subresource, and no pair that a rule without names allows."""
    sure, sample = plan(EVERY, found, turn)
    for pair in EVERY:
        hits = [rule for rule in found if rule.matches(pair)]
        if any(not rule.names for rule in hits):
            assert pair in sure
            assert pair not in sample
        for name in {name for rule in hits for name in rule.names} if all(rule.names for rule in hits) else ():
            assert Pair(pair.verb, pair.group, pair.resource, pair.subresource, name) in sure
    unmatched = {(p.group, p.resource, p.subresource) for p in EVERY if p not in sure}
    assert {(p.group, p.resource, p.subresource) for p in sample} == unmatched


def test_rules_match_as_rbac_does() -> None:
    """A "*" takes in subresources, a resource does not take in its subresources, "*/scale" takes in every scale."""
    star = Rule.of({"verbs": ["get"], "apiGroups": [""], "resources": ["*"]})
    assert star.matches(Pair("get", "", "secrets"))
    assert star.matches(Pair("get", "", "pods", "exec"))
    assert not star.matches(Pair("list", "", "secrets"))
    assert not star.matches(Pair("get", "apps", "deployments"))
    pods = Rule.of({"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods"]})
    assert pods.matches(Pair("deletecollection", "", "pods"))
    assert not pods.matches(Pair("get", "", "pods", "log"))
    scale = Rule.of({"verbs": ["update"], "apiGroups": ["apps"], "resources": ["*/scale"]})
    assert scale.matches(Pair("update", "apps", "deployments", "scale"))
    assert not scale.matches(Pair("update", "apps", "deployments"))


def test_only_what_the_server_offers_is_asked() -> None:
    """Every offered verb of every resource and subresource of the scope, and no other."""
    pods = Kind("", "v1", "Pod", "pods", True, frozenset({"get", "list"}), {"exec": frozenset({"create", "get"})})
    nodes = Kind("", "v1", "Node", "nodes", False, frozenset({"get"}), {"proxy": frozenset({"get"})})
    assert offered([pods, nodes], namespaced=True) == [
        Pair("get", "", "pods"),
        Pair("list", "", "pods"),
        Pair("get", "", "pods", "exec"),
        Pair("create", "", "pods", "exec"),
    ]
    assert offered([pods, nodes], namespaced=False) == [Pair("get", "", "nodes"), Pair("get", "", "nodes", "proxy")]


def test_a_listing_shows_secrets_first_and_ends() -> None:
    """The verbs of a resource stand together, what hurts most stands first, and a long list is cut with a count."""
    pairs = [Pair("get", "", f"thing{n:02}") for n in range(20)]
    text = listing([*pairs, Pair("list", "", "secrets"), Pair("get", "", "secrets")], most=3)
    assert text == "list, get secrets; get thing00; get thing01; and 18 more resources"
