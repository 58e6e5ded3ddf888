"""Disruption budgets: what a PodDisruptionBudget and a rolling update let go, by Kubernetes' own arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_k8sha.workloads.model import Seen, subject
from pytest_k8sha.workloads.selectors import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.workloads.model import Inventory, Workload


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """An IntOrString: a number, or a percentage of ``total`` rounded ``up`` or down. A damaged text counts as 0."""
    if value is None:
        return 0
    if isinstance(value, str):
        digits = value.removesuffix("%")
        if not value.endswith("%") or not digits.isdigit():
            return 0
        share = int(digits) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return value


def desired_healthy(budget: Mapping[str, Any], expected: int) -> int:
    """The pods that must stay, of ``expected``. Both percentages round up, so that ``maxUnavailable`` lets more go
    (``getExpectedPodCount`` of the disruption controller)."""
    spec = budget.get("spec") or {}
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
    # The API server's default is a minimum of 1.
    return scaled(spec.get("minAvailable", 1), expected, up=True)


def bound(budget: Mapping[str, Any]) -> str:
    """The one bound of a budget, as it is written."""
    spec = budget.get("spec") or {}
    name = "maxUnavailable" if spec.get("maxUnavailable") is not None else "minAvailable"
    return f"{name}: {spec.get(name, 1)}"


def coverage(inventory: Inventory) -> Iterator[Seen]:
    """Each workload of two replicas or more has one PodDisruptionBudget, and only one: of two the eviction API
    makes a 500 (``EvictionREST.Create``)."""
    for workload in inventory.scalable:
        budgets = inventory.budgets_of(workload)
        names = ", ".join(b["metadata"]["name"] for b in budgets)
        if inventory.wanted(workload) < 2 and not budgets:
            yield Seen(str(workload), None, "one replica: a budget could only block every drain (see AVL-WRK-001)")
        elif len(budgets) > 1:
            yield Seen(
                str(workload),
                ok=False,
                seen=f"{len(budgets)} PodDisruptionBudgets match its pods: {names}; an eviction is answered with 500",
                rule="exactly one PodDisruptionBudget matches the pods of a workload",
                remedy=f"delete all but one of {names}, or make their spec.selector disjoint",
            )
        else:
            others = [
                f"{b['metadata']['name']} (selects {text(b.get('spec', {}).get('selector'))})"
                for b in inventory.budgets
                if b["metadata"].get("namespace") == workload.namespace and b not in budgets
            ]
            near = f"; the budgets of the namespace select other pods: {', '.join(others)}" if others else ""
            yield Seen(
                str(workload),
                ok=bool(budgets),
                seen=f"PodDisruptionBudget {names}" if budgets else f"no PodDisruptionBudget matches its pods{near}",
                rule="exactly one PodDisruptionBudget matches the pods of a workload",
                remedy="add a PodDisruptionBudget whose spec.selector matches "
                f"{text({'matchLabels': workload.labels})}, with spec.maxUnavailable: 1",
            )


def satisfiable(inventory: Inventory) -> Iterator[Seen]:
    """Each budget lets at least one pod go, and not all of them."""
    for budget in inventory.budgets:
        matched = [w for w in inventory.scalable if budget in inventory.budgets_of(w)]
        if not matched:
            yield Seen(subject(budget), None, "it matches the pods of no workload (see AVL-SEL-001)")
            continue
        expected = sum(inventory.wanted(w) for w in matched)
        stay = desired_healthy(budget, expected)
        allowed = expected - stay
        names = ", ".join(map(str, matched))
        seen = f"{bound(budget)} of {expected} replicas ({names}) lets {max(0, allowed)} go"
        if allowed < 1:
            remedy = (
                "set spec.maxUnavailable: 1 instead, and run more replicas than must stay"
                if expected > 1
                else "run at least 2 replicas (spec.replicas), and set spec.maxUnavailable: 1"
            )
        else:
            remedy = "set spec.maxUnavailable: 1, or spec.minAvailable to what the service needs"
        yield Seen(
            subject(budget),
            ok=allowed >= 1 and (stay >= 1 or expected == 1),
            seen=seen + ("; no drain can ever finish" if allowed < 1 else "; it protects nothing" if stay < 1 else ""),
            rule="a budget lets at least one pod go and keeps at least one",
            remedy=remedy,
        )


def rollout(inventory: Inventory) -> Iterator[Seen]:
    """An update leaves enough replicas: it does not recreate, and maxUnavailable stays within the budget. A rolling
    update does not ask a PodDisruptionBudget."""
    rule = "while a new version is rolled out, as many replicas serve as the budget asks for, and at least one"
    for workload in inventory.scalable:
        if workload.kind == "StatefulSet":
            yield _stateful_rollout(workload, rule)
            continue
        strategy = workload.spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            yield Seen(
                str(workload),
                ok=False,
                seen="strategy Recreate: every update stops all replicas before the first new one starts",
                rule=rule,
                remedy="set spec.strategy.type: RollingUpdate with rollingUpdate.maxUnavailable: 0, maxSurge: 1",
            )
            continue
        replicas = inventory.wanted(workload)
        given = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
        gone = min(replicas, scaled(given, replicas, up=False))
        stay = max([1, *(desired_healthy(b, replicas) for b in inventory.budgets_of(workload))])
        yield Seen(
            str(workload),
            ok=gone == 0 or replicas - gone >= stay,
            seen=f"maxUnavailable {given} of {replicas} leaves {replicas - gone} serving, {stay} must stay",
            rule=rule,
            remedy="set spec.strategy.rollingUpdate.maxUnavailable: 0 and maxSurge: 1",
        )


def _stateful_rollout(workload: Workload, rule: str) -> Seen:
    strategy = workload.spec.get("updateStrategy") or {}
    given = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
    gone = scaled(given, workload.replicas, up=True)
    if strategy.get("type") == "OnDelete":
        return Seen(str(workload), None, "updateStrategy OnDelete: whoever deletes the pods decides")
    return Seen(
        str(workload),
        ok=workload.replicas - gone >= 1,
        seen=f"an update takes {gone} of {workload.replicas} away at a time",
        rule=rule,
        remedy="run at least 2 replicas (spec.replicas), with spec.updateStrategy.rollingUpdate.maxUnavailable: 1",
    )
