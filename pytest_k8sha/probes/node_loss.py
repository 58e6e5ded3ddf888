"""What happens when a node is lost: how long until the cluster notices, evicts its pods and has replaced them.

One node stops its heartbeat. The canary shows what the cluster does; each workload that has a pod on the node is then
judged by what becomes of that pod. The heartbeat is resumed whatever happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import Inconclusive, RequestError, WaitTimeout
from pytest_k8sha.probes import canary
from pytest_k8sha.probes.faults import injected
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.workloads.model import Inventory, Workload

UNREACHABLE = "node.kubernetes.io/unreachable"
NOTICED = 75.0
"""The most seconds until a silent node is NotReady: 50 s by default (40 s before 1.32), and half as much for slack."""
LONGEST = 30.0
"""A pod that stays longer than this on a lost node, by its own toleration, is not waited for."""
REPLACED = 15.0
"""Seconds from an eviction to a ready replacement."""
BEFORE = 20.0
"""The most seconds to wait, before the loss, until every workload on the node is whole."""
_EVERY = 0.15


@dataclass
class Moment:
    """When something happened, in seconds from the loss: after ``lo`` (it was looked for and not so), by ``hi``."""

    lo: float = 0.0
    hi: float | None = None

    def look(self, *, so: bool, asked: float, answered: float) -> None:
        """Notes one look, with its times."""
        if self.hi is None:
            if so:
                self.hi = answered
            else:
                self.lo = asked

    def __str__(self) -> str:
        return f"after {self.lo:.1f} to {self.hi:.1f} s" if self.hi is not None else f"not within {self.lo:.1f} s"


@dataclass
class Watched:
    """A workload with pods on the lost node: their names, the longest that they tolerate the loss, what was seen."""

    name: str
    workload: Workload | None
    names: set[str]
    wanted: int
    tolerated: float | None
    evicted: Moment = field(default_factory=Moment)
    replaced: Moment = field(default_factory=Moment)
    least: int = 1_000_000
    waiting: str = ""

    @property
    def stateful(self) -> bool:
        return self.workload is not None and self.workload.kind == "StatefulSet"

    @property
    def forever(self) -> bool:
        return self.tolerated is None

    @property
    def awaited(self) -> bool:
        """Whether it is to be evicted in the time that is waited."""
        return self.tolerated is not None and self.tolerated <= LONGEST


def toleration(pod: dict[str, Any]) -> float | None:
    """The seconds that a pod stays on an unreachable node; None for ever, 0 when it tolerates nothing
    (``tolerations.GetMinTolerationTime`` of the taint eviction controller)."""
    seconds = []
    for one in (pod.get("spec") or {}).get("tolerations") or []:
        key, effect = one.get("key", ""), one.get("effect", "")
        if key not in {"", UNREACHABLE} or effect not in {"", "NoExecute"}:
            continue
        if not key and one.get("operator") != "Exists":
            continue
        seconds.append(one.get("tolerationSeconds"))
    if not seconds:
        return 0.0
    finite = [float(s) for s in seconds if s is not None]
    return max(0.0, min(finite)) if finite else None


def choose(inventory: Inventory) -> str:
    """The ready node whose loss tells most: it carries pods of the most workloads. Raises `Inconclusive`."""
    names: list[str] = [node["metadata"]["name"] for node in inventory.nodes]
    if len(names) < 2:
        raise Inconclusive(f"a node is lost only where another one is ready; ready nodes: {', '.join(names) or 'none'}")
    carried: dict[str, set[str]] = {name: set() for name in names}
    for workload in inventory.scalable:
        for pod in inventory.pods_of(workload):
            carried.setdefault(pod["spec"].get("nodeName", ""), set()).add(str(workload))
    return max(sorted(names), key=lambda name: len(carried[name]))


def watched(inventory: Inventory, node: str) -> list[Watched]:
    """The workloads with ready pods on a node."""
    found = []
    for workload in inventory.scalable:
        pods = [p for p in inventory.pods_of(workload) if p["spec"].get("nodeName") == node and is_ready(p)]
        if pods:
            found.append(_watch(str(workload), workload, pods, workload.replicas))
    return found


def _watch(name: str, workload: Workload | None, pods: list[dict[str, Any]], wanted: int) -> Watched:
    times = [toleration(pod) for pod in pods]
    finite = [t for t in times if t is not None]
    longest = max(finite) if len(finite) == len(times) else None
    return Watched(name, workload, {p["metadata"]["name"] for p in pods}, wanted, longest)


def lose(cluster: Cluster, judge: Judge, namespace: str, inventory: Inventory) -> None:
    """Lets one node fall silent, judges and measures what follows, and has it back. ``namespace`` takes the canary."""
    node = choose(inventory)
    place = canary.placed(cluster, namespace, "canary", near=node)
    if place != node:
        raise Inconclusive(f"the canary was to be on {node} and was placed on {place}")
    control = _watch("the canary", None, canary.pods(cluster, namespace, "canary"), 1)
    unsteady = _unsteady(cluster, inventory, node)
    for name, seen in unsteady.items():
        judge.unsure(name, f"before the loss {seen}: what it lacks afterwards cannot be told apart")
    subjects = [one for one in watched(inventory, node) if one.name not in unsteady]
    faults = cluster.faults
    others = _others(cluster, node)
    begun = _clock.now()
    try:
        with injected(lambda: faults.stop_heartbeat(node), undo=lambda: faults.resume_heartbeat(node)):
            loss = _Loss(cluster, judge, namespace, inventory, node, begun, others)
            loss.judge_all(control, subjects)
    finally:
        cluster.snapshot.forget()
        back = _back(cluster, node)
    judge.measure("node back after its heartbeat", round(back, 2), "s")


def lacking(inventory: Inventory, node: str) -> dict[str, str]:
    """The workloads with pods on a node that have fewer ready pods than they want, and what they have."""
    found = {}
    for workload in inventory.scalable:
        pods = inventory.pods_of(workload)
        ready = sum(is_ready(pod) for pod in pods)
        if ready < workload.replicas and any(pod["spec"].get("nodeName") == node for pod in pods):
            found[str(workload)] = f"{ready} of {workload.replicas} pods were ready"
    return found


def _unsteady(cluster: Cluster, inventory: Inventory, node: str) -> dict[str, str]:
    """As `lacking`, of what does not become whole in some time. Leaves what it saw last in the inventory."""

    def look() -> dict[str, str]:
        inventory.pods = cluster.resource("v1", "Pod").list()
        inventory.replica_sets = cluster.resource("apps/v1", "ReplicaSet").list()
        return lacking(inventory, node)

    try:
        return eventually(
            look, what="workloads are whole", timeout=BEFORE, interval=_EVERY, accept=lambda found: not found
        )
    except WaitTimeout:
        return look()


def _others(cluster: Cluster, node: str) -> dict[str, str]:
    """What each other node says of its readiness, and since when."""
    return {
        one["metadata"]["name"]: f"{condition['status']} since {condition.get('lastTransitionTime')}"
        for one in cluster.resource("v1", "Node").list()
        for condition in one["status"].get("conditions") or []
        if condition["type"] == "Ready" and one["metadata"]["name"] != node
    }


@dataclass
class _Loss:
    cluster: Cluster
    judge: Judge
    namespace: str
    inventory: Inventory
    node: str
    begun: float
    others: dict[str, str]
    noticed: Moment = field(default_factory=Moment)
    tainted: Moment = field(default_factory=Moment)

    def judge_all(self, control: Watched, subjects: list[Watched]) -> None:
        self._wait(lambda: self.tainted.hi is not None, NOTICED, "the node is tainted", [], nodes=True)
        if not self.judge.control(self.noticed.hi is not None, f"{self.node} is NotReady within {NOTICED:.0f} s"):
            return
        self._measure("node not ready after", self.noticed)
        self._measure("node tainted after", self.tainted)
        first = [control, *(s for s in subjects if s.awaited)]
        longest = max(w.tolerated or 0.0 for w in first)
        self._wait(
            lambda: all(self._done(w) for w in first), longest + REPLACED, "pods are replaced", [*first, *subjects]
        )
        proved = self.judge.control(
            control.replaced.hi is not None, f"a canary on {self.node} that tolerates its loss for 1 s is replaced"
        )
        if proved:
            self._measure("canary replaced after", control.replaced)
        now = _others(self.cluster, self.node)
        wavering = {name: now.get(name, "gone") for name, was in self.others.items() if now.get(name, "gone") != was}
        for one in subjects:
            if wavering and not self._done(one) and not one.forever:
                also = ", ".join(f"{name} ({seen})" for name, seen in sorted(wavering.items()))
                self.judge.unsure(one.name, f"other nodes came or went meanwhile: {also}")
                continue
            self._judge(one, proved=proved)
        if proved and not subjects:
            self.judge.ok("the canary", f"no workload had a pod on {self.node}; replaced {control.replaced}")

    @staticmethod
    def _done(one: Watched) -> bool:
        return one.evicted.hi is not None and (one.stateful or one.replaced.hi is not None)

    def _wait(self, done: Any, timeout: float, what: str, looked: Iterable[Watched], *, nodes: bool = False) -> None:
        """Looks again and again; a look that fails says nothing, and widens the error bars."""
        unique = list({one.name: one for one in looked}.values())

        def look() -> bool:
            try:
                if nodes:
                    self._look_at_node()
                if unique:
                    self._look_at_pods(unique)
            except RequestError:
                return False
            return bool(done())

        try:
            eventually(look, what=what, timeout=timeout, interval=_EVERY, growth=1.0)
        except WaitTimeout:
            return

    def _look_at_node(self) -> None:
        asked = _clock.now() - self.begun
        node = self.cluster.resource("v1", "Node").get(self.node)
        times = {"asked": asked, "answered": _clock.now() - self.begun}
        conditions = node["status"].get("conditions") or []
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        taints = (node.get("spec") or {}).get("taints") or []
        self.noticed.look(so=not ready, **times)
        self.tainted.look(so=any(t["effect"] == "NoExecute" and t["key"] == UNREACHABLE for t in taints), **times)

    def _look_at_pods(self, looked: list[Watched]) -> None:
        asked = _clock.now() - self.begun
        pods = self.cluster.resource("v1", "Pod").list()
        replica_sets = self.cluster.resource("apps/v1", "ReplicaSet").list()
        times = {"asked": asked, "answered": _clock.now() - self.begun}
        self.inventory.pods, self.inventory.replica_sets = pods, replica_sets
        for one in looked:
            mine = self._pods_of(one, pods)
            lost = [p for p in mine if p["metadata"]["name"] in one.names and p["spec"].get("nodeName") == self.node]
            ready = [p for p in mine if p["spec"].get("nodeName") not in {None, "", self.node} and is_ready(p)]
            one.least = min(one.least, len(ready))
            one.evicted.look(so=all(p["metadata"].get("deletionTimestamp") for p in lost), **times)
            one.replaced.look(so=one.evicted.hi is not None and len(ready) >= one.wanted, **times)
            one.waiting = next((m for m in map(_unscheduled, mine) if m), "")

    def _pods_of(self, one: Watched, pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if one.workload is None:
            return [
                p
                for p in pods
                if p["metadata"].get("namespace") == self.namespace
                and canary.LABEL in (p["metadata"].get("labels") or {})
            ]
        there = {p["metadata"]["name"] for p in self.inventory.pods_of(one.workload)} | one.names
        return [
            p
            for p in pods
            if p["metadata"].get("namespace") == one.workload.namespace and p["metadata"]["name"] in there
        ]

    def _judge(self, one: Watched, *, proved: bool) -> None:
        judge, rule = self.judge, "the pods of a lost node are evicted and replaced"
        if one.forever and one.evicted.hi is None:
            if proved:
                judge.bad(
                    one.name,
                    seen=f"its pod on {self.node} tolerates {UNREACHABLE} for ever: evicted {one.evicted}, "
                    "while the canary was replaced",
                    rule=rule,
                    remedy="give the toleration in spec.template.spec.tolerations a key of your own taint, or "
                    "tolerationSeconds; one with operator Exists alone tolerates everything",
                )
            return
        if not one.forever and not one.awaited:
            judge.skip(one.name, f"it tolerates the loss for {one.tolerated:.0f} s, longer than is waited")
        elif one.evicted.hi is None:
            judge.bad(one.name, seen=f"its pod on {self.node}: evicted {one.evicted}", rule=rule)
        elif one.stateful:
            # At most one of each name may run: the pod goes when its node says so, or somebody declares it lost.
            self._measure(f"{one.name} evicted after", one.evicted)
            judge.that(
                one.least >= 1 or one.replaced.hi is not None,
                one.name,
                seen=f"evicted {one.evicted}; {one.least} other replicas stayed ready, and the lost one waits for its "
                "node, as at most one of its name may run",
                rule="a StatefulSet keeps a ready replica while a node is lost",
                remedy="run three replicas (spec.replicas) spread over nodes; to free the name of a node that is gone "
                "for good, taint it node.kubernetes.io/out-of-service",
            )
        elif one.replaced.hi is None:
            judge.bad(
                one.name,
                seen=f"evicted {one.evicted}, replaced {one.replaced}: {one.waiting or 'no replacement is ready'}",
                rule=rule,
                remedy="leave room for a replacement: nodeTaintsPolicy: Honor in "
                "spec.template.spec.topologySpreadConstraints, spare capacity, no spec.template.spec.nodeSelector "
                "for one node",
            )
        else:
            self._measure(f"{one.name} whole again after", one.replaced)
            judge.ok(one.name, f"evicted {one.evicted}, replaced {one.replaced}; at least {one.least} stayed ready")

    def _measure(self, name: str, moment: Moment) -> None:
        if moment.hi is not None:
            self.judge.measure(name, round(moment.hi, 2), "s", lo=round(moment.lo, 2), hi=round(moment.hi, 2))


def _unscheduled(pod: dict[str, Any]) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{pod['metadata']['name']} is {condition.get('reason')}: {condition.get('message')}"
    return ""


def _back(cluster: Cluster, node: str) -> float:
    """Waits until a node is Ready and untainted again; returns the seconds. Raises `WaitTimeout`."""
    begun = _clock.now()

    def well() -> bool:
        found = cluster.resource("v1", "Node").get(node)
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in found["status"].get("conditions") or [])
        return ready and not (found.get("spec") or {}).get("taints")

    eventually(well, what=f"{node} is ready again", timeout=30.0, interval=_EVERY)
    return _clock.now() - begun
