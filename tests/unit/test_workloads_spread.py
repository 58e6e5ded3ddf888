"""Spread: what a manifest asks for, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.workloads import spread
from pytest_k8sha.workloads.model import HOST, ZONE
from tests.unit.workload_sample import bad, budget, inventory, nodes, pods, verdicts, workload

MINE = {"matchLabels": {"app": "web"}}
OTHERS = {"matchLabels": {"app": "x"}}


def constraint(key: str, **more: Any) -> dict[str, Any]:
    base = {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": MINE}
    return {**base, "nodeTaintsPolicy": "Honor", **more}


def anti(key: str, how: str = "required", selector: Any = MINE) -> dict[str, Any]:
    term = {"topologyKey": key, "labelSelector": selector}
    name = f"{how}DuringSchedulingIgnoredDuringExecution"
    return {"podAntiAffinity": {name: [term if how == "required" else {"weight": 1, "podAffinityTerm": term}]}}


@pytest.mark.parametrize(
    ("pod", "nodes_ok", "zones_ok", "says"),
    [
        ({}, False, False, "nothing tells"),
        ({"topologySpreadConstraints": [constraint(HOST), constraint(ZONE)]}, True, True, ""),
        ({"topologySpreadConstraints": [constraint(HOST)]}, True, False, "nothing tells"),
        ({"topologySpreadConstraints": [constraint(HOST, whenUnsatisfiable="ScheduleAnyway")]}, False, False, "a wish"),
        ({"topologySpreadConstraints": [constraint(HOST, labelSelector=OTHERS)]}, False, False, "misses"),
        ({"topologySpreadConstraints": [constraint(HOST, labelSelector=None)]}, False, False, "misses"),
        ({"affinity": anti(HOST)}, True, False, "nothing tells"),
        ({"affinity": anti(HOST, "preferred")}, False, False, "a wish"),
        ({"affinity": anti(ZONE, selector=OTHERS)}, False, False, "misses"),
    ],
)  # fmt: skip
def test_only_a_binding_wish_about_its_own_pods_counts(
    pod: dict[str, Any], nodes_ok: bool, zones_ok: bool, says: str
) -> None:
    """ScheduleAnyway, preferred and a selector that misses are no promise; each is told apart."""
    seen = list(spread.wishes(inventory(workload(pod=pod))))
    assert [one.ok for one in seen] == [nodes_ok, zones_ok]
    assert not says or any(says in one.seen for one in bad(seen))


def test_one_zone_is_no_matter_of_zones() -> None:
    """On a cluster with one zone the rule about zones does not apply; one replica has nothing to spread."""
    found = inventory(workload(), workload("one", replicas=1), nodes=nodes(3, zones=1))
    assert list(verdicts(spread.wishes(found)).values()) == [False, None, None]


def test_a_lost_zone_must_not_count_as_empty() -> None:
    """The default nodeTaintsPolicy keeps replacements Pending; a constraint that does not bind does no harm."""
    keep = constraint(ZONE)
    del keep["nodeTaintsPolicy"]
    soft = {**keep, "whenUnsatisfiable": "ScheduleAnyway"}
    for constraints, ok in (([keep], False), ([soft], True), ([constraint(ZONE)], True)):
        seen = list(spread.replaceable(inventory(workload(pod={"topologySpreadConstraints": constraints}))))
        assert [one.ok for one in seen] == [ok]


def test_required_anti_affinity_needs_one_place_more() -> None:
    """Three replicas on three nodes cannot be replaced; on four they can."""
    found = workload(pod={"affinity": anti(HOST)})
    assert [one.ok for one in spread.replaceable(inventory(found))] == [False]
    assert [one.ok for one in spread.replaceable(inventory(found, nodes=nodes(4)))] == [True]


def test_placement_counts_ready_pods_where_they_are() -> None:
    """Three on one node are a breach for nodes and zones; pods that are not ready do not count."""
    web, api = workload(), workload("api")
    together = [*pods(web, "node-0", "node-0", "node-0"), *pods(web, "node-1", ready=False)]
    found = inventory(web, api, pods=[*together, *pods(api, "node-1", "node-2")])
    seen = verdicts(spread.placement(found))
    assert seen == {
        "Deployment shop/web over nodes": False,
        "Deployment shop/web over zones": False,
        "Deployment shop/api over nodes": True,
        "Deployment shop/api over zones": True,
    }


def test_no_pod_anywhere_is_a_breach() -> None:
    """A workload whose pods are all Pending does not pass as spread."""
    seen = bad(spread.placement(inventory(workload())))
    assert len(seen) == 2
    assert "none anywhere" in seen[0].seen
    assert len(bad(spread.losses(inventory(workload())))) == 2


def test_the_worst_loss_is_named() -> None:
    """Two of three on one node: its loss leaves one, too few for minAvailable 2, enough for a maxUnavailable."""
    web = workload()
    placed = pods(web, "node-0", "node-0", "node-1")
    strict = inventory(web, pods=placed, budgets=[budget(minAvailable=2)])
    first = bad(spread.losses(strict))[0]
    assert first.subject == "Deployment shop/web without node node-0"
    assert "1 of 3 ready replicas would remain, 2 must" in first.seen
    assert not bad(spread.losses(inventory(web, pods=placed, budgets=[budget(maxUnavailable=1)])))


def test_pods_that_are_being_deleted_do_not_count() -> None:
    """A terminating pod carries no service any more."""
    web = workload()
    placed = pods(web, "node-0", "node-1")
    placed[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert spread.placed(inventory(web, pods=placed), web, HOST) == {"node-1": 1}
