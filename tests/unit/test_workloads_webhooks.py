"""Admission webhooks that fail closed: who answers for them, and whether they wait for themselves."""

from __future__ import annotations

from typing import Any

from pytest_k8sha.workloads.webhooks import Hook, judged
from tests.unit.workload_sample import pods, service, workload

WEB = workload()


def hook(*places: str, home: dict[str, str] | None = None, **webhook: Any) -> Hook:
    """A webhook that pods on the given nodes answer for."""
    space = {"metadata": {"name": "shop", "labels": home or {}}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    body = {"name": "pods.example.com", "rules": [rule], **webhook}
    return Hook("gate", body, tuple(pods(WEB, *places)), space, service())


def verdicts(one: Hook) -> list[bool | None]:
    return [seen.ok for seen in judged([one])]


def test_two_pods_on_two_nodes_answer() -> None:
    """Two pods on one node are lost with it; the default of failurePolicy is to fail."""
    elsewhere = {"namespaceSelector": {"matchLabels": {"judged": "yes"}}}
    assert verdicts(hook("node-0", "node-1", **elsewhere)) == [True, True]
    assert verdicts(hook("node-0", "node-0", **elsewhere)) == [False, True]
    assert verdicts(hook(**elsewhere)) == [False, True]


def test_one_that_fails_open_is_no_subject() -> None:
    """Nobody waits for it."""
    assert verdicts(hook(failurePolicy="Ignore")) == [None]


def test_a_webhook_may_shut_itself_out() -> None:
    """By rule, namespace and object: only one that a new pod of its own comes before does."""
    two = ("node-0", "node-1")
    assert verdicts(hook(*two)) == [True, False]
    assert verdicts(hook(*two, rules=[{"apiGroups": ["apps"], "resources": ["*"], "operations": ["*"]}])) == [True] * 2
    assert verdicts(hook(*two, rules=[{"apiGroups": ["*"], "resources": ["*/*"], "operations": ["*"]}]))[1] is False
    named = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}]}
    assert verdicts(hook(*two, namespaceSelector=named)) == [True, True]
    assert verdicts(hook(*two, objectSelector={"matchLabels": {"app": "other"}})) == [True, True]
    assert verdicts(hook(*two, objectSelector={"matchLabels": {"app": "web"}})) == [True, False]
