"""Spread: what a manifest asks of the scheduler, and what the scheduler made of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_k8sha.workloads.budgets import bound, desired_healthy
from pytest_k8sha.workloads.model import HOST, ZONE, Seen, is_ready
from pytest_k8sha.workloads.selectors import selects, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_k8sha.workloads.model import Inventory, Object, Workload

PLACES = {HOST: "node", ZONE: "zone"}


def _constraints(workload: Workload, key: str) -> Iterator[tuple[str, bool, Object | None]]:
    """Every wish of the workload's pods about ``key``: how it is called, whether it is hard, its selector."""
    for item in workload.pod.get("topologySpreadConstraints") or []:
        if item.get("topologyKey") == key:
            hard = item.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
            yield f"topologySpreadConstraints {item.get('whenUnsatisfiable')}", hard, item.get("labelSelector")
    anti = (workload.pod.get("affinity") or {}).get("podAntiAffinity") or {}
    for term in anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []:
        if term.get("topologyKey") == key:
            yield "podAntiAffinity required", True, term.get("labelSelector")
    for weighted in anti.get("preferredDuringSchedulingIgnoredDuringExecution") or []:
        term = weighted.get("podAffinityTerm") or {}
        if term.get("topologyKey") == key:
            yield "podAntiAffinity preferred", False, term.get("labelSelector")


def wishes(inventory: Inventory) -> Iterator[Seen]:
    """Each workload of two replicas or more is told, in a way that binds the scheduler, to spread over nodes and over
    zones, by a selector that matches its own pods."""
    return _over_places(inventory, _wish)


def _over_places(inventory: Inventory, judge: Callable[[Workload, str, str], Seen]) -> Iterator[Seen]:
    """What ``judge`` sees of each workload that can be spread, once for nodes and once for zones where there are two;
    the others are named with the reason."""
    for workload in inventory.scalable:
        if inventory.wanted(workload) < 2:
            yield Seen(str(workload), None, "one replica cannot be spread (see AVL-WRK-001)")
            continue
        for key, place in PLACES.items():
            if key == ZONE and len(inventory.domains(ZONE)) < 2:
                yield Seen(f"{workload} over zones", None, "the cluster has fewer than two zones")
                continue
            yield judge(workload, key, place)


def _wish(workload: Workload, key: str, place: str) -> Seen:
    found = list(_constraints(workload, key))
    mine = [(how, hard) for how, hard, selector in found if selects(selector, workload.labels)]
    hard = [how for how, binding in mine if binding]
    if hard:
        seen = hard[0]
    elif mine:
        seen = f"{mine[0][0]} is a wish: when it is inconvenient, all replicas may share one {place}"
    elif found:
        others = "; ".join(f"{how} selects {text(selector)}" for how, _, selector in found)
        seen = f"its selector misses the workload's own pods, so it spreads nothing: {others}"
    else:
        seen = f"nothing tells the scheduler to spread it over {place}s"
    return Seen(
        f"{workload} over {place}s",
        ok=bool(hard),
        seen=seen,
        rule=f"replicas are spread over {place}s by a constraint that binds the scheduler",
        remedy=f"add to spec.template.spec.topologySpreadConstraints: topologyKey: {key}, maxSkew: 1, "
        "whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor, "
        f"labelSelector: {text({'matchLabels': workload.labels})}",
    )


def replaceable(inventory: Inventory) -> Iterator[Seen]:
    """A binding spread leaves room for the replacement of a lost replica.

    The nodes of a lost zone stay registered. With the default ``nodeTaintsPolicy: Ignore`` such a zone counts as one
    with no pod, so that any replacement elsewhere exceeds ``maxSkew`` and stays Pending. Required anti-affinity needs
    one place more than there are replicas.
    """
    for workload in inventory.scalable:
        replicas = inventory.wanted(workload)
        if replicas < 2:
            yield Seen(str(workload), None, "one replica cannot be spread (see AVL-WRK-001)")
            continue
        found = [*_skewed(workload), *_crowded(inventory, workload, replicas)]
        yield from found or [Seen(str(workload), ok=True, seen="a lost replica can be placed elsewhere")]


