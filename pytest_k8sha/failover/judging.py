"""What one look at the fleet says of each promise; for the checks of the failover suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.failover import overview
from pytest_k8sha.failover.overview import IMBALANCE, SLOW, SOON, Overview
from pytest_k8sha.failover.sight import Sight, minor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.fleet import Fleet

PATIENCE = 20.0
"""Seconds for the look at one cluster: a slow one is to be seen as slow, not as silent."""


def look(fleet: Fleet) -> Overview:
    """Looks at every cluster of the fleet at the same time; one that did not come up is a cluster without an answer."""
    seen = overview.survey(fleet, PATIENCE)
    seen.sights += [Sight(name, failure=problem) for name, problem in fleet.broken.items()]
    return seen


def answers(judge: Judge, seen: Overview) -> None:
    """A cluster that says nothing is a breach here; for every other promise it is not seen."""
    for one in seen.sights:
        judge.that(one.answers, _name(one), seen=one.failure or f"answered with its identity {one.uid}")


def quick(judge: Judge, seen: Overview) -> None:
    """The median of the latencies against a second (M1)."""
    for one in _read(judge, seen, "version and latency"):
        delay = one.delay
        if delay is None:
            judge.unsure(_name(one), "no latency was measured")
            continue
        judge.measure(f"latency of {one.name}", delay, "s", min(one.latency), max(one.latency))
        judge.that(delay <= SLOW, _name(one), seen=f"answers in {1000 * delay:.0f} ms, {1000 * SLOW:.0f} ms allowed")


def healthy(judge: Judge, seen: Overview) -> None:
    """``/readyz`` by its parts, and the Deployments and DaemonSets of kube-system."""
    for one in _read(judge, seen, "health"):
        said = ", ".join(one.failing)
        judge.that(not one.failing, _name(one), seen=said or "every check of /readyz and every system workload is well")


def ready(judge: Judge, seen: Overview) -> None:
    for one in _read(judge, seen, "nodes and resources"):
        if not one.nodes:
            judge.unsure(_name(one), "it has no node")
            continue
        said = f"{len(one.not_ready)} of {len(one.nodes)} nodes are not ready: {', '.join(one.not_ready)}"
        judge.that(not one.not_ready, _name(one), seen=said if one.not_ready else f"{len(one.nodes)} nodes are ready")


def lasting(judge: Judge, seen: Overview) -> None:
    """What the context is asked with, and when that ends (M2). Credentials without an end cannot be judged."""
    now = _clock.epoch()
    for one in _read(judge, seen, ""):
        if one.ends is None:
            judge.skip(_name(one), f"its credentials tell no end: {one.credentials or one.sort}")
            continue
        said = f"the {one.credentials} ends in {(one.ends - now) / 3600:.1f} h, {SOON / 3600:.0f} h are wanted"
        judge.that(one.ends - now >= SOON, _name(one), seen=said)


def alike(judge: Judge, seen: Overview) -> None:
    """The matrix of rights of each context, against what any other one may do."""
    known = list(_read(judge, seen, "rights"))
    _compared(known)
    judge.table("rights", [{"right": r, **{s.name: s.rights.get(r, False) for s in known}} for r in known[0].rights])
    for one in known:
        lacking = [r for r, may in one.rights.items() if not may and any(o.rights.get(r) for o in known)]
        said = f"lacks what other contexts have: {', '.join(lacking)}"
        judge.that(not lacking, _name(one), seen=said if lacking else "has every right that another context has")


def addressed(judge: Judge, seen: Overview) -> None:
    for one in _read(judge, seen, "load balancers"):
        if not one.balancers:
            judge.skip(_name(one), "it has no load balancer")
            continue
        said = f"no address: {', '.join(one.addressless)}"
        judge.that(
            not one.addressless, _name(one), seen=said if one.addressless else f"{one.balancers} have an address"
        )


def balanced(judge: Judge, seen: Overview) -> None:
    """The fullest cluster against the emptiest, for each resource (M12)."""
    known = list(_read(judge, seen, "nodes and resources"))
    for what in ("cpu", "memory"):
        having = [one for one in known if what in one.share]
        _compared(having)
        low, high = min(having, key=lambda s: s.share[what]), max(having, key=lambda s: s.share[what])
        said = f"{high.name} has {high.share[what]:.0%} of its {what} requested, {low.name} {low.share[what]:.0%}"
        judge.that(high.share[what] - low.share[what] <= IMBALANCE, f"{what} of the fleet", seen=said)


def current(judge: Judge, seen: Overview) -> None:
    """API servers of one fleet are at most one minor version apart; one that emulates an older version counts as it."""
    known = [one for one in _read(judge, seen, "version and latency") if one.speaks]
    _compared(known)
    newest = max(known, key=lambda s: s.speaks)
    for one in known:
        said = f"speaks {one.spoken}, and {newest.name} {newest.spoken}"
        judge.that(newest.speaks - one.speaks <= 1, _name(one), seen=said)


def fitting(judge: Judge, seen: Overview) -> None:
    """Kubelets against their API server."""
    for one in _read(judge, seen, "version and latency", "nodes and resources"):
        said = ", ".join(f"{number} kubelets of {kubelet}" for kubelet, number in one.misfits.items())
        if not any(map(minor, one.kubelets)):
            judge.unsure(_name(one), "no kubelet tells its version")
            continue
        judge.that(not one.misfits, _name(one), seen=f"API server {one.version}: {said or 'every kubelet fits it'}")


def distinct(judge: Judge, seen: Overview) -> None:
    """Two names that lead to one cluster are no fleet: nothing fails over from a cluster to itself."""
    same: Mapping[str, str] = dict(overview.twins(seen.sights))
    for one in _read(judge, seen, ""):
        other = same.get(one.name)
        judge.that(other is None, _name(one), seen=f"is the same cluster as {other}" if other else f"is {one.uid}")


def _name(one: Sight) -> str:
    return f"cluster {one.name}"


def _read(judge: Judge, seen: Overview, *parts: str) -> Iterator[Sight]:
    """The clusters of which these parts were read; the others are open, and why."""
    for one in seen.sights:
        if not one.answers:
            judge.unsure(_name(one), f"did not answer: {one.failure}")
            continue
        unread = [one.unread[part] for part in parts if part in one.unread]
        if unread:
            judge.unsure(_name(one), f"could not be read: {unread[0]}")
        else:
            yield one


def _compared(known: list[Sight]) -> None:
    if len(known) < 2:
        raise NotEvaluated("there is nothing to compare: fewer than two clusters could be read")
