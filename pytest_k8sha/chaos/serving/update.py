"""Updates under traffic: a rollout and its rollback.

A rollout is what `kubectl rollout restart` does: an annotation of the pod template changes. Taking it back makes the
template what it was, so that the controller goes back to the earlier revision.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.lock import ClusterLock
from pytest_k8sha.chaos.serving.film import Film
from pytest_k8sha.chaos.serving.traffic import Traffic
from pytest_k8sha.errors import WaitTimeout
from pytest_k8sha.fleet import undo
from pytest_k8sha.fleet.undo import Undo
from pytest_k8sha.model import nonce
from pytest_k8sha.workloads import fronts
from pytest_k8sha.workloads.model import Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_k8sha.chaos.serving.film import Frame
    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.workloads.model import Inventory

STAMP = "k8sha.dev/restarted"

KINDS = ("Deployment", "StatefulSet")
STRATEGIC = "application/strategic-merge-patch+json"
_EVERY = 0.3


@dataclass
class Updated:
    """One workload's update: when it began and was over, on the monotonic clock; ``why`` it was not over in time."""

    workload: Workload
    began: float = 0.0
    ended: float | None = None
    why: str = ""
    old: frozenset[str] = field(default_factory=frozenset)

    @property
    def seconds(self) -> float:
        return (self.ended or _clock.now()) - self.began


class Updates:
    """Changes the pod templates of workloads, all at once, and has them back as they were. A context manager: on its
    way out every template is taken back that still differs, and the cluster's lock is let go."""

    def __init__(self, cluster: Cluster, workloads: Sequence[Workload], *, seconds: float) -> None:
        self._cluster, self.workloads = cluster, [w for w in workloads if w.kind in KINDS]
        self._lock = ClusterLock(cluster, "update", seconds)
        self._stack = ExitStack()
        self._changed: dict[str, tuple[Workload, int, dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        with self._stack as stack:
            stack.enter_context(self._lock)
            stack.callback(self.take_back)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self, film: Film) -> list[Updated]:
        """Rolls every workload out anew."""
        stamp, begun = nonce("restart"), []
        for workload in self.workloads:
            path = self._cluster.resource("apps/v1", workload.kind).kind.path(workload.namespace, workload.name)
            back = _stamped(workload.annotations.get(STAMP))
            number = undo.begin(self._cluster, str(workload), [Undo("PATCH", path, back, STRATEGIC)])
            self._changed[path] = (workload, number, back)
            begun.append(_begin(workload, film.last))
            self._patch(path, _stamped(stamp))
        return begun

    def take_back(self, film: Film | None = None) -> list[Updated]:
        """Every template as it was: a rollback."""
        begun = []
        for path, (workload, number, back) in list(self._changed.items()):
            begun.append(_begin(workload, film.last if film else None))
            self._patch(path, back)
            undo.end(self._cluster, number)
            del self._changed[path]
        return begun

    def wait(self, film: Film, updates: Iterable[Updated], *, timeout: float) -> None:
        """Until each is over: all replicas are of the new template and ready, and the last old pod is gone."""
        waiting = list(updates)

        def over() -> bool:
            now = film.last
            for one in waiting:
                if one.ended is None:
                    obj = self._cluster.resource("apps/v1", one.workload.kind).get(
                        one.workload.name, one.workload.namespace
                    )
                    one.why = _left(obj, one, now)
                    if not one.why:
                        one.ended = _clock.now()
            return all(one.ended is not None for one in waiting)

        try:
            eventually(over, what="the updates are over", timeout=timeout, interval=_EVERY, growth=1.0)
        except WaitTimeout:
            return  # each says by itself why it is not over

    def _patch(self, path: str, body: dict[str, Any]) -> None:
        self._cluster.client.request("PATCH", path, body=body, content_type=STRATEGIC)


def update(cluster: Cluster, judge: Judge, inventory: Inventory, demand: Demand) -> None:
    """A rollout and its rollback of every workload that a Service stands before, under traffic."""
    doors = fronts.fronts(inventory)
    served = {str(front.workload) for front in doors}
    workloads = list(fitting(w for w in inventory.scalable if str(w) in served))
    doors = [front for front in doors if str(front.workload) in {str(w) for w in workloads}]
    if not workloads:
        return
    with (
        Traffic(cluster, doors, demand) as traffic,
        Film(cluster) as film,
        Updates(cluster, workloads, seconds=2 * demand.within + 120) as updates,
        traffic.fault("update"),
    ):
        there = updates.restart(film)
        updates.wait(film, there, timeout=demand.within)
        back = updates.take_back(film)
        updates.wait(film, back, timeout=demand.within)
    for what, updates_of in (("update", there), ("rollback", back)):
        for one in updates_of:
            _over(judge, one, what, demand)
    traffic.judge(judge)


def _over(judge: Judge, one: Updated, what: str, demand: Demand) -> None:
    rule = f"an update or a rollback is over within {demand.within:g} s ({demand.source})"
    if one.ended is None:
        judge.bad(one.workload, seen=f"the {what} was not over after {one.seconds:.0f} s: {one.why}", rule=rule)
        return
    judge.measure(f"{what} of {one.workload}", round(one.seconds, 2), "s")
    judge.ok(one.workload, f"the {what} took {one.seconds:.1f} s")


def _stamped(stamp: str | None) -> dict[str, Any]:
    """The change of a workload; None takes the annotation away."""
    return {"spec": {"template": {"metadata": {"annotations": {STAMP: stamp}}}}}


def _begin(workload: Workload, frame: Frame | None) -> Updated:
    old = frozenset(pod.uid for pod in frame.of(workload)) if frame else frozenset()
    return Updated(workload, began=_clock.now(), old=old)


def _left(obj: dict[str, Any], one: Updated, frame: Frame) -> str:
    """What an update still waits for (`kubectl rollout status`, and the old pods besides); empty when nothing."""
    status, workload = obj.get("status") or {}, Workload(obj)
    wanted = workload.replicas
    if int(status.get("observedGeneration") or 0) < int(obj["metadata"].get("generation") or 0):
        return "the controller has not seen it yet"
    updated, ready = int(status.get("updatedReplicas") or 0), int(status.get("readyReplicas") or 0)
    total = int(status.get("replicas") or 0)
    if updated < wanted or ready < wanted or total > updated:
        troubles = {pod.trouble for pod in frame.of(workload) if pod.trouble}
        told = f": {'; '.join(sorted(troubles))}" if troubles else ""
        return f"{updated} of {wanted} are new, {ready} ready, {total} in all{told}"
    if frame.asked < one.began or any(pod.uid in one.old for pod in frame.of(workload)):
        return "old pods are still stopping"
    return ""


def fitting(workloads: Iterable[Workload]) -> Iterator[Workload]:
    """Those that an update can be tried on: none that is paused, or waits to be told (OnDelete)."""
    for workload in workloads:
        spec = workload.spec
        on_delete = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
        if workload.kind in KINDS and not spec.get("paused") and not on_delete:
            yield workload
