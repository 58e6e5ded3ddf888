"""A node is lost while traffic goes on: with its power at once, or first its kubelet alone.

While only the kubelet is away the containers go on, and nobody can tell that from a lost node. So this is where a
StatefulSet must wait: a second pod of the same name could write while the first one still does. It is freed when
somebody who knows that the node is off says so, by the taint ``node.kubernetes.io/out-of-service``
(https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.nodes import MERGE, NodesEngine
from pytest_k8sha.chaos.order import order
from pytest_k8sha.chaos.serving.draining import worker
from pytest_k8sha.chaos.serving.film import Film
from pytest_k8sha.chaos.serving.removal import measured
from pytest_k8sha.chaos.serving.traffic import Traffic
from pytest_k8sha.fleet import undo
from pytest_k8sha.fleet.undo import Undo
from pytest_k8sha.probes.node_loss import toleration
from pytest_k8sha.workloads import fronts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_k8sha.chaos.serving.film import Frame, PodSeen
    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.node_loss import Moment
    from pytest_k8sha.workloads.model import Inventory, Workload

OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}

UNDECIDED = 5.0
"""Seconds after its eviction in which a StatefulSet's pod is watched, while its node is not declared lost."""

FREED = 60.0
"""Seconds from that declaration until the pod of the same name is there again: the collector of pods looks every 20 s
(`pkg/controller/podgc`, gcCheckPeriod)."""


@dataclass
class Share:
    """A workload's pods on the node, and what became of them."""

    workload: Workload
    pods: list[PodSeen]
    tolerated: float | None
    claims: dict[str, str] = field(default_factory=dict)
    """The uid of each PersistentVolumeClaim that the pods use, by name."""

    @property
    def stateful(self) -> bool:
        return self.workload.kind == "StatefulSet"

    def left(self, frame: Frame) -> bool:
        """Every pod that was on the node is being deleted, or gone."""
        return all(pod.uid not in frame.pods or frame.pods[pod.uid].leaving for pod in self.pods)

    def whole(self, frame: Frame, node: str) -> bool:
        return len([p for p in frame.ready(self.workload) if p.node != node]) >= self.workload.replicas

    def successors(self, frame: Frame) -> list[PodSeen]:
        """Pods that bear the names of those on the node and are not them."""
        mine = {pod.name: pod.uid for pod in self.pods}
        return [p for p in frame.of(self.workload) if p.name in mine and p.uid != mine[p.name]]


@dataclass
class Lost:
    """What was seen of one lost node. Times are on the monotonic clock; ``declared`` is None where nobody was told
    that it is out of service."""

    node: str
    demand: Demand
    traffic: Traffic
    film: Film
    shares: list[Share] = field(default_factory=list)
    began: float = 0.0
    declared: float | None = None
    ended: float = 0.0
    claims_after: dict[str, str] = field(default_factory=dict)

    def moment(self, so: Callable[[Frame], bool], since: float | None = None) -> Moment:
        return self.film.moment(so, since=self.began if since is None else since)


def kubelet(cluster: Cluster, inventory: Inventory, demand: Demand, *, node: str = "") -> Lost:
    """The kubelet ends, and its containers go on; then the node loses its power as well, which is declared; then it
    has both back."""
    seen = _prepare(cluster, inventory, demand, node)
    with seen.traffic as traffic, seen.film, ExitStack() as stack:
        _see(cluster, inventory, seen)
        with _experiment(cluster, seen, "stop-kubelet").running() as running:
            # What users feel is judged while the containers go on, not when the power goes.
            seen.began = running.report.injected[0]
            with traffic.fault("kubelet"):
                _until_replaced(seen)
                running.hold(UNDECIDED)
            traffic.stop()
            stateful = [s for s in seen.shares if s.stateful]
            if stateful:
                stack.callback(cluster.faults.resume_heartbeat, seen.node)  # the way back of the kubelet needs it too
                cluster.faults.stop_heartbeat(seen.node)
                _declare(cluster, seen, stateful)
        seen.ended = _clock.now()
    return seen


def _declare(cluster: Cluster, seen: Lost, stateful: Sequence[Share]) -> None:
    """The node is off, and that is said: then the names of its pods are free."""
    with _Declared(cluster, seen):
        seen.film.until(
            lambda frame: all({p.name for p in s.successors(frame)} >= {p.name for p in s.pods} for s in stateful),
            timeout=FREED,
            what="the names are free again",
        )
        seen.claims_after = {k: v for s in stateful for k, v in _claims(cluster, s).items()}


def _prepare(cluster: Cluster, inventory: Inventory, demand: Demand, node: str) -> Lost:
    name = node or worker(inventory)
    doors = fronts.fronts(inventory)
    return Lost(name, demand, Traffic(cluster, doors, demand, avoid=[name]), Film(cluster))


def _see(cluster: Cluster, inventory: Inventory, seen: Lost) -> None:
    for workload in inventory.scalable:
        pods = [p for p in seen.film.last.of(workload) if p.node == seen.node and p.ready]
        if not pods:
            continue
        uids = {p.uid for p in pods}
        times = [toleration(p) for p in inventory.pods_of(workload) if p["metadata"]["uid"] in uids]
        finite = [t for t in times if t is not None]
        share = Share(workload, pods, max(finite, default=0.0) if len(finite) == len(times) else None)
        share.claims = _claims(cluster, share)
        seen.shares.append(share)


