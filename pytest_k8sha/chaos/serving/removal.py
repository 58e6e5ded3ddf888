"""One pod of each workload is deleted, or its container killed or frozen, while traffic goes on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.order import order
from pytest_k8sha.chaos.pods import PodsEngine
from pytest_k8sha.chaos.serving.film import Film
from pytest_k8sha.chaos.serving.traffic import Traffic
from pytest_k8sha.workloads import fronts
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.chaos.serving.film import Frame, PodSeen
    from pytest_k8sha.chaos.serving.objectives import Demand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.node_loss import Moment
    from pytest_k8sha.workloads.model import Inventory, Workload

_AFTER = 3.0
"""Seconds that a thawed container has to be killed by a liveness probe that had already failed."""


@dataclass(eq=False)
class Taken:
    """One pod of a workload that is to be taken away. ``pod`` is what it was before."""

    workload: Workload
    name: str
    pod: PodSeen | None = None

    def see(self, frame: Frame) -> None:
        self.pod = next((pod for pod in frame.of(self.workload) if pod.name == self.name), None)

    def whole(self, frame: Frame, action: str) -> bool:
        """All replicas are ready, and what was taken is not among them as it was."""
        now = {pod.uid: pod for pod in frame.ready(self.workload)}
        same = now.get(self.pod.uid) if self.pod is not None else None
        if self.pod is not None and same is not None and (action == "delete" or same.restarts <= self.pod.restarts):
            return False
        return len(now) >= self.workload.replicas


def chosen(inventory: Inventory) -> list[Taken]:
    """One ready pod of each workload: the first by name, so that a second run takes the same."""
    found = []
    for workload in inventory.scalable:
        ready = sorted(p["metadata"]["name"] for p in inventory.pods_of(workload) if is_ready(p))
        if ready:
            found.append(Taken(workload, ready[0]))
    return found


def ordered(name: str, action: str, taken: Sequence[Taken], demand: Demand) -> Order:
    """One pod each. That it is the last one of its workload, or more than a budget lets go, is what is to be seen: the
    verdict says it, so that the preflight need not refuse it."""
    return order(
        name,
        action,
        pods={"namespaces": sorted({t.workload.namespace for t in taken}), "names": sorted(t.name for t in taken)},
        blastRadius="100%",
        accept=["outage", "budget", "foreign"],
        proveWithin=f"{demand.within:g}s",
        recoverWithin=f"{demand.within:g}s",
    )


def remove(cluster: Cluster, judge: Judge, inventory: Inventory, demand: Demand, *, action: str = "delete") -> None:
    """Takes one pod, or its container, of each workload away; all are judged by their replicas and by their users.

    ``action`` is delete or container-kill.
    """
    taken = chosen(inventory)
    _without(judge, inventory, taken)
    if not taken:
        return
    experiment = Experiment(cluster, ordered(action, action, taken, demand), PodsEngine(cluster))
    names = {str(t.workload) for t in taken}
    doors = [front for front in fronts.fronts(inventory) if str(front.workload) in names]
    with Traffic(cluster, doors, demand) as traffic, Film(cluster) as film:
        for one in taken:
            one.see(film.last)
        with traffic.fault(action), experiment.running():
            begun = experiment.report.injected[0]
            film.until(
                lambda frame: all(one.whole(frame, action) for one in taken),
                timeout=demand.within,
                what="every workload is whole again",
            )
        moments = [film.moment(partial(one.whole, action=action), since=begun) for one in taken]
    for one, moment in zip(taken, moments, strict=True):
        _replaced(judge, one, moment, demand, film.last, action)
    traffic.judge(judge)


def _replaced(judge: Judge, one: Taken, moment: Moment, demand: Demand, last: Frame, action: str) -> None:
    rule = f"all replicas are ready again within {demand.within:g} s ({demand.source})"
    if moment.hi is not None:
        measured(judge, f"{one.workload} whole again after {action}", moment)
        judge.that(moment.lo <= demand.within, one.workload, seen=f"{one.name}: whole again {moment}", rule=rule)
        return
    waits = "; ".join(sorted({pod.trouble for pod in last.of(one.workload) if pod.trouble}))
    seen = f"{len(last.ready(one.workload))} of {one.workload.replicas} ready {moment}{': ' if waits else ''}{waits}"
    judge.bad(one.workload, seen=f"{one.name}: {seen}", rule=rule)


def measured(judge: Judge, name: str, moment: Moment) -> None:
    """A moment as a figure of the report."""
    if moment.hi is not None:
        judge.measure(name, round(moment.hi, 2), "s", round(moment.lo, 2), round(moment.hi, 2))


def _without(judge: Judge, inventory: Inventory, taken: Sequence[Taken]) -> None:
    names = {str(t.workload) for t in taken}
    for workload in inventory.scalable:
        if str(workload) not in names:
            judge.unsure(workload, "it has no ready pod that could be taken away")


def unready(cluster: Cluster, judge: Judge, inventory: Inventory, demand: Demand) -> None:
    """Freezes a container of one pod of each Service's workload, and sees when the Service leaves that pod out; then
    thaws it, and sees whether it is let in again as it was, or was restarted instead."""
    doors = fronts.fronts(inventory)
    served = {str(front.workload) for front in doors}
    taken = {str(t.workload): t for t in chosen(inventory) if str(t.workload) in served}
    behind = [(front, taken[str(front.workload)]) for front in doors if str(front.workload) in taken]
    if not behind:
        return
    experiment = Experiment(cluster, ordered("unready", "freeze", [*taken.values()], demand), PodsEngine(cluster))
    with Film(cluster) as film:
        for one in taken.values():
            one.see(film.last)
        known = [(front, one.pod) for front, one in behind if one.pod is not None]
        with experiment.running():
            begun = experiment.report.injected[0]
            film.until(
                lambda frame: all(pod.uid not in _in(frame, front) for front, pod in known),
                timeout=demand.within,
                what="the Services leave frozen pods out",
            )
            thawed = _clock.now()
        film.until(
            lambda frame: frame.asked > thawed + _AFTER and all(pod.uid in _in(frame, front) for front, pod in known),
            timeout=demand.within,
            what="the Services let the pods in again",
        )
    kills = killings(cluster, {pod.uid for _, pod in known})
    for front, pod in known:
        _judge_unready(judge, film, front, pod, (begun, thawed), demand, kills)


def _in(frame: Frame, front: fronts.Front) -> frozenset[str]:
    return frame.serving.get((front.namespace, front.name), frozenset())


def _judge_unready(
    judge: Judge,
    film: Film,
    front: fronts.Front,
    pod: PodSeen,
    times: tuple[float, float],
    demand: Demand,
    kills: Mapping[str, str],
) -> None:
    begun, thawed = times
    out = film.moment(lambda frame: pod.uid not in _in(frame, front), since=begun)
    back = film.moment(lambda frame: pod.uid in _in(frame, front), since=thawed)
    restarts = max((f.pods[pod.uid].restarts for f in film.within(begun) if pod.uid in f.pods), default=pod.restarts)
    if out.hi is None or out.lo > demand.within:
        judge.bad(
            front,
            seen=f"{pod.name} answered nothing, and was still sent requests: left out {out}",
            rule=f"a pod that does not answer is left out within {demand.within:g} s ({demand.source})",
            remedy="give the container that serves a readinessProbe that asks it, with a short periodSeconds",
        )
        return
    measured(judge, f"{front} leaves a silent pod out", out)
    if pod.uid in kills or restarts > pod.restarts:
        told = kills.get(pod.uid) or f"{restarts - pod.restarts} restarts"
        judge.bad(
            front,
            seen=f"{pod.name} was left out {out}, and restarted at the same time: {told}",
            rule="a pod that is only silent for a while is left out and let in again, not restarted",
            remedy="let livenessProbe be slower than readinessProbe (failureThreshold, periodSeconds), or ask less",
        )
        return
    judge.that(
        back.hi is not None,
        front,
        seen=f"{pod.name} was left out {out}, let in again {back}, not restarted",
        rule="a pod that answers again is let in again",
    )


def killings(cluster: Cluster, uids: set[str]) -> dict[str, str]:
    """What the kubelet said of containers that it killed by their liveness probes, by the uid of the pod."""
    events = cluster.resource("v1", "Event").list(fields="reason=Killing")
    found = {}
    for event in events:
        uid = (event.get("involvedObject") or {}).get("uid", "")
        if uid in uids and "liveness" in str(event.get("message", "")):
            found[uid] = str(event["message"])
    return found
