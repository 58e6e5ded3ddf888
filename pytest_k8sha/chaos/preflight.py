"""Before a fault: what would be hit, and what would come of it. Nothing here sends a request.

The functions look at objects that were listed before, so that a thousand pods are judged in well under a second.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.engine import Plan, Target
from pytest_k8sha.chaos.order import RULES
from pytest_k8sha.errors import UsageError
from pytest_k8sha.workloads.budgets import bound, desired_healthy
from pytest_k8sha.workloads.inventory import SYSTEM
from pytest_k8sha.workloads.model import is_ready
from pytest_k8sha.workloads.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.chaos.engine import Candidates
    from pytest_k8sha.chaos.order import Choice, Order, Pods

Object = dict[str, Any]


class Refused(UsageError):
    """The preflight said no; nothing was changed. ``reasons`` are all of them, each by its rule."""

    def __init__(self, name: str, reasons: Sequence[str], *, remedy: str = "") -> None:
        self.reasons = list(reasons)
        super().__init__(
            f"the experiment {name} is refused, and nothing was changed: {'; '.join(reasons)}", remedy=remedy or None
        )


def plan(order: Order, found: Candidates, risks: Mapping[str, Sequence[str]], targets: tuple[Target, ...]) -> Plan:
    """The order with its targets pinned. Raises `Refused` with every reason at once."""
    reasons = []
    if not targets:
        reasons.append(f"zero targets: the selection fits none of {found.population} {found.counted}")
    share = 100 * len(targets) / found.population if found.population else 0.0
    if share > order.spec.limit:
        reasons.append(
            f"{len(targets)} of {found.population} {found.counted} are {share:.0f} %, above the blast radius of "
            f"{order.spec.limit:g}%"
        )
    notes = {"blast radius": f"{len(targets)} of {found.population} {found.counted} ({share:.0f} %)"}
    for rule, told in risks.items():
        if not told:
            continue
        notes[rule] = "; ".join(told)
        if rule not in order.spec.accept:
            reasons += [f"{one} ({rule}: {RULES[rule]})" for one in told]
    if reasons:
        wanted = sorted(rule for rule, told in risks.items() if told and rule not in order.spec.accept)
        remedy = f"choose fewer targets, or let it pass by `accept: [{', '.join(wanted)}]`" if wanted else ""
        raise Refused(order.name, reasons, remedy=remedy)
    return Plan(order, targets, notes)


def choose(targets: Iterable[Target], choice: Choice, seed: int) -> tuple[Target, ...]:
    """The targets that the choice takes; the same seed takes the same from the same. All where it says nothing."""
    fitting = sorted(targets)
    count = len(fitting)
    if choice.count is not None:
        # Fewer than asked for would be another experiment than the one that was ordered.
        count = choice.count if choice.count <= len(fitting) else 0
    elif choice.percent is not None:
        count = math.ceil(len(fitting) * choice.percent / 100)
    return tuple(sorted(random.Random(seed).sample(fitting, count)))  # noqa: S311 - repeatable, not secret


# --- pods --------------------------------------------------------------------------------------------------------


def fitting_pods(pods: Iterable[Object], wanted: Pods) -> list[Object]:
    """The running pods that the selection means: in its namespaces, of its names, with its labels."""
    selector = wanted.selector.as_labels()
    return [
        pod
        for pod in pods
        if pod["metadata"].get("namespace") in wanted.namespaces
        and (not wanted.names or pod["metadata"]["name"] in wanted.names)
        and selects(selector, pod["metadata"].get("labels") or {})
        and runs(pod)
    ]


def runs(pod: Object) -> bool:
    """Whether a pod is one that a fault can be about: not finished, and not on its way out."""
    return (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"} and not pod["metadata"].get(
        "deletionTimestamp"
    )


def pod_target(pod: Object) -> Target:
    meta = pod["metadata"]
    return Target("Pod", meta["name"], meta.get("namespace", ""), meta.get("uid", ""))


def pod_risks(pods: Sequence[Object], budgets: Iterable[Object], hit: Iterable[str]) -> dict[str, list[str]]:
    """What the loss of the pods with the uids ``hit`` would break: budgets, workloads left without a ready replica,
    and namespaces of the cluster's own. ``pods`` are all pods of the namespaces concerned."""
    gone = set(hit)
    found: dict[str, list[str]] = {"budget": [], "outage": [], "system": []}
    by_space: dict[str, list[Object]] = {}
    ready, left, owners = Counter[str](), Counter[str](), dict[str, str]()
    for pod in pods:
        by_space.setdefault(pod["metadata"].get("namespace", ""), []).append(pod)
        owner = owner_of(pod)
        lost = pod["metadata"].get("uid", "") in gone
        if lost:
            owners[owner] = f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"
        if is_ready(pod):
            ready[owner] += 1
            left[owner] += not lost
    for budget in budgets:
        space = budget["metadata"].get("namespace", "")
        selector = (budget.get("spec") or {}).get("selector")
        matched = [p for p in by_space.get(space, []) if selects(selector, p["metadata"].get("labels") or {})]
        if not any(p["metadata"].get("uid", "") in gone for p in matched):
            continue
        stay = sum(is_ready(p) and p["metadata"].get("uid", "") not in gone for p in matched)
        # The controller's own count knows workloads whose pods are not all there.
        expected = (budget.get("status") or {}).get("expectedPods") or len(matched)
        need = desired_healthy(budget, expected)
        if stay < need:
            found["budget"].append(
                f"PodDisruptionBudget {space}/{budget['metadata']['name']} ({bound(budget)}) needs {need} healthy, and "
                f"{stay} of {expected} would stay"
            )
    for owner, name in sorted(owners.items()):
        if ready[owner] and not left[owner]:
            found["outage"].append(f"none of {ready[owner]} ready pods of {owner or f'pod {name}'} would stay")
    touched = {p["metadata"].get("namespace", "") for p in pods if p["metadata"].get("uid", "") in gone}
    found["system"] += [f"pods in the namespace {name} would be hit" for name in sorted(touched & SYSTEM)]
    return found


def owner_of(pod: Object) -> str:
    """The controller of a pod, ``Kind namespace/name``; a ReplicaSet counts by itself. Empty where there is none."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return f"{owner.get('kind')} {pod['metadata'].get('namespace', '')}/{owner.get('name')}"
    return ""


# --- members -----------------------------------------------------------------------------------------------------


def quorum(members: int) -> int:
    """The members of etcd that must agree: more than half (https://etcd.io/docs/v3.6/faq/)."""
    return members // 2 + 1


def member_risks(component: str, members: int, serving: Iterable[int], hit: Iterable[int]) -> dict[str, list[str]]:
    """What the loss of members would break. ``members`` are counted in all (learners left out), ``serving`` those that
    serve now, ``hit`` those that a fault takes."""
    stay = sorted(set(serving) - set(hit))
    found: dict[str, list[str]] = {"quorum": [], "outage": []}
    if component == "etcd" and len(stay) < quorum(members):
        found["quorum"].append(f"{len(stay)} of {members} etcd members would stay, and {quorum(members)} must agree")
    if not stay:
        found["outage"].append(f"no {component} would serve: {members} in all")
    return found
