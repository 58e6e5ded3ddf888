"""A node is cordoned and drained while traffic goes on; afterwards it takes pods again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.nodes import CONTROL_PLANE, NodesEngine
from pytest_k8sha.chaos.order import order
from pytest_k8sha.chaos.serving.film import Film
from pytest_k8sha.chaos.serving.removal import measured
from pytest_k8sha.chaos.serving.traffic import Traffic
from pytest_k8sha.errors import Inconclusive, WaitTimeout
from pytest_k8sha.probes import canary
from pytest_k8sha.workloads import fronts

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_k8sha.chaos.engine import Target
    from pytest_k8sha.chaos.serving.film import PodSeen
    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.node_loss import Moment
    from pytest_k8sha.workloads.model import Inventory, Workload

CORDON = 10.0
"""Seconds for a canary to be placed on a cluster that is well."""


def worker(inventory: Inventory, *, but: Collection[str] = ()) -> str:
    """The node, none of the control plane, that carries pods of the most workloads: its loss tells most.

    Raises `Inconclusive` where no node could take over for it.
    """
    names: list[str] = [n["metadata"]["name"] for n in inventory.nodes]
    workers: list[str] = [
        n["metadata"]["name"] for n in inventory.nodes if CONTROL_PLANE not in (n["metadata"].get("labels") or {})
    ]
    fitting = [name for name in workers if name not in but]
    if not fitting or len(names) < 2:
        raise Inconclusive(
            f"a node is taken away only where another one stays; nodes that take pods: {', '.join(names) or 'none'}"
        )
    carried: dict[str, set[str]] = {name: set() for name in fitting}
    for workload in inventory.scalable:
        for pod in inventory.pods_of(workload):
            carried.get(pod["spec"].get("nodeName", ""), set()).add(str(workload))
    return max(sorted(fitting), key=lambda name: len(carried[name]))


@dataclass
class Drained:
    """What was seen of one drain. ``missing`` are the workloads that had a pod on the node, with the moment when all
    their replicas were ready elsewhere."""

    node: str
    demand: Demand
    traffic: Traffic
    blocked: dict[Target, str] = field(default_factory=dict)
    evicted: dict[Target, float] = field(default_factory=dict)
    began: float = 0.0
    moved: list[tuple[Workload, list[str], Moment]] = field(default_factory=list)


def cordon(cluster: Cluster, judge: Judge, namespace: str, inventory: Inventory) -> None:
    """No new pod lands on a node that is cordoned. ``namespace``, of the run's own, takes two canaries that want to be
    there: one before, which shows that they can, and one meanwhile."""
    node = worker(inventory)
    before = canary.placed(cluster, namespace, "before", near=node)
    if not judge.control(
        before == node, f"a pod that prefers {node} is placed there while it is well, not on {before}"
    ):
        return
    wanted = order(
        "cordon", "cordon", nodes={"names": [node]}, blastRadius="100%", accept=["foreign"], recoverWithin="60s"
    )
    with Experiment(cluster, wanted, NodesEngine(cluster)).running():
        try:
            place = canary.placed(cluster, namespace, "during", near=node, timeout=CORDON)
        except WaitTimeout as error:
            judge.unsure(f"Node {node}", f"while it was cordoned a new pod was placed nowhere: {canary.trouble(error)}")
            return
    judge.that(
        place != node,
        f"Node {node}",
        seen=f"while it was cordoned, a new pod that prefers it was placed on {place}",
        remedy="see who gives pods a toleration of node.kubernetes.io/unschedulable, or binds them past the scheduler",
    )


def drain(cluster: Cluster, inventory: Inventory, demand: Demand) -> Drained:
    """Drains one node, and has it back."""
    node = worker(inventory)
    engine = NodesEngine(cluster)
    drained = Drained(node, demand, Traffic(cluster, fronts.fronts(inventory), demand, avoid=[node]))
    touched = [
        (w, names)
        for w in inventory.scalable
        if (names := [p["metadata"]["name"] for p in inventory.pods_of(w) if p["spec"].get("nodeName") == node])
    ]
    wanted = order(
        "drain",
        "drain",
        nodes={"names": [node]},
        blastRadius="100%",
        accept=["outage", "foreign"],
        proveWithin=f"{demand.within:g}s",
        recoverWithin="60s",
    )
    experiment = Experiment(cluster, wanted, engine)
    with drained.traffic as traffic, Film(cluster) as film:
        with traffic.fault("drain"), experiment.running():
            drained.began = began = experiment.report.injected[0]
            stuck = {(t.namespace, t.name) for t in engine.blocked}
            free = [(w, names) for w, names in touched if not any((w.namespace, n) in stuck for n in names)]
            film.until(
                lambda frame: all(len(_elsewhere(frame.ready(w), node)) >= w.replicas for w, _ in free),
                timeout=max(1.0, demand.within - (_clock.now() - began)),
                what="the evicted pods are replaced elsewhere",
            )
        drained.blocked, drained.evicted = dict(engine.blocked), dict(engine.evicted)
        for workload, names in touched:
            moment = film.moment(
                lambda frame, w=workload: len(_elsewhere(frame.ready(w), node)) >= w.replicas,  # type: ignore[misc]
                since=began,
            )
            drained.moved.append((workload, names, moment))
    return drained


def _elsewhere(pods: list[PodSeen], node: str) -> list[PodSeen]:
    return [pod for pod in pods if pod.node != node]


def judge_drain(judge: Judge, seen: Drained) -> None:
    """Every pod was let go within the window, and every workload is whole elsewhere."""
    rule = f"a drain ends within {seen.demand.within:g} s ({seen.demand.source}), budgets kept"
    by_pod = {(t.namespace, t.name): why for t, why in seen.blocked.items()}
    ended = max(seen.evicted.values(), default=seen.began)
    for workload, names, moment in seen.moved:
        held = [f"{n}: {by_pod[workload.namespace, n]}" for n in names if (workload.namespace, n) in by_pod]
        if held:
            judge.bad(
                workload,
                seen=f"{len(held)} of {len(names)} pods on {seen.node} were never let go: {'; '.join(held)}",
                rule=rule,
                remedy="set spec.maxUnavailable: 1 in its PodDisruptionBudget and run more replicas than must stay",
            )
        elif moment.hi is None:
            judge.bad(workload, seen=f"evicted from {seen.node}, and not whole elsewhere {moment}", rule=rule)
        else:
            measured(judge, f"{workload} whole elsewhere after", moment)
            judge.that(moment.lo <= seen.demand.within, workload, seen=f"whole elsewhere {moment}", rule=rule)
    if seen.evicted and not seen.blocked:
        judge.measure("all evictions let through after", round(ended - seen.began, 2), "s")