def _claims(cluster: Cluster, share: Share) -> dict[str, str]:
    names = {
        f"{template['metadata']['name']}-{pod.name}"
        for template in share.workload.spec.get("volumeClaimTemplates") or []
        for pod in share.pods
    }
    found = {n: cluster.resource("v1", "PersistentVolumeClaim").find(n, share.workload.namespace) for n in names}
    return {f"{share.workload.namespace}/{n}": c["metadata"]["uid"] if c else "" for n, c in found.items()}


def _experiment(cluster: Cluster, seen: Lost, action: str) -> Experiment:
    wanted = order(
        f"node-{action}",
        action,
        nodes={"names": [seen.node]},
        blastRadius="100%",
        accept=["outage", "budget", "foreign"],
        proveWithin=f"{seen.demand.within:g}s",
        recoverWithin="180s",
    )
    return Experiment(cluster, wanted, NodesEngine(cluster))


def _until_replaced(seen: Lost) -> None:
    """Until what can be replaced without anybody's help is replaced."""
    waited = [s for s in seen.shares if s.tolerated is not None and s.tolerated <= seen.demand.within]
    seen.film.until(
        lambda frame: all(s.left(frame) and (s.stateful or s.whole(frame, seen.node)) for s in waited),
        timeout=max(1.0, seen.demand.within - (_clock.now() - seen.began)),
        what="the pods of the lost node are replaced",
    )


class _Declared:
    """The node is said to be out of service for the time of the block; journalled with its undo."""

    def __init__(self, cluster: Cluster, seen: Lost) -> None:
        self._cluster, self._seen, self._entry = cluster, seen, 0
        self._kept: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        taints = self._cluster.resource("v1", "Node").get(self._seen.node)["spec"].get("taints") or []
        # Those of the node's condition are the node controller's own, which sets them anew as it sees fit.
        self._kept = [t for t in taints if not t["key"].startswith("node.kubernetes.io/")]
        back = Undo("PATCH", f"/api/v1/nodes/{self._seen.node}", {"spec": {"taints": self._kept}}, MERGE)
        self._entry = undo.begin(self._cluster, f"Node {self._seen.node}", [back])
        self._seen.declared = _clock.now()
        self._taint([*taints, dict(OUT_OF_SERVICE)])

    def __exit__(self, *_: object) -> None:
        self._taint(self._kept)
        undo.end(self._cluster, self._entry)

    def _taint(self, taints: list[dict[str, Any]]) -> None:
        self._cluster.resource("v1", "Node").patch(self._seen.node, {"spec": {"taints": taints}})


def judge_names(judge: Judge, seen: Lost) -> None:
    """No two pods of one name while the node may still run; the name is free once it is declared lost."""
    for share in _stateful(seen.shares):
        left = seen.moment(share.left)
        if not judge.control(left.hi is not None, f"the pods of {share.workload} on {seen.node} are evicted"):
            continue
        early = seen.moment(lambda frame, s=share: bool(s.successors(frame)))  # type: ignore[misc]
        declared = None if seen.declared is None else seen.declared - seen.began
        if early.hi is not None and (declared is None or early.hi <= declared):
            twins = {p.name: p.node for f in seen.film.within(seen.began, seen.declared) for p in share.successors(f)}
            told = ", ".join(f"{name} on {node or 'no node yet'}" for name, node in sorted(twins.items()))
            judge.bad(
                share.workload,
                seen=f"{early} there was a second {told}, while the containers of the first on {seen.node} went on and "
                "nobody had declared that node lost: two writers",
                rule="at most one pod of each name runs, whatever becomes of its node",
                remedy="never delete pods of a StatefulSet with grace 0 (--force); taint a node that is off "
                "node.kubernetes.io/out-of-service instead",
            )
            continue
        if seen.declared is None:
            judge.unsure(share.workload, f"no second pod was seen, and {seen.node} was never declared lost")
            continue
        freed = seen.moment(
            lambda frame, s=share: {p.name for p in s.successors(frame)} >= {p.name for p in s.pods},  # type: ignore[misc]
            since=seen.declared,
        )
        kept = {name: uid for name, uid in share.claims.items() if seen.claims_after.get(name) == uid}
        rule = f"once its node is declared lost, a name is there again within {FREED:g} s, with its claim"
        if freed.hi is None:
            judge.bad(share.workload, seen=f"declared lost, and no pod of the same name {freed}", rule=rule)
            continue
        measured(judge, f"{share.workload} free after the declaration", freed)
        names = ", ".join(sorted(pod.name for pod in share.pods))
        judge.that(
            kept == share.claims,
            share.workload,
            seen=f"{names}: one of each name until its node was declared lost, there again {freed}, "
            f"{len(kept)} of {len(share.claims)} claims kept",
            rule=rule,
        )


def _stateful(shares: Sequence[Share]) -> Iterator[Share]:
    return (share for share in shares if share.stateful)