def _skewed(workload: Workload) -> Iterator[Seen]:
    for index, item in enumerate(workload.pod.get("topologySpreadConstraints") or []):
        hard = item.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
        if hard and item.get("nodeTaintsPolicy") != "Honor" and selects(item.get("labelSelector"), workload.labels):
            place = PLACES.get(item.get("topologyKey", ""), item.get("topologyKey", ""))
            yield Seen(
                f"{workload} over {place}s",
                ok=False,
                seen=f"nodeTaintsPolicy {item.get('nodeTaintsPolicy', 'Ignore')} with maxSkew {item.get('maxSkew')}: "
                f"a lost {place} still counts as an empty one, and replacements stay Pending until it is back",
                rule="a binding spread leaves room for the replacement of a lost replica",
                remedy=f"set spec.template.spec.topologySpreadConstraints[{index}].nodeTaintsPolicy: Honor",
            )


def _crowded(inventory: Inventory, workload: Workload, replicas: int) -> Iterator[Seen]:
    anti = (workload.pod.get("affinity") or {}).get("podAntiAffinity") or {}
    for term in anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []:
        key = term.get("topologyKey", "")
        places = len(inventory.domains(key))
        if selects(term.get("labelSelector"), workload.labels) and 0 < places <= replicas:
            place = PLACES.get(key, key)
            yield Seen(
                f"{workload} over {place}s",
                ok=False,
                seen=f"required anti-affinity and {replicas} replicas need {replicas + 1} {place}s to replace a lost "
                f"one; there are {places}",
                rule="a binding spread leaves room for the replacement of a lost replica",
                remedy="use spec.template.spec.topologySpreadConstraints with nodeTaintsPolicy: Honor instead, or add "
                f"{place}s",
            )


def placed(inventory: Inventory, workload: Workload, key: str) -> Counter[str]:
    """The ready pods of a workload by node name or zone. Pods on nodes that are not ready or known count by ``?``."""
    where = {node: value for value, nodes in inventory.domains(key).items() for node in nodes}
    ready = [pod for pod in inventory.pods_of(workload) if is_ready(pod)]
    return Counter(where.get(pod["spec"].get("nodeName", ""), "?") for pod in ready)


def placement(inventory: Inventory) -> Iterator[Seen]:
    """Two replicas or more really run on two nodes and, where the cluster has them, in two zones."""

    def judge(workload: Workload, key: str, place: str) -> Seen:
        counts = placed(inventory, workload, key)
        return Seen(
            f"{workload} over {place}s",
            ok=len(counts) >= 2,
            seen=f"{counts.total()} of {workload.replicas} replicas are ready: {_listed(counts)}",
            rule=f"the replicas of a workload run on two {place}s or more",
            remedy=f"spread them (spec.template.spec.topologySpreadConstraints, topologyKey: {key}, "
            "whenUnsatisfiable: DoNotSchedule), remove a spec.template.spec.nodeSelector or nodeName that ties "
            "them to one place, then restart the rollout so that they are placed anew",
        )

    return _over_places(inventory, judge)


def losses(inventory: Inventory) -> Iterator[Seen]:
    """What would remain after the loss of each node and each zone: at least the ``minAvailable`` of its budget, and
    at least one replica. A workload is named once, with the worst loss."""
    for workload in inventory.scalable:
        need, why = _need(inventory, workload)
        for key, place in PLACES.items():
            if key == ZONE and len(inventory.domains(ZONE)) < 2:
                yield Seen(f"{workload} without a zone", None, "the cluster has fewer than two zones")
                continue
            counts = placed(inventory, workload, key)
            total = sum(counts.values())
            worst, lost = max(counts.items(), key=lambda item: (item[1], item[0]), default=("any", 0))
            yield Seen(
                f"{workload} without {place} {worst}",
                ok=total - lost >= need,
                seen=f"{total - lost} of {total} ready replicas would remain, {need} must ({why}); "
                f"now {_listed(counts)}",
                rule=f"the loss of one {place} leaves as many ready replicas as the service needs",
                remedy=f"run more replicas (spec.replicas) and spread them over {place}s "
                f"(spec.template.spec.topologySpreadConstraints, topologyKey: {key})",
            )


def _need(inventory: Inventory, workload: Workload) -> tuple[int, str]:
    """The replicas that a service cannot do without. A ``maxUnavailable`` paces drains and says nothing about it."""
    for budget in inventory.budgets_of(workload):
        if (budget.get("spec") or {}).get("maxUnavailable") is None:
            least = desired_healthy(budget, inventory.wanted(workload))
            if least > 1:
                return least, f"{bound(budget)} of PodDisruptionBudget {budget['metadata']['name']}"
    return 1, "a service needs one"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} on {place}" for place, count in sorted(counts.items())) or "none anywhere"
