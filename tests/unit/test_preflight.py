"""The preflight: choosing by a seed, and predicting what a fault would break."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha import _clock
from pytest_k8sha.chaos import preflight
from pytest_k8sha.chaos.engine import Candidates, Target
from pytest_k8sha.chaos.order import Choice, Order, Pods, order


def pod(name: str, *, space: str = "shop", owner: str = "web", ready: bool = True, **more: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": space, "uid": f"uid-{space}-{name}", "labels": {"app": owner}}
    if owner:
        meta["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner, "controller": True}]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {**meta, **more}, "status": {"phase": "Running", "conditions": conditions}}


def budget(least: int | str, *, app: str = "web", expected: int = 3) -> dict[str, Any]:
    return {
        "metadata": {"name": app, "namespace": "shop"},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": app}}},
        "status": {"expectedPods": expected},
    }


def an_order(**spec: Any) -> Order:
    return order("one", "delete", **{"pods": {"namespaces": ["shop"]}, **spec})


THREE = [pod("a"), pod("b"), pod("c")]


def test_a_budget_that_would_break_is_named() -> None:
    """Of three pods with a minimum of two, one may be hit and two may not."""
    assert preflight.pod_risks(THREE, [budget(2)], ["uid-shop-a"])["budget"] == []
    assert preflight.pod_risks(THREE, [budget(2)], ["uid-shop-a", "uid-shop-b"])["budget"] == [
        "PodDisruptionBudget shop/web (minAvailable: 2) needs 2 healthy, and 1 of 3 would stay"
    ]


def test_unready_pods_do_not_count_as_staying() -> None:
    """A pod that is not ready keeps no budget: hitting one of the two that are ready leaves one."""
    pods = [pod("a"), pod("b"), pod("c", ready=False)]
    assert preflight.pod_risks(pods, [budget(2)], ["uid-shop-a"])["budget"]


def test_a_budget_of_others_does_not_count() -> None:
    """A budget whose pods are not hit is not broken by the experiment, whatever its state."""
    pods = [*THREE, pod("d", owner="db", ready=False)]
    assert preflight.pod_risks(pods, [budget(1, app="db", expected=1)], ["uid-shop-a"])["budget"] == []


def test_the_last_ready_replica_is_an_outage() -> None:
    """Nothing left that serves is told for each workload, and for a pod of nobody's."""
    pods = [pod("a"), pod("b", ready=False), pod("lone", owner="")]
    told = preflight.pod_risks(pods, [], ["uid-shop-a", "uid-shop-lone"])["outage"]
    assert told == [
        "none of 1 ready pods of pod shop/lone would stay",
        "none of 1 ready pods of ReplicaSet shop/web would stay",
    ]


def test_a_system_namespace_is_told() -> None:
    """Pods of kube-system are a risk of their own."""
    pods = [pod("dns", space="kube-system", owner="coredns"), pod("dns2", space="kube-system", owner="coredns")]
    assert preflight.pod_risks(pods, [], ["uid-kube-system-dns"])["system"] == [
        "pods in the namespace kube-system would be hit"
    ]


def test_finished_and_leaving_pods_are_no_targets() -> None:
    """Pods that have succeeded, failed or are being deleted do not fit a selection."""
    gone = pod("gone", deletionTimestamp="2026-01-01T00:00:00Z")
    done = {**pod("done"), "status": {"phase": "Succeeded"}}
    found = preflight.fitting_pods([*THREE, gone, done, pod("x", space="other")], Pods(namespaces=("shop",)))
    assert [p["metadata"]["name"] for p in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("members", "hit", "lost"), [(1, 1, True), (2, 1, True), (3, 1, False), (3, 2, True), (5, 2, False), (5, 3, True)]
)
def test_the_quorum_is_predicted(members: int, hit: int, lost: bool) -> None:
    """More than half of the members must stay; two members are worth no more than one."""
    assert bool(preflight.member_risks("etcd", members, range(members), range(hit))["quorum"]) is lost
    assert not preflight.member_risks("kube-apiserver", members, range(members), range(hit))["quorum"]


def test_a_member_that_is_down_already_counts() -> None:
    """One of three is down: the loss of a second one is the loss of the quorum."""
    assert preflight.member_risks("etcd", 3, [0, 2], [2])["quorum"] == [
        "1 of 3 etcd members would stay, and 2 must agree"
    ]


def test_zero_targets_are_refused() -> None:
    """An experiment that hits nothing proves nothing."""
    with pytest.raises(preflight.Refused, match=r"zero targets: the selection fits none of 7 pods"):
        preflight.plan(an_order(), Candidates((), 7, "pods"), {}, ())


def test_every_reason_is_told_at_once_and_accepted_by_name() -> None:
    """Blast radius and risks are told together; what the order accepts by name passes, and is noted."""
    hit = (Target("Pod", "a", "shop"), Target("Pod", "b", "shop"))
    found = Candidates(hit, 3, "pods")
    risks = {"budget": ["one is broken"], "outage": ["nothing stays"], "quorum": []}
    with pytest.raises(preflight.Refused) as caught:
        preflight.plan(an_order(accept=["budget"]), found, risks, hit)
    assert [r.partition(" (")[0] for r in caught.value.reasons] == [
        "2 of 3 pods are 67 %, above the blast radius of 50%",
        "nothing stays",
    ]
    assert "accept: [outage]" in str(caught.value)
    made = preflight.plan(an_order(accept=["budget", "outage"], blastRadius="67%"), found, risks, hit)
    assert made.targets == hit
    assert made.notes["budget"] == "one is broken"


@given(
    names=st.sets(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=30),
    percent=st.integers(1, 100),
    seed=st.integers(0, 10**6),
)
def test_a_seed_chooses_the_same_again(names: set[str], percent: int, seed: int) -> None:
    """The choice depends on the seed and the set alone, not on its order; a share is rounded up and never nothing."""
    targets = [Target("Pod", name) for name in names]
    choice = Choice.model_validate({"percent": f"{percent}%"})
    chosen = preflight.choose(targets, choice, seed)
    assert chosen == preflight.choose(sorted(targets, reverse=True), choice, seed)
    assert set(chosen) <= set(targets)
    assert len(chosen) == -(-len(names) * percent // 100)
    assert preflight.choose(targets, Choice(), seed) == tuple(sorted(targets))
    assert preflight.choose(targets, Choice(count=len(names) + 1), seed) == ()


def test_a_thousand_pods_are_judged_in_a_second() -> None:
    """Selection, choice and prediction over 1,000 pods and 100 budgets stay far below a second, also when busy."""
    pods = [pod(f"p{n}", owner=f"app{n % 100}") for n in range(1000)]
    budgets = [budget(1, app=f"app{n}", expected=10) for n in range(100)]
    clock = _clock.Deadline(5.0)
    wanted = Pods(namespaces=("shop",), count=30)
    chosen = preflight.choose(map(preflight.pod_target, preflight.fitting_pods(pods, wanted)), wanted, seed=1)
    risks = preflight.pod_risks(pods, budgets, [target.uid for target in chosen])
    assert len(chosen) == 30
    assert risks == {"budget": [], "outage": [], "system": []}
    assert not clock.passed
